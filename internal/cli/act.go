package cli

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/gateway"
)

// act is a command that asks something of the gateway.
type act struct {
	verb, short, long string
}

var (
	startAct   = act{"start", "Start the gateway", "Starts a gateway that was stopped or has failed, and waits until it is ready."}
	restartAct = act{"restart", "Restart the gateway", "Lets the requests under way end, stops the gateway in good order, starts it again and\nwaits until it is ready. Requests that come meanwhile wait; none is refused."}
	stopAct    = act{"stop", "Stop the gateway", "Lets the requests under way end and stops the gateway in good order. It stays stopped,\nover a restart of creel too, until `creel start`."}
)

func newAct(e *env, a act) *cobra.Command {
	var wait time.Duration
	var takeOver bool
	cmd := &cobra.Command{
		Use: a.verb, Short: a.short, Long: a.long, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if wait < 0 {
				return usage("--wait must not be negative; 0s: not at all")
			}
			if takeOver {
				if _, _, err := e.takeOver(); err != nil {
					return err
				}
			}
			st, raw, err := e.status(http.MethodPost, a.verb+"?wait="+wait.String())
			if err != nil {
				return err
			}
			if e.json {
				if err := e.indent(raw); err != nil {
					return err
				}
			} else {
				fmt.Fprintln(e.stdout, stateWords(st, ""))
			}
			if st.State == gateway.Failed && a.verb != stopAct.verb {
				return didNotComeUp(st.LastEnd)
			}
			return nil
		},
	}
	if a.verb == startAct.verb {
		cmd.Flags().BoolVar(&takeOver, "take-over", false, "own the gateway first, though another machine does; see creel snapshot take-over --help")
	}
	cmd.Flags().DurationVar(&wait, "wait", 5*time.Minute, "how long to wait for it; 0s: not at all")
	cmd.Flags().BoolVar(&e.json, "json", false, "print the status as JSON")
	return cmd
}
