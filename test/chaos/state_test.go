package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/snapshot"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
	"creel/test/crashgw"
	"creel/test/crashgw/state"
	"creel/test/harness"
)

// A world with a state has two state folders. In the first, crashgw changes
// databases and files all the time (package state), so that a cut that is not of
// one instant shows. In both lie files with the label of a state, which is the
// test's: whatever is restored, all of them bear the same one, or the state is a
// mixture.

// stateSettings are the creel.yaml of a world with a state. Snapshots are taken
// when somebody asks for one, so that what happens is the scenario's doing.
const stateSettings = settings + `
snapshots:
  mode: manual
  keep: {last: 3, hourly: 0, daily: 0, weekly: 0, monthly: 0}
  old_state: 0s
`

var stateRoots = []string{"one", "two"}

// labelled are files that bear the label, in each state folder.
var labelled = []string{"label", "a/label", "b/c/label", "z-label"}

// refusal is the file with which crashgw does not get ready, in the state.
const refusal = "two/refuse"

// newStateWorld makes a world with a state and waits until its gateway is ready.
func newStateWorld(t *testing.T, _ int, dice *rand.Rand) *world {
	t.Helper()
	dir := t.TempDir()
	for _, root := range stateRoots {
		if err := os.Mkdir(filepath.Join(dir, root), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w := prepareWorld(t, crashgw.Options{
		BootDelay: 30 * time.Millisecond, StateEvery: 50 * time.Millisecond,
		State: filepath.Join(dir, stateRoots[0]), ExitIf: filepath.Join(dir, refusal),
	}, dice, stateSettings)
	w.stateDir = dir
	end := slices.Index(w.Args, "--")
	for _, root := range stateRoots {
		w.Args = slices.Insert(w.Args, end, "--state", filepath.Join(dir, root))
	}
	w.label("first") // the folders must not be empty: something is in the place of a state
	w.launch()
	return w
}

// label puts a label on the state, whose gateway may run: nothing captures it now.
func (w *world) label(label string) {
	w.T.Helper()
	for _, root := range stateRoots {
		for _, name := range labelled {
			path := filepath.Join(w.stateDir, root, name)
			err := os.MkdirAll(filepath.Dir(path), 0o700)
			if err == nil {
				err = os.WriteFile(path, []byte(label), 0o600)
			}
			if err != nil {
				w.T.Fatal(err)
			}
		}
	}
}

// labelOf reads the label of a state: in dir lie the state folders.
func labelOf(dir string) (string, error) {
	found := map[string][]string{}
	for _, root := range stateRoots {
		for _, name := range labelled {
			b, err := os.ReadFile(filepath.Join(dir, root, name))
			if err != nil {
				return "", err
			}
			found[string(b)] = append(found[string(b)], filepath.Join(root, name))
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("a mixture: %v", found)
	}
	for label := range found {
		return label, nil
	}
	return "", errors.New("no file bears a label")
}

// long asks for something that takes its time, and reads its result.
func (w *world) long(what string, result any) error {
	client := api.Client(w.DataDir())
	client.Timeout = harness.Patience
	resp, err := client.Post(api.ControlURL(what), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var last []byte
	for lines.Scan() {
		last = slices.Clone(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		return err
	}
	var line struct {
		Result  json.RawMessage
		Problem *struct{ Code, Detail string }
	}
	if err := json.Unmarshal(last, &line); err != nil {
		return fmt.Errorf("%s: %s: %q: %w", what, resp.Status, last, err)
	}
	if line.Result == nil {
		return fmt.Errorf("%s: %s: %s", what, resp.Status, last)
	}
	return json.Unmarshal(line.Result, result)
}

// take takes a snapshot.
func (w *world) take(note string) (store.Snapshot, error) {
	var s store.Snapshot
	return s, w.long("snapshots?note="+note, &s)
}

// mustTake is take while nobody dies.
func (w *world) mustTake(note string) store.Snapshot {
	w.T.Helper()
	s, err := w.take(note)
	if err != nil {
		w.fatalf("no snapshot could be taken: %v", err)
	}
	return s
}

// snapshots lists the snapshots.
func (w *world) snapshots() (api.SnapshotList, error) {
	var list api.SnapshotList
	client := api.Client(w.DataDir())
	client.Timeout = harness.Patience
	resp, err := client.Get(api.ControlURL("snapshots"))
	if err != nil {
		return list, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("list: %s %s", resp.Status, b)
	}
	if err != nil {
		return list, err
	}
	return list, json.Unmarshal(b, &list)
}

// checkState: the state is one that the round allows, whole; snapshots can be
// listed, read back and taken, and what they hold is of one instant; of restores
// there is left what their journal names.
func (w *world) checkState(r *round) {
	w.T.Helper()
	w.awaitFor(soon, "the end of a restore", func() error {
		list, err := w.snapshots()
		if err == nil && (list.Status.Trial != "" || len(list.Status.Doing) > 0) {
			err = fmt.Errorf("the keeper says %+v", list.Status)
		}
		return err
	})
	label, err := labelOf(w.stateDir)
	switch {
	case err != nil:
		w.errorf("the state: %v", err)
	case !slices.Contains(r.labels, label):
		w.errorf("the state is %q, and may be one of %q", label, r.labels)
	case r.undisturbed() && r.goal != "" && label != r.goal:
		w.errorf("the state is %q, and nothing kept it from being %q", label, r.goal)
	}
	w.checkSnapshots(label)
	w.checkRestores()
	w.checkTold(r, label)
}

// checkSnapshots takes a last snapshot and looks into it and into the one before,
// and reads back all that are new.
func (w *world) checkSnapshots(label string) {
	w.T.Helper()
	last, err := w.take("check")
	if err != nil {
		w.errorf("no snapshot can be taken afterwards: %v", err)
		return
	}
	list, err := w.snapshots()
	if err != nil || len(list.Snapshots) == 0 || list.Snapshots[len(list.Snapshots)-1].ID != last.ID {
		w.errorf("the list does not end with snapshot %s: %+v, %v", last.ID, list.Snapshots, err)
	}
	if list.Status.Trial != "" || len(list.Status.Doing) > 0 || list.Status.Last != last.ID {
		w.errorf("afterwards the keeper says %+v", list.Status)
	}
	for _, s := range list.Snapshots {
		if !s.Verified.IsZero() {
			continue // in the round before
		}
		var got store.Snapshot
		if err := w.long("snapshots/"+string(s.ID)+"/verify", &got); err != nil || got.Damaged != "" {
			w.errorf("snapshot %s (%s) cannot be read back: %s, %v", s.ID, s.Reason, got.Damaged, err)
		}
	}
	for _, s := range list.Snapshots[max(0, len(list.Snapshots)-2):] {
		w.checkContent(s, label, s.ID == last.ID)
	}
	if err := w.ask("snapshots/prune"); err != nil {
		w.errorf("%v", err)
	}
}

// checkContent looks at the files of a snapshot.
func (w *world) checkContent(s store.Snapshot, label string, present bool) {
	w.T.Helper()
	dir := filepath.Join(w.Dir, "exported")
	defer os.RemoveAll(dir) // of the test's folder
	var out api.Exported
	if err := w.long("snapshots/"+string(s.ID)+"/export?dir="+dir, &out); err != nil {
		w.errorf("snapshot %s cannot be exported: %v", s.ID, err)
		return
	}
	got, err := labelOf(dir)
	if err != nil || present && got != label {
		w.errorf("snapshot %s (%s) of state %q holds %q: %v", s.ID, s.Reason, label, got, err)
	}
	if _, err := state.Check(filepath.Join(dir, "one")); err != nil {
		w.errorf("snapshot %s (%s): %v", s.ID, s.Reason, err)
	}
}

// checkRestores: beside the state lies what was set aside, and nothing else.
func (w *world) checkRestores() {
	w.T.Helper()
	w.awaitFor(soon, "nothing to lie beside the state but what was set aside", func() error {
		st, err := w.restores().Status()
		if err != nil || st.Phase != "" {
			return fmt.Errorf("a restore is under way still: %+v, %w", st, err)
		}
		var want, there []string
		for _, root := range stateRoots {
			want = append(want, filepath.Join(w.stateDir, root))
		}
		for _, k := range st.Kept {
			want = append(want, k.Path)
		}
		entries, err := os.ReadDir(w.stateDir)
		for _, e := range entries {
			there = append(there, filepath.Join(w.stateDir, e.Name()))
		}
		slices.Sort(want)
		if err != nil || !slices.Equal(there, want) {
			return fmt.Errorf("beside the state lies %q; the journal names %q (%w)", there, want, err)
		}
		return nil
	})
	for _, root := range stateRoots {
		inside, err := filepath.Glob(filepath.Join(w.stateDir, root, ".creel-*"))
		if err != nil || len(inside) > 0 {
			w.errorf("in the state lies %q, %v", inside, err)
		}
	}
}

// checkTold: if the state is another one than before, the journal says how that
// came.
func (w *world) checkTold(r *round, label string) {
	w.T.Helper()
	if label == r.was {
		return
	}
	w.awaitFor(soon, "the journal to say that a state was restored", func() error {
		for _, e := range w.journal() {
			if e.Time.After(r.begun) && (e.Kind == event.Restored || e.Kind == event.RestoreRecovered) {
				return nil
			}
		}
		return fmt.Errorf("the state was %q and is %q", r.was, label)
	})
}

// mayKeep tells whether a data folder may hold a file for the sake of a state.
func mayKeep(name string) bool {
	for _, p := range []string{"snapshots/", "private/", "gateways/chaos/store-cache/", "gateways/chaos/copies/"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return name == "gateways/chaos/state.json" || name == "gateways/chaos/"+restore.JournalName
}

// another puts a new label on the state, and takes a snapshot of the one before:
// the round may end with either. The first label is that of the present state.
func (w *world) another(r *round) {
	w.T.Helper()
	goal, present := fmt.Sprintf("%d saved", w.round), fmt.Sprintf("%d present", w.round)
	w.label(goal)
	r.saved = w.mustTake("saved")
	w.label(present)
	r.was, r.goal, r.labels = present, goal, []string{present, goal}
}

// restore restores a snapshot.
func (w *world) restore(id store.ID, more string) (done snapshot.Restored, err error) {
	return done, w.long("snapshots/restore?id="+string(id)+more, &done)
}

// restoreSaved restores the snapshot that was prepared.
func (w *world) restoreSaved(r *round) error {
	_, err := w.restore(r.saved.ID, "")
	return err
}

// stateScenarios are what happens to the state of a gateway that is ready.
var stateScenarios = []scenario{
	{name: "snapshot", prepare: (*world).relabel, act: func(w *world, _ *round) error {
		_, err := w.take("scenario")
		return err
	}},
	{name: "restore", ends: true, prepare: (*world).another, act: (*world).restoreSaved},
	{name: "restore without a snapshot before", ends: true, prepare: (*world).another, act: func(w *world, r *round) error {
		_, err := w.restore(r.saved.ID, "&no_snapshot=1")
		return err
	}},
	{name: "state lost", ends: true, over: nextGeneration, prepare: (*world).another, act: (*world).loseState},
	{name: "restore is refused", ends: true, prepare: func(w *world, r *round) {
		path := filepath.Join(w.stateDir, refusal)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			w.T.Fatal(err)
		}
		w.another(r)
		if err := os.Remove(path); err != nil {
			w.T.Fatal(err)
		}
		r.labels, r.goal = []string{r.was}, r.was // no instance gets ready on the other
	}, act: func(w *world, r *round) error {
		if err := w.restoreSaved(r); err == nil || !strings.Contains(err.Error(), "the old state is back") {
			return fmt.Errorf("a state that cannot be used was restored: %w", err)
		}
		return nil
	}},
	{name: "staging cut short", prepare: func(w *world, r *round) {
		w.another(r)
		r.labels, r.goal = []string{r.was}, r.was // it was not wished for yet
	}, deaths: []death{{crashpoint.RestoreStaged, roleOld, 1, victimCreel}}, act: func(w *world, r *round) error {
		if err := w.restoreSaved(r); err == nil {
			return errors.New("creel has lived on")
		}
		return nil
	}},
	{name: "set aside and removed", prepare: (*world).setAside, over: func(w *world, _, _ api.Status) bool {
		st, err := w.restores().Status()
		return err == nil && !slices.ContainsFunc(st.Kept, func(k restore.Kept) bool { return !k.Rejected })
	}, act: func(w *world, r *round) error {
		w.killCreel(r) // the next one looks at what was set aside
		return nil
	}},
	{name: "upgrade within a snapshot", prepare: (*world).relabel, act: func(w *world, _ *round) error {
		taken := make(chan error, 1)
		go func() {
			_, err := w.take("scenario")
			taken <- err
		}()
		err := w.ask("upgrade")
		<-taken // it may have been called off
		return err
	}},
	{name: "restart within a snapshot", ends: true, prepare: (*world).relabel, over: nextGeneration, act: func(w *world, r *round) error {
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			_, _ = w.take("scenario") // of which nothing may come
		}()
		err := w.ask("restart")
		<-taken
		return err
	}},
}

// setAside prepares a round that begins with a state that was restored, and has a
// verified snapshot since.
func (w *world) setAside(r *round) {
	w.T.Helper()
	w.another(r)
	var s store.Snapshot
	err := w.restoreSaved(r)
	if err == nil {
		err = w.long("snapshots/"+string(w.mustTake("restored").ID)+"/verify", &s)
	}
	if err != nil {
		w.fatalf("nothing could be set aside: %v", err)
	}
	r.before = w.steady()
	r.was, r.labels = r.goal, []string{r.goal}
}

// restores are those of the gateway.
func (w *world) restores() *restore.Restorer {
	return restore.New(filepath.Join(w.DataDir(), "gateways", "chaos"))
}

// relabel prepares a round that leaves the state as it is.
func (w *world) relabel(r *round) {
	label := fmt.Sprintf("%d same", w.round)
	w.label(label)
	r.was, r.goal, r.labels = label, label, []string{label}
}

// loseState has creel start without a state: one folder is gone, the other one
// is empty.
func (w *world) loseState(r *round) error {
	w.killCreel(r)
	w.killAll(gatewaysOf(w.Dir))
	w.awaitWithout("the gateway's end", func() error {
		if left := gatewaysOf(w.Dir); len(left) > 0 {
			return fmt.Errorf("%v are still there", left)
		}
		return nil
	})
	r.labels = []string{r.goal}
	if err := os.RemoveAll(filepath.Join(w.stateDir, "one")); err != nil {
		return err
	}
	two := filepath.Join(w.stateDir, "two")
	err := os.RemoveAll(two)
	if err == nil {
		err = os.Mkdir(two, 0o700)
	}
	return err
}
