package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// ready makes a world with a gateway that is ready on a state.
func ready(t *testing.T, files int, text string) (*world, *Keeper) {
	w := newWorld(t)
	w.write(files, text)
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation, st.PID = gateway.Ready, 1, 1 })
	return w, k
}

func TestSnapshotSaysWhereItComesFrom(t *testing.T) {
	w, k := ready(t, 3, "one")
	a := w.take(k)
	w.write(4, "two")
	b := w.take(k)
	r := k.record.get()
	if a.Parent != "" || b.Parent != a.ID || a.Lineage == "" || b.Lineage != a.Lineage || b.Generation != 1 || b.Sampled.IsZero() || b.Frozen == 0 {
		t.Errorf("%+v\n%+v", a, b)
	}
	if r.Last != b.ID || r.Totals != b.Totals || r.Mark == "" {
		t.Errorf("%+v", r)
	}
}

// TestLetGoTooEarly: a gateway that was asked to end while it was held still is captured
// all the same.
func TestLetGoTooEarly(t *testing.T) {
	w, k := ready(t, 3, "one")
	w.Sup.letGo = 1
	s := w.take(k)
	if w.Sup.letGo != 0 || s.Totals.Files != 3 || w.troubled(TroubleSave) != "" {
		t.Errorf("%+v, %v", s, w.Trouble)
	}
}

// TestNotSavedBeforeReadBack: a snapshot that cannot be read back counts as none.
func TestNotSavedBeforeReadBack(t *testing.T) {
	w, k := ready(t, 3, "one")
	first := w.take(k)
	w.write(3, "two")
	w.Store.fail("verify", &store.DamagedError{ID: "x", Err: errors.New("a bit is wrong")})
	if _, err := k.Create(t.Context(), Request{}); err == nil {
		t.Fatal("no error")
	}
	if all := w.Store.all; len(all) != 2 || all[1].Damaged == "" {
		t.Fatalf("not marked: %+v", all)
	}
	if r := k.record.get(); r.Last != first.ID || w.troubled(TroubleSave) == "" {
		t.Errorf("%+v, %v", r, w.Trouble)
	}
	mark, err := k.look(t.Context())
	must(t, err)
	if k.changes.savedMark == mark {
		t.Error("the state counts as saved")
	}
	w.Store.fail("verify", nil)
	w.take(k)
	if w.troubled(TroubleSave) != "" {
		t.Errorf("%v", w.Trouble)
	}
}

// TestPruneOnlyAfterReadBack: what a snapshot that was not read back would push out
// stays, and the newest that was is never removed.
func TestPruneOnlyAfterReadBack(t *testing.T) {
	w, k := ready(t, 3, "one")
	for range 3 {
		w.take(k)
	}
	w.Store.fail("verify", errDown)
	for range 3 {
		if _, err := k.Create(t.Context(), Request{}); err == nil {
			t.Fatal("no error")
		}
	}
	kept, err := k.Prune(t.Context(), false)
	must(t, err)
	if len(kept) != 6 || len(w.Store.all) < 4 {
		t.Fatalf("%d, of which %d are left", len(kept), len(w.Store.all))
	}
	for _, s := range w.Store.all[:1] {
		if !proven(s.Snapshot) {
			t.Errorf("the oldest that is left was not read back: %+v", s)
		}
	}
	w.Store.fail("verify", nil)
	for range 4 {
		w.take(k)
	}
	_, err = k.Prune(t.Context(), false)
	must(t, err)
	if n := len(w.Store.all); n != 3 {
		t.Errorf("%d are left", n)
	}
}

func TestLastGoodIsNotRemoved(t *testing.T) {
	w, k := ready(t, 3, "one")
	a := w.take(k)
	if _, err := k.Remove(t.Context(), a.ID); !is[*KeptError](err) {
		t.Errorf("got %v", err)
	}
	w.Store.fail("mark", errDown) // another one, of which nobody knows whether it can be read back
	if _, err := k.Create(t.Context(), Request{}); err == nil {
		t.Fatal("no error")
	}
	w.Store.fail("mark", nil)
	if _, err := k.Remove(t.Context(), a.ID); !is[*KeptError](err) {
		t.Errorf("got %v", err)
	}
	w.take(k)
	if _, err := k.Pin(t.Context(), a.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Remove(t.Context(), a.ID); !is[*KeptError](err) {
		t.Errorf("pinned, and got %v", err)
	}
	if _, err := k.Pin(t.Context(), a.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Remove(t.Context(), a.ID); err != nil {
		t.Error(err)
	}
}

// TestRemovedStateIsUnsaved: where the snapshot of the present state was removed, that
// state is saved again, also by a creel that is started anew. Where another one was, it
// is not.
func TestRemovedStateIsUnsaved(t *testing.T) {
	for name, anew := range map[string]bool{"at once": false, "by the next creel": true} {
		t.Run(name, func(t *testing.T) {
			w, k := ready(t, 3, "one")
			a := w.take(k)
			w.write(3, "two")
			b := w.take(k)
			w.write(3, "three")
			c := w.take(k)
			finish := func() (ids []store.ID) {
				t.Helper()
				must(t, k.Finish(t.Context()))
				all, err := k.List(t.Context())
				must(t, err)
				for _, s := range all {
					ids = append(ids, s.ID)
				}
				return ids
			}
			if _, err := k.Remove(t.Context(), a.ID); err != nil {
				t.Fatal(err)
			}
			if got := finish(); !slices.Equal(got, []store.ID{b.ID, c.ID}) {
				t.Fatalf("an old one was removed, and there are %v", got)
			}
			if _, err := k.Remove(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
			if k.Status().Unsaved.IsZero() {
				t.Error("the state counts as saved")
			}
			if anew {
				must(t, k.Close(t.Context()))
				k = w.keeper()
			}
			if got := finish(); len(got) != 2 || got[0] != b.ID || got[1] == c.ID {
				t.Fatalf("the newest was removed, and there are %v", got)
			}
			if got := finish(); len(got) != 2 {
				t.Errorf("saved, and saved once more: %v", got)
			}
		})
	}
}

// TestShrunk: a snapshot of a state that has lost most of its files is kept, marked
// and told of, and keeps the one before it until a person has looked. A creel that
// is started anew tells of it too.
func TestShrunk(t *testing.T) {
	w, k := ready(t, 20, "full")
	full := w.take(k)
	w.write(2, "left")
	small := w.take(k)
	if small.Shrunk == "" || w.troubled(TroubleShrunk) == "" || w.Journal.count(event.SnapshotShrunk) != 1 {
		t.Fatalf("%+v, %v", small, w.Trouble)
	}
	for range 5 {
		w.take(k)
		_, err := k.Prune(t.Context(), false)
		must(t, err)
	}
	if w.Store.find(full.ID) < 0 || w.Store.find(small.ID) < 0 {
		t.Fatalf("what tells of the loss was removed: %+v", w.Store.all)
	}
	must(t, k.Close(t.Context()))
	delete(w.Trouble, TroubleShrunk)
	k = w.keeper()
	w.run(k)
	eventually(t, "the alarm", func() bool { return w.troubled(TroubleShrunk) != "" })
	_, err := k.Accept(t.Context(), small.ID)
	must(t, err)
	if w.troubled(TroubleShrunk) != "" {
		t.Errorf("%v", w.Trouble)
	}
	_, err = k.Prune(t.Context(), false)
	must(t, err)
	if w.Store.find(full.ID) >= 0 {
		t.Error("it is kept for ever")
	}
}

// TestLogsComeAndGo: the log of a database, which is gone when that was closed, is no loss;
// what is lost beside one is told all the same.
func TestLogsComeAndGo(t *testing.T) {
	w, k := ready(t, 5, "full")
	file := func(name string, size int) {
		must(t, os.WriteFile(filepath.Join(w.State, name), make([]byte, size), 0o600))
	}
	file("db", 128<<10)
	file("db-wal", 4<<20)
	file("db-shm", 32<<10)
	full := w.take(k)
	if full.LogBytes == nil || *full.LogBytes != 4<<20+32<<10 {
		t.Errorf("%v bytes of logs", full.LogBytes)
	}
	must(t, k.record.change(func(r *record) { r.LogBytes = nil })) // a creel of before has taken it
	if again := w.take(k); again.Shrunk != "" {
		t.Errorf("a state that is as it was has shrunk: %s", again.Shrunk)
	}
	for _, log := range []string{"db-wal", "db-shm"} {
		must(t, os.Remove(filepath.Join(w.State, log)))
	}
	if closed := w.take(k); closed.Shrunk != "" || closed.LogBytes == nil || *closed.LogBytes != 0 || w.troubled(TroubleShrunk) != "" {
		t.Errorf("%+v, %v", closed, w.Trouble)
	}
	file("db", 1)
	file("db-journal", 4<<20)
	if lost := w.take(k); lost.Shrunk == "" {
		t.Errorf("%+v", lost)
	}
}

func TestStoreTrouble(t *testing.T) {
	w, k := ready(t, 3, "one")
	w.Store.fail("open", errDown)
	if _, err := k.Create(t.Context(), Request{}); !errors.Is(err, errDown) || w.troubled(TroubleStore) == "" {
		t.Errorf("%v, %v", err, w.Trouble)
	}
	w.Store.fail("open", nil)
	w.take(k)
	if w.troubled(TroubleStore) != "" {
		t.Errorf("%v", w.Trouble)
	}
	w.Store.fail("save", errDown)
	if _, err := k.Create(t.Context(), Request{}); !errors.Is(err, errDown) || w.troubled(TroubleStore) == "" {
		t.Errorf("%v, %v", err, w.Trouble)
	}
}

// TestStoreIsOutsideTheFreeze: the gateway is never held still for a store.
func TestStoreIsOutsideTheFreeze(t *testing.T) {
	w, k := ready(t, 3, "one")
	frozen := false
	w.Sup.frozen = func() {
		frozen = true
		w.Store.mu.Lock()
		defer w.Store.mu.Unlock()
		if len(w.Store.calls) > 0 {
			t.Errorf("the store was called first: %v", w.Store.calls)
		}
	}
	w.take(k)
	if !frozen {
		t.Error("not held still at all")
	}
}

func TestFinish(t *testing.T) {
	w, k := ready(t, 3, "one")
	must(t, k.Halt(t.Context())) // as when creel ends
	if _, err := k.Create(t.Context(), Request{}); !errors.Is(err, ErrEnding) {
		t.Errorf("got %v", err)
	}
	must(t, k.Finish(t.Context()))
	must(t, k.Finish(t.Context())) // nothing has changed since
	must(t, k.Close(t.Context()))
	k = w.keeper() // nor for the next creel
	must(t, k.Finish(t.Context()))
	if all := w.Store.all; len(all) != 1 || all[0].Reason != store.OnStop {
		t.Fatalf("%+v", all)
	}
	w.write(3, "two")
	must(t, k.Finish(t.Context()))
	if n := len(w.Store.all); n != 2 {
		t.Errorf("%d snapshots", n)
	}
}

func TestCreateIsCalledOff(t *testing.T) {
	w, k := ready(t, 3, "one")
	ctx, cancel := context.WithCancel(t.Context())
	w.Store.check = func(method string) {
		if method == "save" {
			cancel()
		}
	}
	if _, err := k.Create(ctx, Request{}); !errors.Is(err, context.Canceled) || w.troubled(TroubleSave) != "" || w.Journal.count(event.SnapshotFailed) != 0 {
		t.Errorf("%v, %v", err, w.Trouble)
	}
	w.Store.check = nil
	w.take(k)
}

// TestOwnWorkIsLeftOut: what a restore keeps at the top of a state folder is not of
// the state.
func TestOwnWorkIsLeftOut(t *testing.T) {
	w, k := ready(t, 3, "one")
	must(t, os.MkdirAll(filepath.Join(w.State, ".creel-restore-x", "new"), 0o700))
	must(t, os.WriteFile(filepath.Join(w.State, ".creel-restore-x", "new", "file"), nil, 0o600))
	w.take(k)
	for _, e := range w.Store.all[0].entries {
		if strings.Contains(e.Path, ".creel-restore-") {
			t.Errorf("it holds %s", e.Path)
		}
	}
}
