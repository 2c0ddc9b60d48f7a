package process

import (
	"errors"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// TestStrays: an older copy of the data folder was put in place while generation
// 5 ran, and names generation 3, which runs as well. The recorded one is found,
// the other is listed, and killing the one does not touch the other; the next
// start ends it (I1).
func TestStrays(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue // who writes to the log is a part of the recorded one: see Strays
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			spec := roleSpec(freePort(t), "app", "serve")
			spec.Generation = 3
			recorded := mustStart(t, r, spec)
			awaitServing(t, recorded.Addr())
			kept, err := os.ReadFile(r.record.path)
			if err != nil {
				t.Fatal(err)
			}
			stray := strayOf(t, r, 5)
			orphan := runtimetest.Orphan(t, stray.Addr())
			if err := os.WriteFile(r.record.path, kept, 0o600); err != nil {
				t.Fatal(err)
			}

			again := testRuntime(t, dir, parent)
			if i := mustFind(t, again); i.Record().Generation != 3 {
				t.Fatalf("found %+v", i.Record())
			}
			strays, err := again.Strays(t.Context(), "contract")
			if err != nil || len(strays) != 2 {
				t.Fatalf("strays %+v, %v", strays, err)
			}
			for _, s := range strays {
				if s.PID != stray.Record().PID && s.PID != orphan || !strings.Contains(s.Command, "serve") && s.PID != orphan || !strings.HasSuffix(s.Where, "/g5") {
					t.Errorf("stray %+v", s)
				}
			}
			if _, err := again.EndStrays(t.Context(), "contract"); !errors.Is(err, ErrRecorded) {
				t.Errorf("ending strays beside a recorded instance: %v", err)
			}
			mustKill(t, mustFind(t, again))
			runtimetest.Ask(t, stray.Addr()) // it lives
			spec = roleSpec(freePort(t), "app", "serve")
			spec.Generation = 6
			next := mustStart(t, again, spec)
			awaitDone(t, stray)
			awaitServing(t, next.Addr())
			if strays, err := again.Strays(t.Context(), "contract"); err != nil || len(strays) != 0 {
				t.Errorf("strays after the start: %+v, %v", strays, err)
			}
		})
	}
}

// strayOf runs another instance as a creel would that has another record.
func strayOf(t *testing.T, r *Runtime, generation uint64) runtime.Instance {
	t.Helper()
	spec := roleSpec(freePort(t), "app", "serve")
	spec.Generation = generation
	g := groups{main: cgroup{path: filepath.Join(cgroupBase(r.support.Path, r.opts.DataDir, spec.Gateway), generationName(generation)), v2: r.support.Mode == ModeV2}}
	if err := g.main.(cgroup).create(); err != nil {
		t.Fatal(err)
	}
	l, g, err := r.launch(spec, testBinary(t), g)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	i, err := r.identify(spec, l, g)
	if err == nil {
		err = l.release(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustKill(t, i) })
	awaitServing(t, i.Addr())
	return i
}

// TestSweep: an unrecorded instance without a cgroup is known by the log that it
// writes to. Somebody who reads the log, or writes to another, is left alone.
func TestSweep(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			without := testRuntime(t, dir, Support{Path: NoCgroup})
			left := mustStart(t, without, roleSpec(freePort(t), "app", "serve"))
			awaitServing(t, left.Addr())
			orphan := runtimetest.Orphan(t, left.Addr())
			other := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
			stranger := mustStart(t, other, roleSpec(freePort(t), "app", "serve"))
			awaitServing(t, stranger.Addr())
			if err := os.Remove(without.record.path); err != nil {
				t.Fatal(err)
			}
			r := testRuntime(t, dir, parent)
			ended, err := r.EndStrays(t.Context(), "contract")
			if err != nil || len(ended) != 2 {
				t.Errorf("ended %+v, %v", ended, err)
			}
			awaitDone(t, left)
			if stat, err := readStat(orphan); err == nil && !stat.ended() {
				t.Errorf("the orphan is in state %c", stat.state)
			}
			runtimetest.Ask(t, stranger.Addr())
		})
	}
}

// TestNoFileAsRecord: what is no file is no record, and can be put aside.
func TestNoFileAsRecord(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"folder":        func(path string) error { return os.MkdirAll(filepath.Join(path, "in it"), 0o700) },
		"pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"dangling link": func(path string) error { return os.Symlink("/creel/nowhere", path) },
	} {
		t.Run(name, func(t *testing.T) {
			r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
			if err := make(r.record.path); err != nil {
				t.Fatal(err)
			}
			_, err := r.Find(t.Context())
			var refused *runtime.RecordError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, "no file") {
				t.Fatalf("find: %v", err)
			}
			spec := roleSpec(freePort(t), "touch", os.DevNull)
			if _, err := r.Start(t.Context(), spec); !errors.Is(err, ErrRecorded) {
				t.Errorf("start: %v", err)
			}
			path, err := r.SetAside(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Error(err)
			}
			mustStart(t, r, spec)
		})
	}
}

// TestRecordUnreadable: a record that creel may not read stays, and nothing is
// started beside what it may speak of.
func TestRecordUnreadable(t *testing.T) {
	r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
	if err := r.record.write(sampleRecord(r)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.record.path, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // root may read all, unless for files it is someone else
		goruntime.LockOSThread()
		defer goruntime.UnlockOSThread()
		for dir := r.opts.Dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := unix.SetfsuidRetUid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	_, err := r.Find(t.Context())
	var refused *runtime.RecordError
	if !errors.Is(err, os.ErrPermission) || errors.As(err, &refused) || !strings.Contains(err.Error(), r.record.path) {
		t.Errorf("find: %v", err)
	}
	if _, err := r.Strays(t.Context(), "contract"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("strays: %v", err)
	}
	if _, err := r.Start(t.Context(), roleSpec(freePort(t), "touch", os.DevNull)); !errors.Is(err, ErrRecorded) {
		t.Errorf("start: %v", err)
	}
}

// TestMovedFolder: the folder of a running instance was moved. Nothing is adopted,
// and nothing is started beside it; once it has ended the record is like that of
// any other folder. A copy of the folder does not mind the original.
func TestMovedFolder(t *testing.T) {
	old := t.TempDir()
	r := testRuntime(t, filepath.Join(old, "data"), Support{Path: NoCgroup})
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve"))
	awaitServing(t, i.Addr())

	fresh := t.TempDir()
	if err := os.CopyFS(filepath.Join(fresh, "copy"), os.DirFS(filepath.Join(old, "data"))); err != nil {
		t.Fatal(err)
	}
	var refused *runtime.RecordError
	c := testRuntime(t, filepath.Join(fresh, "copy"), Support{Path: NoCgroup})
	if _, err := c.Find(t.Context()); !errors.As(err, &refused) {
		t.Errorf("find in the copy: %v", err)
	}

	if err := os.Rename(filepath.Join(old, "data"), filepath.Join(fresh, "moved")); err != nil {
		t.Fatal(err)
	}
	m := testRuntime(t, filepath.Join(fresh, "moved"), Support{Path: NoCgroup})
	_, err := m.Find(t.Context())
	var moved *movedError
	if !errors.As(err, &moved) || errors.As(err, &refused) {
		t.Errorf("find in the moved folder: %v", err)
	}
	runtimetest.Ask(t, i.Addr())
	runtimetest.Exit(i.Addr(), 0)
	awaitDone(t, i)
	if _, err := m.Find(t.Context()); !errors.As(err, &refused) {
		t.Errorf("find after its end: %v", err)
	}
	// For the clean-up, which knows the old place.
	if err := os.Rename(filepath.Join(fresh, "moved"), filepath.Join(old, "data")); err != nil {
		t.Fatal(err)
	}
}
