package restore

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"creel/test/mounttest"
)

// TestMounts runs TestInMounts in a mount namespace of its own, where it may
// mount things.
func TestMounts(t *testing.T) { mounttest.Run(t, "TestInMounts", 4) }

// TestInMounts is not a test of its own, see TestMounts.
func TestInMounts(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	mounts := map[string]func(t *testing.T, at string){
		"tmpfs": func(t *testing.T, at string) {
			from := snapshotOf(t, at)
			mount(t, "tmpfs", at, "tmpfs", 0, "size=4m,mode=755")
			copyInto(t, from, at)
		},
		// The same file system on both sides, and not to be renamed all the same.
		"bind": func(t *testing.T, at string) { mount(t, at, at, "", unix.MS_BIND, "") },
	}
	for name, do := range mounts {
		t.Run(name, func(t *testing.T) {
			w := build(t, t.TempDir(), "exchange")
			w.Case = "inside" // of which state() knows
			at := w.roots()[0].Path
			do(t, at)
			r := New(w.folder())
			w.perform(t, r, w.snapshot().(*files), "undo and keep")
			if got := w.state(t); got != "old" {
				t.Errorf("undone, the state is the %s one", got)
			}
			s, err := r.Status()
			must(t, err)
			if !strings.HasPrefix(s.Kept[0].Path, at+"/"+insideName) {
				t.Errorf("the mount point was not taken for one: %+v", s.Kept)
			}
			w.perform(t, r, w.snapshot().(*files), "confirm")
			if got := w.state(t); got != "new" {
				t.Errorf("confirmed, the state is the %s one", got)
			}
			sweepAll(t, r)
			w.clean(t)
		})
	}
	// A disk that is too small: said before, and found out in the midst of it.
	for name, o := range map[string]StageOptions{"too small": {}, "full": {IgnoreSpace: true}} {
		t.Run(name, func(t *testing.T) {
			w := build(t, t.TempDir(), "exchange")
			put(t, filepath.Join(w.Dir, "new/work/large"), strings.Repeat("x", 5<<20))
			data := filepath.Join(w.Dir, "data")
			from := snapshotOf(t, data)
			mount(t, "tmpfs", data, "tmpfs", 0, "size=4m,mode=755")
			copyInto(t, from, data)
			_, err := New(w.folder()).Stage(t.Context(), w.snapshot(), w.roots(), o)
			if !o.IgnoreSpace && !is[*SpaceError](err) || o.IgnoreSpace && !errors.Is(err, unix.ENOSPC) {
				t.Errorf("got %v", err)
			}
			if got := w.state(t); got != "old" {
				t.Errorf("the state is the %s one", got)
			}
			w.clean(t)
			must(t, os.Remove(filepath.Join(w.Dir, "new/work/large")))
			w.perform(t, New(w.folder()), w.snapshot().(*files), "confirm")
		})
	}
}

func mount(t *testing.T, what, at, kind string, flags uintptr, options string) {
	t.Helper()
	must(t, unix.Mount(what, at, kind, flags, options))
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
}

// copyInto fills a folder with what was in another, with all its attributes.
func copyInto(t *testing.T, from, to string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cp", "-aT", from, to)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
