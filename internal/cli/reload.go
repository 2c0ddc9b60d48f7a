package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/config"
)

func newReload(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running creel read its configuration again",
		Long: `Has the running creel read its configuration again: the file, with the environment
and the flags that it was started with, which win as ever. What can count at once
does, without a restart of anything. What the gateway runs with waits for its next
start (` + "`creel restart`" + ` asks for one), and what creel itself is built from for
` + "`creel upgrade`" + `; this says which is which, and ` + "`creel status`" + ` what still waits.

If anything is wrong with the configuration, nothing is changed, all that is wrong
is said, and the exit code is 2.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return e.reload() },
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func (e *env) reload() error {
	resp, err := e.send("application/json", http.MethodPost, "reload")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusUnprocessableEntity:
	case http.StatusConflict:
		return usageError{problemOf(resp)}
	default:
		return problemOf(resp)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("cannot read creel's answer: %w", err)
	}
	var r api.Reload
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&r); err != nil {
		return fmt.Errorf("cannot understand creel's answer: %w", err)
	}
	if e.json {
		if err := e.indent(b); err != nil {
			return err
		}
	}
	if resp.StatusCode != http.StatusOK {
		return errors.Join(usage("nothing was changed"), &config.Problems{List: r.Problems, More: r.More})
	}
	if e.json {
		return nil
	}
	return e.printReload(&r)
}

func (e *env) printReload(r *api.Reload) error {
	for _, w := range r.Warnings {
		fmt.Fprintln(e.stderr, "warning:", w)
	}
	if len(r.Applied)+len(r.Waiting) == 0 {
		_, err := fmt.Fprintln(e.stdout, "Nothing has changed.")
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, c := range r.Applied {
		fmt.Fprintf(w, "applied\t%s\t%s\n", c.Key, fromTo(c))
	}
	for _, c := range r.Waiting {
		fmt.Fprintf(w, "waits\t%s\t%s\t%s\n", c.Key, fromTo(c), remedy(c.Needs))
	}
	return w.Flush()
}

// fromTo shows a change of a value.
func fromTo(c config.Change) string { return orNothing(c.Old) + " → " + orNothing(c.New) }

func orNothing(s string) string {
	if strings.TrimSpace(s) == "" {
		return `""`
	}
	return s
}

// remedy is what a person does for a change to count.
func remedy(n config.Needs) string {
	switch n {
	case config.NeedsGatewayRestart:
		return "until the gateway's next start: creel restart"
	case config.NeedsCreelUpgrade:
		return "until creel upgrade"
	case config.NeedsCreelRestart:
		return "until creel is stopped and started again"
	case config.NeedsNothing:
	}
	return ""
}
