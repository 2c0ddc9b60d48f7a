package snapshot

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// TestNotSavedBeforeRecorded: a state whose snapshot cannot be noted does not count as
// saved, and is saved again.
func TestNotSavedBeforeRecorded(t *testing.T) {
	w, k := ready(t, 3, "one")
	away := false
	w.Store.check = func(method string) {
		if method == "mark" && !away {
			away = true
			must(t, os.Rename(w.Dir, w.Dir+".away"))
		}
	}
	if _, err := k.Create(t.Context(), Request{}); err == nil || !away {
		t.Fatalf("no error; away: %v", away)
	}
	must(t, os.RemoveAll(w.Dir))
	must(t, os.Rename(w.Dir+".away", w.Dir))
	must(t, k.Finish(t.Context()))
	if r := k.record.get(); r.Last == "" || len(w.Store.all) != 2 || r.Last != w.Store.all[1].ID {
		t.Errorf("%d snapshots, and the record says %+v", len(w.Store.all), r)
	}
}

// TestStopIsSavedYet: what a gateway has left that has come to rest is saved though the
// store was away just then, also where nothing else is a reason for a snapshot.
func TestStopIsSavedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Set = func(o *Options) { o.Settings.Schedule = Schedule{} }
		w.write(3, "one")
		k := w.keeper()
		must(t, w.prepare(k, 1, gateway.End{}))
		w.Sup.become(func(st *gateway.Status) { st.State, st.Generation, st.PID = gateway.Ready, 1, 1 })
		defer w.run(k)()
		time.Sleep(time.Minute)
		w.Store.fail("save", errDown)
		w.Sup.state(gateway.Stopped)
		w.wantReasons()
		if w.troubled(TroubleSave) == "" {
			t.Fatal("it was not tried")
		}
		w.Store.fail("save", nil)
		time.Sleep(2 * firstRetry)
		w.wantReasons(store.OnStop)
		time.Sleep(time.Hour)
		w.wantReasons(store.OnStop)
	})
}

// TestRemovedIsNotNamed: a snapshot that was removed by hand is not named as the last one
// of the state, by the next creel neither. What it is compared with next is the one that
// is named.
func TestRemovedIsNotNamed(t *testing.T) {
	w, k := ready(t, 20, "full")
	full := w.take(k)
	w.write(2, "left")
	small := w.take(k)
	if small.Shrunk == "" {
		t.Fatalf("%+v", small)
	}
	if _, err := k.Remove(t.Context(), small.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if st := k.Status(); st.Last != full.ID || !st.LastAt.Equal(full.Time) || st.Files != 20 || st.Bytes != full.Totals.Bytes || st.Parent != full.ID {
			t.Errorf("%+v", st)
		}
		must(t, k.Close(t.Context()))
		k = w.keeper()
	}
	if again := w.take(k); again.Shrunk == "" || again.Parent != full.ID {
		t.Errorf("the loss is forgotten with the snapshot that told of it: %+v", again)
	}
}

// TestLastOfAllIsRemoved: nothing is named then. A state that goes away is missed all the
// same.
func TestLastOfAllIsRemoved(t *testing.T) {
	w, k := ready(t, 3, "one")
	w.Store.fail("verify", &store.DamagedError{ID: "x", Err: errors.New("a bit is wrong")})
	if _, err := k.Create(t.Context(), Request{}); err == nil {
		t.Fatal("no error")
	}
	w.Store.fail("verify", nil)
	s := w.take(k)
	w.Store.mu.Lock()
	damaged := w.Store.all[0].ID
	w.Store.all[1].Damaged = "a bit is wrong"
	w.Store.mu.Unlock()
	for _, id := range []store.ID{damaged, s.ID} {
		if _, err := k.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if st := k.Status(); st.Last != "" || !st.LastAt.IsZero() || st.Files != 0 || st.Bytes != 0 || st.Parent != "" {
			t.Errorf("%+v", st)
		}
		must(t, k.Close(t.Context()))
		k = w.keeper()
	}
	must(t, os.RemoveAll(w.State))
	refused(t, w.prepare(k, 2, gateway.End{}), false)
	w.write(3, "back")
	if again := w.take(k); k.Status().Last != again.ID {
		t.Errorf("%+v", k.Status())
	}
}

// TestRemovedIsNoTrouble: what was said of a snapshot that lacks files ends with it.
func TestRemovedIsNoTrouble(t *testing.T) {
	w, k := ready(t, 3, "one")
	w.take(k)
	s := w.take(k)
	w.Store.mu.Lock()
	w.Store.all[1].Unread = 2
	w.Store.mu.Unlock()
	must(t, k.reviewShrunk(t.Context()))
	if w.troubled(TroubleUnread) == "" {
		t.Fatal("nothing is said of what it lacks")
	}
	if _, err := k.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if message := w.troubled(TroubleUnread); message != "" {
		t.Error(message)
	}
}
