package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

const errBusy = syscall.EBUSY

// settled checks what a restore that failed has left: a whole state, or an
// UnfinishedError; and, after a creel without trouble, a whole state and nothing
// else.
func (w world) settled(t *testing.T, err error) {
	t.Helper()
	if !is[*UnfinishedError](err) {
		w.state(t)
	}
	r := w.restorer(func(crashpoint.Point) {})
	got, err := r.Recover(gateway.StillnessForTest(t))
	must(t, errors.Join(err, got.Trouble))
	state := w.state(t)
	if got.Outcome == RolledForward || got.Outcome == StillOnTrial {
		if state != "new" {
			t.Errorf("%s, and the state is the %s one", got.Outcome, state)
		}
		must(t, r.Confirm())
	}
	sweepAll(t, r)
	w.clean(t)
}

func TestRefusesWithoutAWord(t *testing.T) {
	var kept gateway.Stillness
	t.Run("word", func(t *testing.T) { kept = gateway.StillnessForTest(t) })
	for name, still := range map[string]gateway.Stillness{"self-made": {}, "kept for later": kept} {
		t.Run(name, func(t *testing.T) {
			w := build(t, t.TempDir(), "exchange")
			r := w.restorer(func(crashpoint.Point) {})
			s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
			must(t, err)
			if err := s.Swap(t.Context(), still); !errors.Is(err, ErrMoving) {
				t.Errorf("got %v", err)
			}
			if got := w.state(t); got != "old" {
				t.Errorf("the state is the %s one", got)
			}
			w.clean(t)
		})
	}
}

// TestWordTakenBack: the word does not hold any more in the midst of a swap.
// Nothing is renamed without it, and the next creel that has one finishes.
func TestWordTakenBack(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	r := w.restorer(func(crashpoint.Point) {})
	s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
	must(t, err)
	word := &lender{}
	r.passed = func(p crashpoint.Point) {
		if p != crashpoint.RestoreRootSwapped {
			return
		}
		word.end()
		r.disk.rename = func(a, b string) error { t.Errorf("renamed %s without a word", a); return rename(a, b) }
		r.disk.exchange = func(a, b string) error { t.Errorf("exchanged %s without a word", a); return exchange(a, b) }
	}
	err = s.Swap(t.Context(), gateway.StillnessForTest(word))
	if !is[*UnfinishedError](err) || !errors.Is(err, ErrMoving) {
		t.Errorf("got %v", err)
	}
	next := w.restorer(func(crashpoint.Point) {})
	if _, again := next.Recover(gateway.Stillness{}); !is[*UnfinishedError](again) {
		t.Errorf("a creel without a word: %v", again)
	}
	w.settled(t, err)
}

// lender ends a word when it is told to.
type lender struct {
	end func()
}

func (l *lender) Cleanup(f func()) { l.end = f }

// TestRefusesJournals: nothing is touched on the word of a journal that is not
// understood.
func TestRefusesJournals(t *testing.T) {
	good := func(w world, change func(*journal)) string {
		j := journal{Version: 1, Now: &operation{ID: "x", Phase: Swapping, Roots: []*root{{Name: "home", Path: w.roots()[0].Path, Way: Beside, Had: true}}}}
		change(&j)
		b, err := json.Marshal(j)
		must(t, err)
		return string(b)
	}
	for name, c := range map[string]struct {
		text func(w world) string
		next string
	}{
		"garbage":                 {func(world) string { return "\x00\x00" }, "remove this file"},
		"empty":                   {func(world) string { return "" }, "remove this file"},
		"cut short":               {func(w world) string { return good(w, func(*journal) {})[:40] }, "remove this file"},
		"newer":                   {func(w world) string { return good(w, func(j *journal) { j.Version = 2 }) }, "use that creel"},
		"newer, and other fields": {func(world) string { return `{"version": 7, "now": "else"}` }, "use that creel"},
		"no version":              {func(world) string { return `{}` }, "remove this file"},
		"unknown field":           {func(world) string { return `{"version": 1, "later": 1}` }, "remove this file"},
		"unknown phase":           {func(w world) string { return good(w, func(j *journal) { j.Now.Phase = "x" }) }, "remove this file"},
		"no folders":              {func(w world) string { return good(w, func(j *journal) { j.Now.Roots = nil }) }, "remove this file"},
		"relative":                {func(w world) string { return good(w, func(j *journal) { j.Now.Roots[0].Path = "home" }) }, "remove this file"},
		"climbing id":             {func(w world) string { return good(w, func(j *journal) { j.Now.ID = "/../../x" }) }, "remove this file"},
		"foreign folder": {func(w world) string {
			return good(w, func(j *journal) { j.Now = nil; j.Kept = []Kept{{Path: w.roots()[0].Path, Doomed: true}} })
		}, "remove this file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, t.TempDir(), "exchange")
			put(t, filepath.Join(w.folder(), JournalName), c.text(w))
			r := w.restorer(func(crashpoint.Point) {})
			before := tree.OfDir("w", snapshotOf(t, w.Dir))
			for what, call := range map[string]func() error{
				"recover": func() error { _, err := r.Recover(gateway.StillnessForTest(t)); return err },
				"stage":   func() error { _, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{}); return err },
				"confirm": r.Confirm,
				"undo":    func() error { return r.Undo(gateway.StillnessForTest(t), true) },
				"sweep":   func() error { _, err := r.Sweep(t.Context(), SweepOptions{Before: time.Now()}); return err },
				"status":  func() error { _, err := r.Status(); return err },
			} {
				e, ok := errors.AsType[*JournalError](call())
				if !ok || !strings.Contains(e.Next, c.next) {
					t.Errorf("%s: got %v", what, e)
				}
			}
			list, err := tree.Compare(t.Context(), before, tree.OfDir("w", w.Dir), tree.CompareOptions{})
			if err != nil || len(list) > 0 {
				t.Errorf("something was touched: %v (%v)", list, err)
			}
		})
	}
}

// snapshotOf copies a folder.
func snapshotOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	_, err := tree.Write(t.Context(), tree.OfDir("w", dir), map[string]string{"w": to}, tree.WriteOptions{})
	must(t, err)
	return to
}

// TestStageFails: whatever goes wrong before the swap leaves the state as it was,
// and nothing beside it.
func TestStageFails(t *testing.T) {
	broken := &store.DamagedError{ID: "x", Path: "home/memory", Err: errors.New("bit rot")}
	for name, c := range map[string]struct {
		change func(t *testing.T, w world, f *files, cancel context.CancelFunc) store.Files
		is     func(error) bool
	}{
		"damaged content": {func(_ *testing.T, _ world, f *files, _ context.CancelFunc) store.Files {
			return &rotten{f, broken}
		}, func(err error) bool { return errors.Is(err, broken) }},
		"broken disk of the store": {func(_ *testing.T, _ world, f *files, _ context.CancelFunc) store.Files {
			return &rotten{f, unix.EIO}
		}, func(err error) bool { return errors.Is(err, unix.EIO) }},
		"cancelled": {func(_ *testing.T, _ world, f *files, cancel context.CancelFunc) store.Files {
			f.opened = cancel
			return f
		}, func(err error) bool { return errors.Is(err, context.Canceled) }},
		"list is not whole": {func(_ *testing.T, _ world, f *files, _ context.CancelFunc) store.Files {
			f.totals = &tree.Totals{Files: 99, Dirs: 4, Bytes: 1}
			return f
		}, func(err error) bool { _, ok := errors.AsType[*store.DamagedError](err); return ok }},
		"damaged database": {func(t *testing.T, w world, f *files, _ context.CancelFunc) store.Files {
			spoil(t, filepath.Join(w.Dir, "new/home/state.sqlite-wal"))
			return f
		}, func(err error) bool {
			e, ok := errors.AsType[*DatabasesError](err)
			return ok && len(e.Damaged) == 1 && e.Damaged[0].Path == "home/state.sqlite"
		}},
		"too large": {func(_ *testing.T, _ world, f *files, _ context.CancelFunc) store.Files {
			return &huge{f}
		}, func(err error) bool {
			e, ok := errors.AsType[*SpaceError](err)
			return ok && e.Need > 1<<60 && e.Free > 0 && strings.Contains(err.Error(), "bytes")
		}},
		"other roots": {func(_ *testing.T, _ world, f *files, _ context.CancelFunc) store.Files {
			f.roots = f.roots[:1]
			return f
		}, func(err error) bool { _, ok := errors.AsType[*RootsError](err); return ok }},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, t.TempDir(), "exchange")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f := c.change(t, w, w.snapshot().(*files), cancel)
			_, err := w.restorer(func(crashpoint.Point) {}).Stage(ctx, f, w.roots(), StageOptions{})
			if !c.is(err) {
				t.Errorf("got %v", err)
			}
			if got := w.state(t); got != "old" {
				t.Errorf("the state is the %s one", got)
			}
			w.clean(t)
		})
	}
}

// TestAcceptDamaged restores what is left.
func TestAcceptDamaged(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	spoil(t, filepath.Join(w.Dir, "new/home/state.sqlite-wal"))
	r := w.restorer(func(crashpoint.Point) {})
	s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{AcceptDamaged: true})
	must(t, err)
	if len(s.Damaged) != 1 || s.Databases != 0 {
		t.Errorf("damaged %v, whole %d", s.Damaged, s.Databases)
	}
	must(t, s.Swap(t.Context(), gateway.StillnessForTest(t)))
	must(t, r.Confirm())
	if got := w.state(t); got != "new" {
		t.Errorf("the state is the %s one", got)
	}
}

// spoil makes nonsense of the first page of the database that a log belongs to, and
// of the log.
func spoil(t *testing.T, log string) {
	t.Helper()
	must(t, os.Remove(log))
	path := strings.TrimSuffix(log, "-wal")
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(b[:100], bytes.Repeat([]byte{0xff}, len(b)-100)...), 0o600))
}

type rotten struct {
	*files
	err error
}

func (r *rotten) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if path == "home/memory" {
		return io.NopCloser(io.MultiReader(strings.NewReader("n"), failing{r.err})), nil
	}
	return r.files.Open(ctx, path)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// huge claims to be larger than any disk.
type huge struct{ *files }

func (h *huge) Walk(ctx context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for e, err := range h.files.Walk(ctx) {
			if e.Path == "home/memory" {
				e.Size = 1 << 61
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (h *huge) Snapshot() store.Snapshot {
	s := h.files.Snapshot()
	s.Totals.Bytes += 1<<61 - 4
	return s
}

// TestOneAtATime: a restore that is on trial has to come to its end first.
func TestOneAtATime(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	r := w.restorer(func(crashpoint.Point) {})
	s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
	must(t, err)
	again := func() error {
		_, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
		return err
	}
	if e, ok := errors.AsType[*UnderWayError](again()); !ok || e.Phase != Staging {
		t.Errorf("while one is staged: %v", e)
	}
	must(t, s.Swap(t.Context(), gateway.StillnessForTest(t)))
	if e, ok := errors.AsType[*UnderWayError](again()); !ok || e.Phase != OnTrial {
		t.Errorf("while one is on trial: %v", e)
	}
	for what, err := range map[string]error{"swap": s.Swap(t.Context(), gateway.StillnessForTest(t)), "discard": s.Discard()} {
		if !errors.Is(err, ErrNotUnderWay) {
			t.Errorf("%s a second time: %v", what, err)
		}
	}
	must(t, r.Confirm())
	if err := r.Confirm(); !errors.Is(err, ErrNotUnderWay) {
		t.Errorf("confirmed twice: %v", err)
	}
}

// TestStateChangedMeanwhile: what the target is was looked at before.
func TestStateChangedMeanwhile(t *testing.T) {
	w := build(t, t.TempDir(), "absent")
	r := w.restorer(func(crashpoint.Point) {})
	s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
	must(t, err)
	must(t, os.Mkdir(w.roots()[1].Path, 0o700))
	if err := s.Swap(t.Context(), gateway.StillnessForTest(t)); err == nil || !strings.Contains(err.Error(), "not touched") {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(w.roots()[1].Path))
	if got := w.state(t); got != "old" {
		t.Errorf("the state is the %s one", got)
	}
	w.clean(t)
}

// TestOtherInodes: after an exchange only inode numbers tell the folders apart.
// Where they have changed, nothing is guessed.
func TestOtherInodes(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	n := 0
	var points []crashpoint.Point
	for n = 1; ; n++ {
		w = build(t, t.TempDir(), "exchange")
		points = nil
		w.dies(t, n, &points, func(r *Restorer) { w.perform(t, r, w.snapshot().(*files), "confirm") })
		if points[len(points)-1] == crashpoint.RestoreExchanged {
			break
		}
	}
	r := w.restorer(func(crashpoint.Point) {})
	j, err := r.load()
	must(t, err)
	j.Now.Roots[0].OldInode, j.Now.Roots[0].NewInode = 1, 2
	must(t, r.save(j))
	before := tree.OfDir("w", snapshotOf(t, filepath.Join(w.Dir, "data")))
	_, err = r.Recover(gateway.StillnessForTest(t))
	if e, ok := errors.AsType[*UnfinishedError](err); !ok || !strings.Contains(err.Error(), "inode") {
		t.Errorf("got %v", e)
	}
	list, err := tree.Compare(t.Context(), before, tree.OfDir("w", filepath.Join(w.Dir, "data")), tree.CompareOptions{})
	if err != nil || len(list) > 0 {
		t.Errorf("something was touched: %v (%v)", list, err)
	}
}

func TestSweep(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	r := w.restorer(func(crashpoint.Point) {})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r.now = func() time.Time { return at }
	w.perform(t, r, w.snapshot().(*files), "undo and keep")
	w.perform(t, r, w.snapshot().(*files), "confirm")
	for _, c := range []struct {
		o    SweepOptions
		gone int
	}{
		{SweepOptions{}, 0},
		{SweepOptions{Verified: at}, 0},
		{SweepOptions{Before: at}, 0},
		{SweepOptions{Verified: at.Add(time.Second)}, 2},
		{SweepOptions{Verified: at.Add(time.Second)}, 0},
		{SweepOptions{Before: at.Add(time.Second)}, 2},
	} {
		gone, err := r.Sweep(t.Context(), c.o)
		must(t, err)
		if len(gone) != c.gone {
			t.Errorf("%+v: removed %v, want %d", c.o, gone, c.gone)
		}
		for _, k := range gone {
			if _, err := os.Lstat(k.Path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there still: %v", k.Path, err)
			}
		}
	}
	w.clean(t)
}

func TestEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(t *testing.T, dir string)
		found string
	}{
		"absent":  {func(t *testing.T, dir string) { must(t, os.Remove(dir)) }, ""},
		"empty":   {func(*testing.T, string) {}, ""},
		"folders": {func(t *testing.T, dir string) { must(t, os.MkdirAll(dir+"/a/b/c", 0o700)) }, ""},
		"lost+found": {func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/lost+found", 0o700))
			put(t, dir+"/lost+found/#1", "")
		}, ""},
		"ours": {func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/.creel-restore-x", 0o700))
			put(t, dir+"/.creel-restore-x/f", "")
		}, ""},
		"a file": {func(t *testing.T, dir string) { must(t, os.MkdirAll(dir+"/a/b", 0o700)); put(t, dir+"/a/b/f", "") }, "/a/b/f"},
		"a link": {func(t *testing.T, dir string) { must(t, os.Symlink("x", dir+"/l")) }, "/l"},
		"deeper, ours": {func(t *testing.T, dir string) {
			must(t, os.MkdirAll(dir+"/a/lost+found", 0o700))
			put(t, dir+"/a/lost+found/f", "")
		}, "/a/lost+found/f"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			must(t, os.Mkdir(dir, 0o700))
			c.make(t, dir)
			found, err := Empty([]store.Root{{Name: "none", Path: filepath.Join(t.TempDir(), "none")}, {Name: "state", Path: dir}})
			must(t, err)
			if strings.TrimPrefix(found, dir) != c.found {
				t.Errorf("found %q, want %q", found, c.found)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	roots := func(names ...string) (list []store.Root) {
		for _, n := range names {
			list = append(list, store.Root{Name: n, Path: "/" + n})
		}
		return list
	}
	for _, c := range []struct {
		snapshot, gateway []store.Root
		want              string // pairs; empty: refused
	}{
		{roots("a"), roots("a"), "a/a"},
		{roots("a", "b"), roots("b", "a"), "a/a b/b"},
		{roots("a"), roots("x"), "a/x"},
		{roots("a", "b"), roots("x", "y"), "a/x b/y"},
		{roots("a", "b"), roots("b", "x"), ""},
		{roots("a", "b"), roots("a"), ""},
		{roots("a"), roots("a", "b"), ""},
		{roots(), roots("a"), ""},
		{roots(), roots(), ""},
		{roots("a", "a"), roots("a", "a"), ""},
		{roots("x", "x"), roots("a", "b"), ""},
	} {
		to, err := match(c.snapshot, c.gateway)
		var got []string
		for _, s := range c.snapshot {
			if err == nil {
				got = append(got, s.Name+to[s.Name])
			}
		}
		if strings.Join(got, " ") != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v to %v: got %v (%v), want %q", c.snapshot, c.gateway, got, err, c.want)
		}
	}
}

func TestTargets(t *testing.T) {
	r := New(t.TempDir())
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/real", 0o700))
	must(t, os.Symlink("real", dir+"/link"))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	put(t, dir+"/file", "")
	for path, want := range map[string]string{
		"/real": "/real", "/link": "/real", "/new/er/x": "/new/er/x", "/link/x": "/real/x",
		"/dangling": "", "/file": "", "/bytes\xff": "",
	} {
		got, err := r.locate("x", dir+path, "id")
		if err != nil && want != "" || err == nil && got.Path != dir+want {
			t.Errorf("%s: got %+v, %v", path, got, err)
		}
	}
	if _, err := r.locate("x", "/", "id"); err == nil {
		t.Error("/ was taken")
	}
	if err := disjoint([]*root{{Path: "/a"}, {Path: "/ab"}, {Path: "/c"}}); err != nil {
		t.Error(err)
	}
	for _, second := range []string{"/a", "/a/b"} {
		if disjoint([]*root{{Path: second}, {Path: "/a"}}) == nil {
			t.Errorf("/a and %s were taken", second)
		}
	}
}

func TestExport(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	f := w.snapshot().(*files)
	dir := filepath.Join(t.TempDir(), "out")
	_, err := Export(t.Context(), f, dir, nil)
	must(t, err)
	list, err := tree.Compare(t.Context(), f, tree.OfDirs(map[string]string{"home": dir + "/home", "work": dir + "/work"}), tree.CompareOptions{})
	if err != nil || len(list) > 0 {
		t.Errorf("%v (%v)", list, err)
	}
	one := &files{Tree: tree.OfDir("home", filepath.Join(w.Dir, "new/home")), roots: w.roots()[:1]}
	single := t.TempDir() // exists, and is empty
	_, err = Export(t.Context(), one, single, nil)
	must(t, err)
	list, err = tree.Compare(t.Context(), one, tree.OfDir("home", single), tree.CompareOptions{})
	if err != nil || len(list) > 0 {
		t.Errorf("%v (%v)", list, err)
	}
	if _, err := Export(t.Context(), f, dir, nil); !is[*NotEmptyError](err) {
		t.Errorf("into a folder that is not empty: %v", err)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	if _, err := Export(t.Context(), &rotten{f, errors.New("bit rot")}, gone, nil); err == nil {
		t.Error("a damaged snapshot was exported")
	}
	if _, err := os.Lstat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half an export is left: %v", err)
	}
}

func is[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }
