package restore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/crashpoint"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway's folders on disk, with a snapshot to restore.
type world struct {
	Dir  string // everything is in here
	Case string // which way to go, see restorer
}

func (w world) folder() string { return filepath.Join(w.Dir, "records") }

// roots are two state folders, beside each other, of which the second does not
// exist yet.
func (w world) roots() []store.Root {
	return []store.Root{{Name: "home", Path: filepath.Join(w.Dir, "data", "home")}, {Name: "work", Path: filepath.Join(w.Dir, "data", "work")}}
}

// build makes the folders: the old state, and beside the world a copy of it and
// what the snapshot holds.
func build(tb testing.TB, dir, kind string) world {
	tb.Helper()
	w := world{dir, kind}
	for _, d := range []string{"records", "data/home/sub", "new/home/sub/deep", "new/work"} {
		must(tb, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for name, content := range map[string]string{
		"data/home/memory": "old", "data/home/sub/only-old": "old", "data/home/sub/both": "old",
		"new/home/memory": "new!", "new/home/sub/deep/only-new": "new", "new/home/sub/both": "newer", "new/work/w": "new",
	} {
		put(tb, filepath.Join(dir, name), content)
	}
	must(tb, os.Chmod(filepath.Join(dir, "new/home"), 0o500))
	must(tb, os.Symlink("memory", filepath.Join(dir, "new/work/link")))
	database(tb, filepath.Join(dir, "new/home/state.sqlite"))
	if kind != "absent" { // then there is no second root before
		must(tb, os.MkdirAll(filepath.Join(dir, "data/work"), 0o755))
		put(tb, filepath.Join(dir, "data/work/w"), "old")
	}
	if kind == "inside" {
		must(tb, os.Mkdir(filepath.Join(dir, "data/home/lost+found"), 0o700))
	}
	must(tb, os.MkdirAll(filepath.Join(dir, "was"), 0o755))
	for _, r := range w.roots() {
		if _, err := os.Stat(r.Path); err == nil {
			_, err := tree.Write(tb.Context(), tree.OfDir(r.Name, r.Path), map[string]string{r.Name: filepath.Join(dir, "was", r.Name)}, tree.WriteOptions{})
			must(tb, err)
		}
	}
	return w
}

// restorer goes the way of the case.
func (w world) restorer(passed func(crashpoint.Point)) *Restorer {
	r := New(w.folder())
	r.passed = passed
	switch w.Case {
	case "renames": // a file system without exchange
		r.disk.exchange = func(string, string) error { return os.NewSyscallError("renameat2", errInvalid) }
	case "inside":
		r.disk.isFixed = func(path string) bool { return filepath.Base(path) == "home" }
	}
	return r
}

func (w world) snapshot() store.Files {
	return &files{Tree: tree.OfDirs(map[string]string{"home": filepath.Join(w.Dir, "new/home"), "work": filepath.Join(w.Dir, "new/work")}), roots: w.roots()}
}

// files is a snapshot that is a plain folder.
type files struct {
	tree.Tree
	roots  []store.Root
	opened func() // with each file
	totals *tree.Totals
}

func (f *files) Snapshot() store.Snapshot {
	var s store.Snapshot
	s.ID, s.Roots = "20261126T015400Z-7f3a", f.roots
	if f.totals != nil {
		s.Totals = *f.totals
		return s
	}
	for e, err := range f.Walk(context.Background()) {
		if err == nil {
			s.Totals.Add(e)
		}
	}
	return s
}

func (f *files) Close() error { return nil }

func (f *files) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if f.opened != nil {
		f.opened()
	}
	return f.Tree.Open(ctx, path)
}

// state says which state the roots are in; all else is an error.
func (w world) state(tb testing.TB) string {
	tb.Helper()
	is := func(top string) string {
		var said []string
		for _, r := range w.roots() {
			want := filepath.Join(w.Dir, top, r.Name)
			_, werr := os.Stat(want)
			_, err := os.Stat(r.Path)
			if os.IsNotExist(werr) && os.IsNotExist(err) {
				continue
			}
			if err != nil || werr != nil {
				said = append(said, fmt.Sprint(err, werr))
				continue
			}
			list, err := tree.Compare(tb.Context(), tree.OfDir(r.Name, want), tree.OfDir(r.Name, r.Path), tree.CompareOptions{})
			must(tb, err)
			for _, d := range list {
				if strings.Contains(d.Path, "/"+insideName) || strings.Contains(d.Path, "lost+found") {
					continue
				}
				// The target that keeps its place: what is put beside the state
				// into it changes its time.
				if d.Path == "home" && w.Case == "inside" && slices.Equal(d.Aspects, []tree.Aspect{tree.AspectTime}) {
					continue
				}
				said = append(said, d.String())
			}
		}
		return strings.Join(said, "\n")
	}
	old, fresh := is("was"), is("new")
	switch {
	case old == "":
		return "old"
	case fresh == "":
		return "new"
	}
	tb.Errorf("a mixture.\nFrom the old state it differs by\n%s\nfrom the new one by\n%s", old, fresh)
	return "mixture"
}

// clean checks that nothing of a restore is left but what is named.
func (w world) clean(tb testing.TB) {
	tb.Helper()
	must(tb, filepath.WalkDir(filepath.Join(w.Dir, "data"), func(p string, _ os.DirEntry, err error) error {
		if strings.Contains(filepath.Base(p), mark) {
			tb.Errorf("left behind: %s", p)
		}
		return err
	}))
	if list, err := os.ReadDir(w.folder()); err != nil || len(list) > 0 {
		tb.Errorf("left behind in the gateway's folder: %v (%v)", list, err)
	}
}

// sweepAll removes all that was set aside.
func sweepAll(tb testing.TB, r *Restorer) {
	tb.Helper()
	_, err := r.Sweep(tb.Context(), SweepOptions{Before: time.Now().Add(time.Hour)})
	must(tb, err)
}

// database writes one with a log.
func database(tb testing.TB, path string) {
	tb.Helper()
	files, err := someDatabase()
	must(tb, err)
	for suffix, b := range files {
		must(tb, os.WriteFile(path+suffix, b, 0o600))
	}
}

// someDatabase makes a database, once.
var someDatabase = sync.OnceValues(func() (files map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "creel-database-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	made := filepath.Join(dir, "db")
	db, err := sql.Open("sqlite", made)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for _, s := range []string{"PRAGMA journal_mode=wal", "CREATE TABLE t(a)", "CREATE INDEX i ON t(a)", "INSERT INTO t VALUES('needle'), ('more')"} {
		if _, err := db.Exec(s); err != nil {
			return nil, err
		}
	}
	files = map[string][]byte{}
	for _, suffix := range []string{"", "-wal"} {
		if files[suffix], err = os.ReadFile(made + suffix); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// memoryDir is a folder in memory, where there is one: on a disk, most of the
// time of tests that die hundreds of times is that of fsync.
func memoryDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "creel-restore-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { must(tb, removeAll(dir)) })
	return dir
}

func put(tb testing.TB, path, content string) {
	tb.Helper()
	must(tb, os.WriteFile(path, []byte(content), 0o644))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
