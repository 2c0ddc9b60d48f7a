package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/openclaw"
)

func newOpenClawConfig(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "OpenClaw's configuration, and what has become of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	diff := &cobra.Command{
		Use: "diff", Short: "Show what has changed since the configuration that ran last", Args: cobra.NoArgs,
		Long: `Compares openclaw.json as it is with the last configuration that OpenClaw ran with for a
while, key by key, and says who has changed it. Secrets are not shown. What was changed
before, and by whom, is in the journal: creel events.`,
		RunE: func(*cobra.Command, []string) error { return e.openclawConfigDiff() },
	}
	diff.Flags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.AddCommand(diff)
	return cmd
}

// configDiff is the answer of `creel openclaw config diff --json`.
type configDiff struct {
	Ran     *time.Time              `json:"ran"` // when the older one was seen to run; null: none was yet
	By      openclaw.Author         `json:"by,omitempty"`
	Changes []openclaw.ConfigChange `json:"changes"`
}

func (e *env) openclawConfigDiff() error {
	dir, err := e.folder()
	if err != nil {
		return err
	}
	layout, err := openclaw.LayoutIn(dir)
	if err != nil {
		return err
	}
	if err := isThere(dir, layout); err != nil {
		return err
	}
	changes, by, ran, err := openclaw.ConfigDiff(layout)
	if err != nil {
		return err
	}
	d := configDiff{By: by, Changes: append([]openclaw.ConfigChange{}, changes...)}
	if !ran.IsZero() {
		d.Ran = &ran
	}
	if e.json {
		b, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return e.indent(b)
	}
	switch {
	case d.Ran == nil:
		fmt.Fprintln(e.stderr, "no configuration has run for a while yet, so that there is nothing to compare with")
	case len(changes) == 0:
		fmt.Fprintf(e.stderr, "nothing has changed since the configuration that ran at %s\n", ran.Local().Format(time.DateTime))
	default:
		fmt.Fprintf(e.stderr, "changed by %s since the configuration that ran at %s:\n", by.Words(), ran.Local().Format(time.DateTime))
		for _, c := range changes {
			fmt.Fprintln(e.stdout, c)
		}
	}
	return nil
}

// isThere says of what there is no OpenClaw in.
func isThere(dir string, layout openclaw.Layout) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no data folder %s: name creel's with --data-dir or CREEL_DATA_DIR", dir)
	} else if err != nil {
		return fmt.Errorf("cannot look into the data folder: %w", err)
	}
	if _, err := os.Stat(layout.Root); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no OpenClaw was set up in the data folder %s; `creel up openclaw` does that", dir)
	} else if err != nil {
		return fmt.Errorf("cannot look into the data folder: %w", err)
	}
	return nil
}
