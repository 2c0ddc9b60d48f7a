package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
)

func newLogs(e *env) *cobra.Command {
	var follow bool
	var tail int
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the gateway's output",
		Long: `Shows the gateway's output, with secrets redacted. With --json each line is an object:
{"text": …, "level": …, "time": …}, level and time being what the line says of itself; those
that it does not say are left out.`,
		Example: `  creel logs -f
  creel logs -n 1000 --json | jq -r 'select(.level == "error").text'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			query := "logs?tail=" + strconv.Itoa(tail)
			if follow {
				query += "&follow=1"
			}
			accept := "text/plain"
			if e.json {
				accept = "application/x-ndjson"
			}
			body, err := e.callFor(accept, http.MethodGet, query)
			if err != nil {
				return err
			}
			defer body.Close()
			if _, err := io.Copy(e.stdout, body); err != nil && e.ctx.Err() == nil {
				return fmt.Errorf("cannot read the gateway's output: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is to come")
	cmd.Flags().IntVarP(&tail, "tail", "n", 100, "how many lines back to begin")
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON lines")
	return cmd
}
