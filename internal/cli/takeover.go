package cli

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/snapshot/owner"
)

func newSnapshotTakeOver(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "take-over", Short: "Own the gateway, though another machine does", Args: cobra.NoArgs,
		Long: `Makes this creel the owner of the gateway at once, without waiting for the term of
the present owner to be over, and starts the gateway if it only waited for that. It
begins with the newest snapshot that the present owner has saved.

If that one still runs, it goes on until it next renews its ownership (at most a
third of snapshots.owner_term), and stops its gateway then: until then the gateway
runs twice, and what it does there is in no snapshot. Do it only if you know that it
does not run there any more; else stop creel there, which gives it back.`,
		RunE: func(*cobra.Command, []string) error {
			st, raw, err := e.takeOver()
			if err != nil {
				return err
			}
			if e.json {
				return e.indent(raw)
			}
			fmt.Fprintln(e.stdout, stateWords(st, ""))
			return nil
		},
	}
}

// takeOver says what it means and does it.
func (e *env) takeOver() (*api.Status, []byte, error) {
	st, _, err := e.status(http.MethodGet, "status")
	if err != nil {
		return nil, nil, err
	}
	if st.Snapshots != nil && st.Snapshots.Owner != nil {
		if o := st.Snapshots.Owner; !o.Held && o.Machine != "" {
			fmt.Fprintf(e.stderr, "creel: taking the gateway over from machine %s (data folder %s), which was last heard of at %s; if it still runs there, it runs twice until that machine notices\n", o.Machine, o.DataDir, o.Renewed.Format(time.RFC3339))
		}
	}
	body, err := e.call(http.MethodPost, "snapshots/take-over")
	if err != nil {
		return nil, nil, err
	}
	if err := body.Close(); err != nil {
		return nil, nil, err
	}
	return e.status(http.MethodGet, "status")
}

// printOwner prints who owns the gateway, as a row of a table.
func printOwner(w io.Writer, o *owner.Status) {
	if o == nil {
		return
	}
	switch {
	case o.Held:
		fmt.Fprintf(w, "owner\tthis creel since %s ago (number %d); good for %s without the store\n", ago(o.Since), o.Fence, o.Left.Round(time.Second))
	case o.Machine != "":
		fmt.Fprintf(w, "owner\tmachine %s (data folder %s) since %s ago (number %d), last heard of %s ago; free in %s at the latest if it does not renew it\n",
			o.Machine, o.DataDir, ago(o.Since), o.Fence, ago(o.Renewed), o.Left.Round(time.Second))
	default:
		fmt.Fprintf(w, "owner\tnot known: %s\n", o.Problem)
	}
}
