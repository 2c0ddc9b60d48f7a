package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
	"creel/test/mounttest"
)

// TestFullDisk runs TestOnFullDisk in a mount namespace of its own, where it may mount
// small disks.
func TestFullDisk(t *testing.T) { mounttest.Run(t, "TestOnFullDisk", 4) }

// TestOnFullDisk is not a test of its own, see TestFullDisk. A restore finds too little
// room, before it writes anything or in the midst of it: the state is as it was, the
// gateway is not started blank, what a person reads names the way out, and when there is
// room again another try is all it takes.
func TestOnFullDisk(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	for _, when := range []string{"before", "midway"} {
		t.Run("missing state, "+when, func(t *testing.T) { missingStateOnFullDisk(t, newFull(t), when) })
		t.Run("asked for, "+when, func(t *testing.T) { askedForOnFullDisk(t, newFull(t), when) })
	}
}

// full is a world whose state is on a disk of 8 MiB, with a snapshot of 3 MiB in files
// that say "one".
type full struct {
	*world
	k    *Keeper
	s    store.Snapshot
	disk string
	hog  string // a file of somebody else's
}

func newFull(t *testing.T) *full {
	w := &full{world: newWorld(t), disk: t.TempDir()}
	must(t, unix.Mount("tmpfs", w.disk, "tmpfs", 0, "size=8m"))
	t.Cleanup(func() { must(t, unix.Unmount(w.disk, unix.MNT_DETACH)) })
	w.State, w.hog = filepath.Join(w.disk, "state"), filepath.Join(w.disk, "hog")
	w.write(3, "one")
	for i := range 3 {
		must(t, os.WriteFile(filepath.Join(w.State, fmt.Sprintf("large%d", i)), bytes.Repeat([]byte("x"), 1<<20), 0o600))
	}
	w.k = w.keeper()
	must(t, w.prepare(w.k, 1, gateway.End{}))
	w.s = w.take(w.k)
	return w
}

// fill leaves no room but for so many bytes, before a restore or when it reads its
// first large file.
func (w *full) fill(when string, leave int) {
	fill := func() { // in any goroutine; others write, too, and the last bytes may be theirs
		var s unix.Statfs_t
		err := unix.Statfs(w.disk, &s)
		if err == nil {
			err = os.WriteFile(w.hog, make([]byte, max(int(s.Bavail)*int(s.Bsize)-leave, 0)), 0o600)
		}
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			w.t.Error(err)
		}
	}
	if when == "before" {
		fill()
		return
	}
	var once sync.Once
	w.Store.read = func(path string) {
		if strings.Contains(path, "large") {
			once.Do(fill)
		}
	}
}

func (w *full) free() {
	w.Store.read = nil
	must(w.t, os.Remove(w.hog))
}

// noRoom checks that an error says that there is no room.
func (w *full) noRoom(err error, when string) {
	w.t.Helper()
	if when == "before" && !is[*restore.SpaceError](err) || when == "midway" && !errors.Is(err, unix.ENOSPC) {
		w.t.Errorf("got %v", err)
	}
}

// nothingElse checks that nothing of a restore lies about.
func (w *full) nothingElse() {
	w.t.Helper()
	list, err := os.ReadDir(w.disk)
	must(w.t, err)
	for _, e := range list {
		if e.Name() != "state" && e.Name() != "hog" {
			w.t.Errorf("left behind: %s", e.Name())
		}
	}
}

func missingStateOnFullDisk(t *testing.T, w *full, when string) {
	must(t, os.RemoveAll(w.State))
	for generation := range uint64(2) { // and it is no better for trying again
		w.fill(when, 1<<20)
		err := w.prepare(w.k, 2+generation, gateway.End{})
		plan := refused(t, err, false)
		w.noRoom(plan, when)
		for _, word := range []string{"Make room", "creel start", "--or-fresh"} {
			if !strings.Contains(plan.Hint, word) {
				t.Errorf("the hint does not say %q: %q", word, plan.Hint)
			}
		}
		if w.says() != "" || w.Journal.count(event.FreshStart) != 0 || !strings.Contains(w.troubled(TroubleMissing), "missing") {
			t.Errorf("the state says %q; trouble %v", w.says(), w.Trouble)
		}
		if _, err := os.Stat(w.State); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a state folder: %v", err)
		}
		w.nothingElse()
		w.free()
	}
	if _, err := w.k.Create(t.Context(), Request{}); !errors.Is(err, ErrNoLineage) {
		t.Errorf("what is left of a failed restore can be saved: %v", err)
	}
	if n := w.Journal.count(event.RestoreFailed); n != 2 {
		t.Errorf("the journal tells of %d failures", n)
	}
	must(t, w.prepare(w.k, 4, gateway.End{}))
	if w.says() != "one" || w.troubled(TroubleMissing) != "" {
		t.Errorf("it is not restored when it can be: %q, %v", w.says(), w.Trouble)
	}
}

func askedForOnFullDisk(t *testing.T, w *full, when string) {
	w.run(w.k)
	w.write(3, "two")
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation, st.PID = gateway.Ready, 1, 1 })
	w.fill(when, 1<<20)
	_, err := w.k.Restore(t.Context(), RestoreRequest{ID: w.s.ID, NoSnapshot: true})
	w.noRoom(err, when)
	if st := w.Sup.Status(); st.Generation != 1 || st.State != gateway.Ready {
		t.Errorf("the gateway was disturbed: %+v", st)
	}
	if w.says() != "two" || w.Journal.count(event.RestoreFailed) != 1 {
		t.Errorf("the state says %q; %d failures", w.says(), w.Journal.count(event.RestoreFailed))
	}
	w.nothingElse()
	w.free()
	if _, err := w.k.Restore(t.Context(), RestoreRequest{ID: w.s.ID, NoSnapshot: true}); err != nil {
		t.Fatal(err)
	}
	if st := w.Sup.Status(); w.says() != "one" || st.State != gateway.Ready || st.Generation != 2 {
		t.Errorf("the state says %q; %+v", w.says(), st)
	}
	w.Sup.running.Wait()
}

// TestWaysOut: what a disk lacks is said with what to do about it.
func TestWaysOut(t *testing.T) {
	w := newWorld(t)
	k := w.keeper()
	for err, says := range map[error]string{
		&restore.SpaceError{Path: "/x"}: "Make room", unix.ENOSPC: "Make room", unix.EDQUOT: "Make room",
		unix.EIO: "dmesg", unix.EROFS: "dmesg", io.ErrUnexpectedEOF: "Mend the cause",
	} {
		if hint := k.wayOut(t.Context(), fmt.Errorf("no: %w", err)); !strings.Contains(hint, says) || !strings.Contains(hint, "creel start") || !strings.Contains(hint, "--or-fresh") {
			t.Errorf("%v: %s", err, hint)
		}
	}
}
