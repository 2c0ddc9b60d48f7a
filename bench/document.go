package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"
)

// documentText is the document's prose. Each figure in it comes from a run.
//
//go:embed benchmarks.md.tmpl
var documentText string

var documentTemplate = template.Must(template.New("benchmarks.md").Parse(documentText))

// document renders the report as Markdown.
func (r report) document() (string, error) {
	var b strings.Builder
	if err := documentTemplate.Execute(&b, r); err != nil {
		return "", fmt.Errorf("cannot render the document: %w", err)
	}
	return b.String(), nil
}

// writeDocument writes the document to a file.
func (r report) writeDocument(path string) error {
	text, err := r.document()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write the document: %w", err)
	}
	return nil
}

// Peers are the other proxies' names and configurations, for the prose.
func (r report) Peers() []struct{ Label, Config string } {
	var all []struct{ Label, Config string }
	for _, p := range peers {
		all = append(all, struct{ Label, Config string }{p.label, p.config})
	}
	return all
}

// PeerRounds is how many rounds of load the other proxies had.
func (r report) PeerRounds() int { return min(peersRounds, r.Plan.Rounds) }

// CrashBoot is the boot time of the gateway in the comparison of crashes.
func (r report) CrashBoot() time.Duration { return crashBoot }

// Ratio finds a ratio for the prose, by a section's name and a row's beginning.
// That there is none is an error: the sentence around it would be a lie.
func (r report) Ratio(section, what string) (string, error) {
	row, err := r.find(section, what)
	if err != nil {
		return "", err
	}
	if row.Ratio == nil {
		return "", fmt.Errorf("the row %q has no ratio", what)
	}
	return digits(row.Ratio.Median), nil
}

// Value finds creel's figure in the same way.
func (r report) Value(section, what string) (string, error) {
	row, err := r.find(section, what)
	if err != nil {
		return "", err
	}
	return digits(row.Creel.Median) + " " + row.Unit, nil
}

func (r report) find(name, what string) (row, error) {
	for _, s := range r.Sections {
		if s.Name != name {
			continue
		}
		for _, row := range s.Rows {
			if strings.HasPrefix(row.What, what) {
				return row, nil
			}
		}
	}
	return row{}, fmt.Errorf("there is no row %q in %q", what, name)
}
