package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/openclaw"
	"creel/internal/openclaw/upgrade"
)

func newOpenClawVersions(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "versions", Short: "List the versions of OpenClaw that are installed", Args: cobra.NoArgs,
		Long: "Lists the versions of OpenClaw in the data folder, which of them is used, an upgrade that\nis under way, and what has become of the last one.",
		RunE: func(*cobra.Command, []string) error {
			var v api.OpenClawVersions
			raw, err := e.get("openclaw/versions", &v)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			return e.printVersions(v)
		},
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func (e *env) printVersions(v api.OpenClawVersions) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tNODE.JS\tSTATE")
	for _, i := range v.Installed {
		var words []string
		if i.Used {
			words = append(words, "used")
		}
		if i.Tested {
			words = append(words, "tested with this creel")
		}
		if !i.Whole {
			words = append(words, "damaged")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", i.Version, i.Node, strings.Join(words, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if t := v.Trial; t != nil {
		fmt.Fprintf(e.stdout, "\nunder way for %s: %s -> %s, %s\n", ago(t.Started), t.From, t.To, strings.ReplaceAll(t.Phase, "_", " "))
	}
	if l := v.Last; l != nil {
		fmt.Fprintf(e.stdout, "\nlast upgrade, %s ago: %s\n", ago(l.At), reportWords(*l))
	}
	return nil
}

// reportWords says what has become of an upgrade.
func reportWords(r openclaw.UpgradeReport) string {
	if r.OK {
		return fmt.Sprintf("OpenClaw %s runs; it was %s", r.To, r.From)
	}
	state := "and its state are back (snapshot " + r.Snapshot + ")"
	if r.Snapshot == "" {
		state = "is back, without the state of before, which was not saved"
	}
	return fmt.Sprintf("OpenClaw %s did not work: %s; %s %s", r.To, r.Reason, r.From, state)
}

func newOpenClawUpgrade(e *env) *cobra.Command {
	var noSnapshot bool
	cmd := &cobra.Command{
		Use: "upgrade [VERSION]", Short: "Exchange the version of OpenClaw", Args: cobra.MaximumNArgs(1),
		Long: `Installs another version of OpenClaw, ` + openclaw.DefaultVersion + ` if none is given, while the present
one runs on; takes a snapshot; and has the gateway restarted with it. The new version
counts when it was ready within its time and has then been well for ` + upgrade.DefaultHealthy.String() + `.
Otherwise the old version and the old state come back, and this says why (exit code 1).

An older version may be given as well. It often cannot read the state that a newer one
has written, and is then rolled back like any other that does not work.

The upgrade goes on when this command is ended, and when creel is.`,
		Example: "  creel openclaw upgrade 2026.9.6\n  creel openclaw versions",
		RunE: func(_ *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) == 1 {
				q.Set("version", args[0])
			}
			if noSnapshot {
				q.Set("no_snapshot", "true")
			}
			raw, err := e.upgradeOpenClaw("openclaw/upgrade?" + q.Encode())
			if err != nil {
				return err
			}
			var report openclaw.UpgradeReport
			if err := json.Unmarshal(raw, &report); err != nil {
				return fmt.Errorf("cannot understand creel's answer: %w", err)
			}
			if e.json {
				err = e.indent(raw)
			} else if report.OK {
				_, err = fmt.Fprintf(e.stdout, "%s, after %v\n", reportWords(report), report.Took.Round(time.Second))
			}
			if err == nil && !report.OK {
				err = errors.New(reportWords(report))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&noSnapshot, "no-snapshot", false, "do without a snapshot; if the new version does not work the state stays as it has left it")
	return cmd
}

// upgradeOpenClaw asks for an upgrade, prints its steps, and gives its report.
func (e *env) upgradeOpenClaw(what string) (json.RawMessage, error) {
	body, err := e.call(http.MethodPost, what)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := bufio.NewReader(body)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("creel went away before it was done: %w; the upgrade goes on when creel is back: see `creel openclaw versions`", err)
		}
		var l struct {
			Step    *upgrade.Step
			Result  json.RawMessage
			Problem json.RawMessage
		}
		if err := json.Unmarshal(b, &l); err != nil {
			return nil, fmt.Errorf("cannot understand creel's answer: %w", err)
		}
		switch {
		case l.Problem != nil:
			return nil, problemIn(l.Problem)
		case l.Result != nil:
			return l.Result, nil
		case l.Step != nil && l.Step.Report == nil:
			fmt.Fprintln(e.stderr, l.Step.Message)
		}
	}
}
