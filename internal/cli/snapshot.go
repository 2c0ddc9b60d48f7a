package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"creel/internal/api"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
	"creel/internal/wording"
)

func newSnapshot(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "snapshot",
		Aliases: []string{"snapshots"},
		Short:   "Save the gateway's state, and bring it back",
		Long: `A snapshot is a copy of all state folders as they were at one instant, kept
encrypted in the snapshot store. They are taken by themselves (see snapshots in
the configuration) and whenever somebody asks for one.

ID is what ` + "`creel snapshot list`" + ` shows, or as much of its beginning as is needed to
tell snapshots apart; "latest" is the newest.`,
		Example: `  creel snapshot create --note "before the big change"
  creel snapshot list
  creel snapshot restore 20261126T0154
  creel snapshot export latest /tmp/state`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	cmd.AddCommand(
		newSnapshotCreate(e), newSnapshotList(e), newSnapshotShow(e), newSnapshotStatus(e), newSnapshotRestore(e),
		newSnapshotVerify(e), newSnapshotPrune(e), newSnapshotExport(e), newSnapshotDiff(e), newSnapshotLs(e), newSnapshotCat(e),
		e.snapshotMark("pin ID", "Keep a snapshot from being removed", http.MethodPost, "/pin", "pinned"),
		e.snapshotMark("unpin ID", "Let a snapshot be removed when nothing else keeps it", http.MethodPost, "/unpin", "no longer pinned"),
		e.snapshotMark("accept ID", "Say that a snapshot is right though it is much smaller than the one before", http.MethodPost, "/accept", "accepted"),
		e.snapshotMark("remove ID", "Remove a snapshot", http.MethodDelete, "", "removed"),
		newSnapshotTakeOver(e), newSnapshotKey(e),
	)
	return cmd
}

func newSnapshotCreate(e *env) *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use: "create", Short: "Take a snapshot", Args: cobra.NoArgs,
		Long: "Takes a snapshot of the state as it is now. A gateway that runs is held still for a few\nmilliseconds; one that is stopped stays so. It is in the store, and a sample of it was\nread back, when the command returns.",
		RunE: func(*cobra.Command, []string) error {
			var s store.Snapshot
			raw, err := e.long("snapshots?"+url.Values{"note": {note}}.Encode(), &s)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			fmt.Fprintln(e.stdout, s.ID)
			fmt.Fprintf(e.stderr, "%s with %s, %s added to the store; held still for %v\n", wording.Files(s.Totals.Files), size(s.Totals.Bytes), size(s.Stored), s.Frozen.Round(100*time.Microsecond))
			e.printSkipped(s)
			return nil
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "`WORDS` to remember it by")
	return cmd
}

func (e *env) printSkipped(s store.Snapshot) {
	if n := len(s.Skipped) + s.Omitted; n > 0 {
		fmt.Fprintf(e.stderr, "not saved: %s, such as %s (%s); see `creel snapshot show %s`\n", wording.Files(int64(n)), s.Skipped[0].Path, s.Skipped[0].Reason, s.ID)
	}
	if s.Shrunk != "" {
		fmt.Fprintf(e.stderr, "it is much smaller than the one before: %s\n", s.Shrunk)
	}
}

func newSnapshotList(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List snapshots, the newest last", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var list api.SnapshotList
			raw, err := e.get("snapshots", &list)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			if len(list.Snapshots) == 0 {
				fmt.Fprintf(e.stderr, "there is no snapshot in %s yet; take one with `creel snapshot create`\n", list.Status.Where)
				return nil
			}
			w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tAGE\tREASON\tFILES\tSIZE\tADDED\tSTATE\tNOTE")
			for _, s := range list.Snapshots {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, ago(s.Time), s.Reason, s.Totals.Files, size(s.Totals.Bytes), size(s.Stored), snapshotState(s), printable(s.Note))
			}
			return w.Flush()
		},
	}
}

// snapshotState is what is known of a snapshot in a few words.
func snapshotState(s store.Snapshot) string {
	var words []string
	switch {
	case s.Damaged != "":
		words = append(words, "damaged")
	case !s.Verified.IsZero():
		words = append(words, "verified")
	case !s.Sampled.IsZero():
		words = append(words, "sampled")
	default:
		words = append(words, "not read back yet")
	}
	if s.Unread > 0 {
		words = append(words, wording.Files(int64(s.Unread))+" could not be read")
	}
	if s.Shrunk != "" {
		words = append(words, "shrunk")
	}
	if s.Pinned {
		words = append(words, "pinned")
	}
	return strings.Join(words, ", ")
}

func newSnapshotShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show all that is known of a snapshot", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var s store.Snapshot
			raw, err := e.get("snapshots/"+url.PathEscape(args[0]), &s)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			return e.printSnapshot(s)
		},
	}
}

func (e *env) printSnapshot(s store.Snapshot) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("snapshot", "%s", s.ID)
	row("time", "%s (%s ago)", s.Time.Local().Format(time.RFC3339), ago(s.Time))
	row("reason", "%s", s.Reason)
	if s.Note != "" {
		row("note", "%s", printable(s.Note))
	}
	row("state", "%s", snapshotState(s))
	for _, what := range []struct{ name, text string }{{"damage", s.Damaged}, {"shrunk", s.Shrunk}} {
		if what.text != "" {
			row(what.name, "%s", what.text)
		}
	}
	if at := s.Restored.At; !at.IsZero() {
		row("restored", "%s (%s ago), in the place of a later state", at.Local().Format(time.RFC3339), ago(at))
	}
	row("gateway", "%s, generation %d, on %s", s.Gateway, s.Generation, s.Machine)
	if s.AppVersion != "" {
		row("version", "%s", s.AppVersion)
	}
	row("grew from", "%s", dash(string(s.Parent)))
	row("lineage", "%s", s.Lineage)
	row("files", "%d in %d folders, %s", s.Totals.Files, s.Totals.Dirs, size(s.Totals.Bytes))
	row("added", "%s to the store", size(s.Stored))
	row("held still", "%v", s.Frozen.Round(100*time.Microsecond))
	for _, r := range s.Roots {
		row("folder", "%s", r.Path)
	}
	for _, k := range s.Skipped {
		row("not in it", "%s: %s", k.Path, k.Reason)
	}
	if s.Omitted > 0 {
		row("", "and %d more", s.Omitted)
	}
	return w.Flush()
}

func newSnapshotStatus(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how safe the state is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			st, _, err := e.status(http.MethodGet, "status")
			if err != nil {
				return err
			}
			if st.Snapshots == nil {
				return errors.New("no snapshots are taken: name the gateway's state folders with --state (gateway.state), and set snapshots.mode to auto")
			}
			if e.json {
				b, err := json.Marshal(st.Snapshots)
				return e.orIndent(b, err)
			}
			w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			printSafety(w, st.Snapshots)
			for _, trouble := range st.Snapshots.Troubles { // creel status has them among its own
				fmt.Fprintf(w, "trouble\t%s\n", trouble)
			}
			return w.Flush()
		},
	}
}

// printSafety prints how safe the state is, as rows of a table.
func printSafety(w io.Writer, s *snapshot.Status) {
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	switch {
	case s.Lineage == "" || s.Missing:
		row("state", "not in place; nothing of it is saved meanwhile")
	case s.Last == "":
		row("last snapshot", "none yet")
	default:
		row("last snapshot", "%s, %s ago: %s, %s", s.Last, ago(s.LastAt), wording.Files(s.Files), size(s.Bytes))
	}
	if !s.Unsaved.IsZero() {
		row("unsaved", "changes since %s ago", ago(s.Unsaved))
	}
	if s.Trial != "" {
		row("on trial", "the state of %s, until the gateway is ready", s.Trial)
	}
	for _, d := range s.Doing {
		row("under way", "%s: %s", d.What, progressText(d))
	}
	printOwner(w, s.Owner)
	row("store", "%s", s.Where)
}

func newSnapshotRestore(e *env) *cobra.Command {
	var fresh, orFresh, noSnapshot, acceptDamaged bool
	cmd := &cobra.Command{
		Use: "restore [ID]", Short: "Put the state of a snapshot in the place of the present one", Args: cobra.MaximumNArgs(1),
		Long: `Saves the present state, stops the gateway in good order, puts the state of the
snapshot (without ID: of the newest good one) in its place, and starts the gateway.
The present state is set aside, not removed; it is put back if the gateway does not
get ready on the restored one.

A gateway whose state is missing and cannot be restored is not started. --or-fresh
tries once more, and has it begin without a state if that fails, too.`,
		RunE: func(_ *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) > 0 {
				if fresh {
					return usage("--fresh begins without a state: leave %s out", args[0])
				}
				q.Set("id", args[0])
			}
			for name, on := range map[string]bool{"fresh": fresh, "or_fresh": orFresh, "no_snapshot": noSnapshot, "accept_damaged": acceptDamaged} {
				if on {
					q.Set(name, "1")
				}
			}
			var done snapshot.Restored
			raw, err := e.long("snapshots/restore?"+q.Encode(), &done)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			if done.ID == "" {
				fmt.Fprintln(e.stdout, "the gateway is ready, with a state that begins anew")
			} else {
				fmt.Fprintf(e.stdout, "the gateway is ready on the state of %s\n", done.ID)
			}
			if done.Before != "" {
				fmt.Fprintf(e.stderr, "the state that was there is snapshot %s\n", done.Before)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&fresh, "fresh", false, "set the present state aside and begin without one")
	cmd.Flags().BoolVar(&orFresh, "or-fresh", false, "begin without a state if the restore fails")
	cmd.Flags().BoolVar(&noSnapshot, "no-snapshot", false, "do not save the present state first (it is set aside all the same)")
	cmd.Flags().BoolVar(&acceptDamaged, "accept-damaged", false, "restore databases that are damaged, too")
	return cmd
}

func newSnapshotVerify(e *env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "verify [ID...]", Short: "Read snapshots back and check every byte of them (default: the newest)",
		RunE: func(_ *cobra.Command, args []string) error {
			if all {
				var list api.SnapshotList
				if _, err := e.get("snapshots", &list); err != nil {
					return err
				}
				for _, s := range list.Snapshots {
					args = append(args, string(s.ID))
				}
			} else if len(args) == 0 {
				args = []string{string(snapshot.Latest)}
			}
			var results []store.Snapshot
			var bad error
			for _, id := range args {
				var s store.Snapshot
				if _, err := e.long("snapshots/"+url.PathEscape(id)+"/verify", &s); err != nil {
					bad = errors.Join(bad, err)
					continue
				}
				results = append(results, s)
				if !e.json {
					fmt.Fprintf(e.stdout, "%s is whole: %s with %s\n", s.ID, wording.Files(s.Totals.Files), size(s.Totals.Bytes))
				}
			}
			if e.json {
				b, err := json.Marshal(append([]store.Snapshot{}, results...))
				return errors.Join(e.orIndent(b, err), bad)
			}
			return bad
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "verify all snapshots")
	return cmd
}

func newSnapshotPrune(e *env) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove snapshots that nothing keeps", Args: cobra.NoArgs,
		Long: "Removes what snapshots.keep does not keep, as creel does by itself after each snapshot.\nNever removed are the newest good one, whatever is newer than the newest one that was\nread back, a shrunk one and the one before it, and pinned ones.",
		RunE: func(*cobra.Command, []string) error {
			what := "snapshots/prune"
			if dry {
				what += "?dry=1"
			}
			var r api.PruneResult
			raw, err := e.ask(http.MethodPost, what, &r)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			gone := "removed"
			if r.Dry {
				gone = "would be removed"
			}
			for _, s := range r.Snapshots {
				why := strings.Join(s.Kept, ", ")
				if why == "" {
					why = gone
				}
				fmt.Fprintf(w, "%s\t%s\n", s.ID, why)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(e.stderr, "%d of %d %s\n", r.Removed, len(r.Snapshots), gone)
			return nil
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	return cmd
}

func newSnapshotExport(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "export ID DIR", Short: "Write a snapshot's files into a new plain folder", Args: cobra.ExactArgs(2),
		Long: "Writes the files of a snapshot into DIR, which must not exist or be empty: those of a\nsingle state folder right into it, those of several into a folder each.",
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			var x api.Exported
			raw, err := e.long("snapshots/"+url.PathEscape(args[0])+"/export?"+url.Values{"dir": {dir}}.Encode(), &x)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			fmt.Fprintf(e.stdout, "%s: %s with %s of %s\n", x.Dir, wording.Files(x.Files), size(x.Bytes), x.ID)
			for _, l := range x.Losses {
				fmt.Fprintln(e.stderr, "not as in the snapshot:", l)
			}
			return nil
		},
	}
}

// snapshotMark is a command that changes what is known of one snapshot.
func (e *env) snapshotMark(use, short, method, path, done string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var s store.Snapshot
			raw, err := e.ask(method, "snapshots/"+url.PathEscape(args[0])+path, &s)
			if err != nil || e.json {
				return e.orIndent(raw, err)
			}
			fmt.Fprintf(e.stdout, "%s %s\n", s.ID, done)
			return nil
		},
	}
}
