package cli

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/internal/wording"
)

func newStatus(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the gateway is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			st, raw, err := e.status(http.MethodGet, "status")
			if err != nil {
				return err
			}
			if e.json {
				return e.indent(raw)
			}
			return e.printStatus(st)
		},
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func (e *env) printStatus(st *api.Status) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("gateway", "%s", st.Name)
	row("state", "%s", stateWords(st, " for "+ago(st.Since)))
	row("generation", "%d", st.Generation)
	if st.PID != 0 {
		row("process", "pid %d at %s, up %s", st.PID, st.Addr, ago(st.StartedAt))
	}
	row("restarts", "%d since creel started", st.Restarts)
	if st.Held > 0 {
		row("waiting", "%d requests", st.Held)
	}
	if !st.NextStart.IsZero() {
		row("next start", "in %s", time.Until(st.NextStart).Round(time.Second))
	}
	if end := st.LastEnd; end != nil {
		row("last end", "generation %d, %s ago: %s", end.Generation, ago(end.At), end.Message)
		hint := end.Hint
		if st.State == gateway.Failed {
			var lines []string
			if lines, hint = givenUp(end); len(lines) > 0 {
				row("it printed", "%s", strings.Join(lines, "\n\t"))
			}
		}
		if hint != "" {
			row("", "%s", hint)
		}
	}
	if st.Snapshots != nil {
		printSafety(w, st.Snapshots)
	}
	for _, t := range st.Trouble {
		row("trouble", "%s", t)
	}
	for _, h := range st.Hints {
		row("hint", "%s", h)
	}
	for _, c := range st.PendingChanges {
		row("pending", "%s: %s, %s", c.Key, fromTo(c), remedy(c.Needs))
	}
	row("creel", "%s, pid %d, up %s", st.Creel.Version, st.Creel.PID, ago(st.Creel.StartedAt))
	if openToAll(st) {
		row("sign-in", "nobody is asked: whoever is on this machine is taken for the owner (auth.mode)")
	} else if len(st.Creel.SignIn) > 0 {
		row("sign-in", "%s; `creel login` prints a link", strings.Join(st.Creel.SignIn, ", "))
	}
	row("link", "%s", st.Creel.Link)
	return w.Flush()
}

// stateWords are the state, what is put behind it, and why, as far as that says
// more: some reasons begin with the state.
func stateWords(st *api.Status, behind string) string {
	state := string(st.State)
	if why, ok := strings.CutPrefix(st.Reason, state); ok && (why == "" || why[0] == ' ') {
		return state + behind + why
	}
	return state + behind + ": " + st.Reason
}

// ago is how long ago something was.
func ago(t time.Time) string { return wording.Span(time.Since(t)) }
