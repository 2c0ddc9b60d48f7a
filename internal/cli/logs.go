package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/daemon"
)

func newLogs(e *env) *cobra.Command {
	var q api.LogQuery
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the gateway's output",
		Long: `Shows the gateway's output, with secrets redacted. With --json each line is an object:
{"text": …, "level": …, "time": …}, level and time being what the line says of itself; those
that it does not say are left out.

While no creel runs, the output is read from the files in the data folder, with the same
secrets redacted as far as they are kept there; what nobody but the creel that ran knew,
from its environment, is told by its look alone. Nothing can be followed then.`,
		Example: `  creel logs -f
  creel logs --level warn --search telegram
  creel logs -n 1000 --json | jq -r 'select(.level == "error").text'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Tail < 0 || q.Tail > api.MostLines {
				return usage("-n %d is none of 0 to %d", q.Tail, api.MostLines)
			}
			if !slices.Contains(logLevels, string(q.Level)) && cmd.Flags().Changed("level") {
				return usage("--level %q is none of %s", q.Level, strings.Join(logLevels, ", "))
			}
			err := e.showLogs(q)
			var away *unreachableError
			if errors.As(err, &away) && !errors.Is(away, fs.ErrPermission) {
				return e.logsFromDisk(away, q)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with what is to come")
	cmd.Flags().IntVarP(&q.Tail, "tail", "n", 100, "how many lines back to begin; with -f and a filter: of those before the filter")
	cmd.Flags().StringVar(&q.Level, "level", "", "only lines that say that they are of this level or a worse one, and what belongs to them: "+strings.Join(logLevels, ", "))
	cmd.Flags().StringVar(&q.Search, "search", "", "only lines with this `TEXT`, small or capital letters alike")
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON lines")
	return cmd
}

var logLevels = []string{"debug", "info", "warn", "error"}

// showLogs shows what the daemon tells of the gateway's output.
func (e *env) showLogs(q api.LogQuery) error {
	values := url.Values{"tail": {strconv.Itoa(q.Tail)}}
	for name, value := range map[string]string{"level": q.Level, "search": q.Search} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Follow {
		values.Set("follow", "1")
	}
	accept := "text/plain"
	if e.json {
		accept = "application/x-ndjson"
	}
	body, err := e.callFor(accept, http.MethodGet, "logs?"+values.Encode())
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(e.stdout, body); err != nil && e.ctx.Err() == nil {
		return fmt.Errorf("cannot read the gateway's output: %w", err)
	}
	return nil
}

// logsFromDisk shows the output of a gateway whose creel does not run.
func (e *env) logsFromDisk(away *unreachableError, q api.LogQuery) error {
	path, err := daemon.LogAtRest(away.dataDir)
	if err != nil {
		return err
	}
	if path == "" {
		return away
	}
	if err := daemon.KnowSecrets(away.dataDir); err != nil {
		return fmt.Errorf("cannot keep the gateway's secrets out of its output: %w; the output as it is, secrets and all, is in %s", err, path)
	}
	lines, err := api.LogsAtRest(path, q)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "%s; this is the gateway's output up to now, from %s:\n", away.away(), path)
	for _, line := range lines {
		text := line.Text
		if e.json {
			b, err := json.Marshal(line)
			if err != nil {
				return fmt.Errorf("cannot print a line: %w", err)
			}
			text = string(b)
		}
		if _, err := fmt.Fprintln(e.stdout, text); err != nil {
			return err
		}
	}
	if q.Follow {
		return fmt.Errorf("cannot follow the gateway's output while creel is not running: %w", away)
	}
	return nil
}
