package snapshot

import (
	"os"
	"testing"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// gone takes the machine away: the state, and all that creel knew of it.
func (w *world) gone(k *Keeper) *Keeper {
	w.t.Helper()
	must(w.t, k.Close(w.t.Context()))
	must(w.t, os.RemoveAll(w.State))
	must(w.t, os.RemoveAll(w.Dir))
	return w.keeper()
}

// told waits until the store knows of a restore.
func told(t *testing.T, k *Keeper) {
	t.Helper()
	eventually(t, "the store to be told", func() bool {
		r := k.record.get()
		return r.Trial == 0 && r.Accepted == nil
	})
}

// TestRestoredOutranksWhatItReplaced: what somebody has gone back to is what another
// machine begins with, and not what he has gone back from, though that was saved
// later.
func TestRestoredOutranksWhatItReplaced(t *testing.T) {
	for name, request := range map[string]RestoreRequest{
		"saved before": {},
		"not saved":    {NoSnapshot: true}, // but there is a later one all the same
	} {
		t.Run(name, func(t *testing.T) {
			w, k, s := two(t)
			w.take(k)
			stop := w.run(k)
			request.ID = s.ID
			_, err := k.Restore(t.Context(), request)
			must(t, err)
			told(t, k)
			stop()
			for _, kept := range Retain(mustList(t, k), Keep{}) {
				if kept.ID == s.ID && len(kept.Why) == 0 {
					t.Error("what was restored last may be removed")
				}
			}
			k = w.gone(k)
			must(t, w.prepare(k, 1, gateway.End{}))
			if r := k.record.get(); w.says() != "one" || r.Parent != s.ID {
				t.Errorf("the state says %q, the record %+v", w.says(), r)
			}
			// What grows from it outranks it again.
			w.write(3, "three")
			w.take(k)
			must(t, w.prepare(w.gone(k), 1, gateway.End{}))
			if w.says() != "three" {
				t.Errorf("the state says %q", w.says())
			}
		})
	}
}

func mustList(t *testing.T, k *Keeper) []store.Snapshot {
	t.Helper()
	all, err := k.List(t.Context())
	must(t, err)
	return all
}

// TestUndoneRestoreLeavesNoTrace: if the restore has failed, what was saved before it
// is the newest.
func TestUndoneRestoreLeavesNoTrace(t *testing.T) {
	w, k, s := two(t)
	w.Sup.boot = func(uint64) gateway.Cause {
		if w.says() == "one" {
			return gateway.CauseExit
		}
		return ""
	}
	stop := w.run(k)
	if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err == nil {
		t.Fatal("restored")
	}
	eventually(t, "the gateway to be ready", func() bool { return w.Sup.Status().Ready() })
	stop()
	must(t, w.prepare(w.gone(k), 1, gateway.End{}))
	if w.says() != "two" {
		t.Errorf("the state says %q", w.says())
	}
}

// TestRestoredWhileStoreIsAway: the restore counts here at once, and everywhere as
// soon as the store has heard of it.
func TestRestoredWhileStoreIsAway(t *testing.T) {
	w, k, s := two(t)
	w.take(k)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	k.Ready(2)
	must(t, k.prove())
	w.Store.fail("mark", errDown)
	if err := k.tellAccepted(t.Context()); err == nil {
		t.Fatal("told a store that is away")
	}
	must(t, os.RemoveAll(w.State))
	must(t, w.prepare(k, 3, gateway.End{}))
	if w.says() != "one" {
		t.Errorf("the state says %q", w.says())
	}
	w.Store.fail("mark", nil)
	must(t, k.Close(t.Context()))
	k = w.keeper() // another creel on the same data folder
	must(t, k.tellAccepted(t.Context()))
	must(t, w.prepare(w.gone(k), 1, gateway.End{}))
	if w.says() != "one" {
		t.Errorf("on another machine the state says %q", w.says())
	}
}

// TestStanding: owners come before times, and a clock that was set back does not
// make what was restored older than what it has replaced.
func TestStanding(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(hours int, fence uint64) store.Snapshot {
		return store.Snapshot{Meta: store.Meta{Time: noon.Add(time.Duration(hours) * time.Hour), Fence: fence}}
	}
	all := []store.Snapshot{at(0, 1), at(1, 1), at(5, 2), at(9, 1)}
	for name, c := range map[string]struct {
		by    store.Restoration
		below []int // what the first must outrank
		above []int
	}{
		"same owner, clock set back": {store.Restoration{At: noon.Add(-time.Hour), Fence: 1}, []int{1, 3}, []int{2}},
		"next owner, clock set back": {store.Restoration{At: noon.Add(-time.Hour), Fence: 2}, []int{1, 2, 3}, nil},
		"owner after the next":       {store.Restoration{At: noon, Fence: 3}, []int{1, 2, 3}, nil},
	} {
		s := all[0]
		s.Restored = after(all, 0, c.by)
		for _, i := range c.below {
			if compareStanding(s, all[i]) <= 0 {
				t.Errorf("%s: it does not outrank %d", name, i)
			}
		}
		for _, i := range c.above {
			if compareStanding(s, all[i]) >= 0 {
				t.Errorf("%s: it outranks %d", name, i)
			}
		}
	}
}

// TestRestoreIsToldForGood: the journal's word on a restore outlasts creel before the
// record says that it is done. Who starts after a death would say nothing of it.
func TestRestoreIsToldForGood(t *testing.T) {
	w, k, s := two(t)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
	told := 0
	w.Journal.settled = func(last event.Event) {
		if last.Kind == event.Restored && k.record.get().Next != nil {
			told++
		}
	}
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	if r := k.record.get(); told != 1 || r.Next != nil || w.says() != "one" {
		t.Errorf("settled %d times; %+v", told, r)
	}
}
