package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newUpgrade(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the running creel by the program that is on disk now",
		Long: `Starts the creel that is on disk now, with the configuration as it is now, and
hands over to it: the listener, the requests that wait, the gateway. No connection
is refused and the gateway runs on. Connections that are open stay with the old
creel until they end, for upgrade.drain (ten minutes) at the most; then WebSockets
are closed with 1012 and streams are cut, so that no client takes a part for the
whole. SIGUSR2 does the same, and so does SIGHUP where creel has no terminal.

To have a changed configuration read alone, ` + "`creel reload`" + ` does with less.

If the new creel cannot take over, the old one carries on and this says why.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			body, err := e.call(http.MethodPost, "upgrade")
			if err != nil {
				return err
			}
			if err := body.Close(); err != nil {
				return fmt.Errorf("cannot read creel's answer: %w", err)
			}
			st, raw, err := e.status(http.MethodGet, "status")
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			_, err = fmt.Fprintf(e.stdout, "creel %s, pid %d, is in charge; the gateway is %s\n", st.Creel.Version, st.Creel.PID, st.State)
			return err
		},
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print the status as JSON")
	return cmd
}
