package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// Ways in which the copy of a worse state could take the place of a better one.

// elsewhere loses all but the store, and has another machine fill the state.
func (w *world) elsewhere() *Keeper {
	w.t.Helper()
	must(w.t, os.RemoveAll(w.State))
	must(w.t, os.RemoveAll(w.Dir))
	k := w.keeper()
	must(w.t, w.prepare(k, 1, gateway.End{}))
	return k
}

// TestClockSetBack: a snapshot that is taken after another is the newer one, whatever
// the clock says by then: a machine without a clock of its own comes up in the past.
func TestClockSetBack(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		w := newWorld(t)
		w.write(3, "old")
		k := w.keeper()
		must(t, w.prepare(k, 1, gateway.End{}))
		first := w.take(k)
		// The clock was ahead when that was taken.
		ahead := first.Time.Add(100 * day)
		w.Store.all[0].Time, w.Store.all[0].ID = ahead, store.NewID(ahead)
		must(t, k.record.change(func(r *record) { r.LastAt, r.Last, r.Parent = ahead, w.Store.all[0].ID, w.Store.all[0].ID }))
		if restarted {
			must(t, k.Close(t.Context()))
			k = w.keeper()
		}
		var last store.Snapshot
		for _, text := range []string{"new", "newer", "newest"} {
			w.write(3, text)
			last = w.take(k)
			kept, err := k.Prune(t.Context(), false)
			must(t, err)
			if newest := kept[len(kept)-1]; newest.ID != last.ID {
				t.Errorf("the newest is %s and not %s", newest.ID, last.ID)
			}
		}
		if latest, err := k.Find(t.Context(), Latest); err != nil || latest.ID != last.ID {
			t.Errorf("the latest is %s and not %s (%v)", latest.ID, last.ID, err)
		}
		// Of three the oldest goes, which is the one from the time ahead.
		w.write(3, "the very newest")
		last = w.take(k)
		_, err := k.Prune(t.Context(), false)
		must(t, err)
		k = w.elsewhere()
		if w.says() != "the very newest" {
			t.Errorf("restored is %q", w.says())
		}
		w.write(3, "and on")
		next := w.take(k)
		if all, err := k.List(t.Context()); err != nil || all[len(all)-1].ID != next.ID {
			t.Errorf("what was taken after the restore is not the newest: %v", err)
		}
	}
}

// TestEmptiedWhileCapturing: a state that goes away just before the cut is missing, not
// a state with nothing in it.
func TestEmptiedWhileCapturing(t *testing.T) {
	for name, gone := range map[string]func(*world) error{
		"folder":  func(w *world) error { return os.RemoveAll(w.State) },
		"content": func(w *world) error { return errors.Join(os.RemoveAll(w.State), os.Mkdir(w.State, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(3, "good")
			k := w.keeper()
			must(t, w.prepare(k, 1, gateway.End{}))
			w.take(k)
			w.Sup.frozen = func() { must(t, gone(w)) }
			if s, err := k.Create(t.Context(), Request{}); !errors.Is(err, ErrNoLineage) {
				t.Errorf("saved as %+v: %v", s, err)
			}
			w.Sup.frozen = nil
			must(t, w.prepare(k, 2, gateway.End{}))
			if w.says() != "good" {
				t.Errorf("the state says %q", w.says())
			}
		})
	}
}

// TestRejectedStateIsNotTheNewest: a restored state on which no instance got ready was
// put away again. What was saved of it while it was on trial, for whatever reason, is
// not what a missing state is filled from.
func TestRejectedStateIsNotTheNewest(t *testing.T) {
	for name, save := range map[string]func(*testing.T, *world, *Keeper){
		"another version starts on it": func(t *testing.T, w *world, k *Keeper) {
			w.App = [2]string{"2", ""}
			must(t, w.prepare(k, 3, gateway.End{Generation: 2, Cause: gateway.CauseAsked}))
		},
		"creel ends": func(t *testing.T, w *world, k *Keeper) {
			must(t, os.WriteFile(filepath.Join(w.State, "half"), []byte("migrated"), 0o600))
			must(t, k.Finish(t.Context()))
		},
		"somebody asks": func(t *testing.T, w *world, k *Keeper) {
			w.take(k)
		},
		"it stopped": func(t *testing.T, w *world, k *Keeper) {
			must(t, os.WriteFile(filepath.Join(w.State, "half"), []byte("migrated"), 0o600))
			w.Sup.become(func(st *gateway.Status) { st.State, st.PID = gateway.Stopped, 0 })
			worker := worker{k: k, sweep: time.Now().Add(day), maintain: time.Now().Add(day)}
			worker.step(t.Context())
		},
	} {
		for _, dies := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", and creel dies undoing"}[dies], func(t *testing.T) {
				w := newWorld(t)
				w.App = [2]string{"1", ""}
				w.write(3, "one")
				k := w.keeper()
				must(t, w.prepare(k, 1, gateway.End{}))
				one := w.take(k)
				w.write(3, "two")
				w.take(k)
				must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: one.ID} }))
				must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
				save(t, w, k)
				trial := k.record.get().Trial
				if dies {
					must(t, k.record.change(func(n *record) { n.Undoing = true }))
					must(t, k.restore.undo(gateway.StillnessForTest(t)))
					must(t, k.Close(t.Context()))
					k = w.keeper()
				}
				must(t, w.prepare(k, trial+1, gateway.End{Generation: trial, Cause: gateway.CauseExit}))
				if w.says() != "two" || k.record.get().Trial != 0 {
					t.Fatalf("the state says %q, the record %+v", w.says(), k.record.get())
				}
				// On this machine, at once.
				must(t, os.RemoveAll(w.State))
				must(t, w.prepare(k, trial+2, gateway.End{Generation: trial + 1, Cause: gateway.CauseExit}))
				if w.says() != "two" {
					t.Errorf("here, the state says %q", w.says())
				}
				// On another, when the store has been told.
				must(t, k.tellAccepted(t.Context()))
				must(t, k.Close(t.Context()))
				w.elsewhere()
				if w.says() != "two" {
					t.Errorf("elsewhere, the state says %q", w.says())
				}
			})
		}
	}
}

// TestOnlyShrunkLeft: where nothing is left but what may tell of a loss, that is for a
// person to look at; the gateway does not begin without a state.
func TestOnlyShrunkLeft(t *testing.T) {
	w := newWorld(t)
	w.write(30, "one")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	w.take(k)
	w.write(3, "two")
	small := w.take(k)
	if small.Shrunk == "" {
		t.Fatal("it has not shrunk")
	}
	w.Store.all = w.Store.all[1:]
	must(t, k.Close(t.Context()))
	must(t, os.RemoveAll(w.State))
	must(t, os.RemoveAll(w.Dir))
	k = w.keeper()
	refused(t, w.prepare(k, 1, gateway.End{}), true)
	if w.says() != "" || k.record.get().Lineage != "" {
		t.Errorf("the state says %q, the record %+v", w.says(), k.record.get())
	}
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: small.ID} }))
	must(t, w.prepare(k, 2, gateway.End{}))
	if w.says() != "two" {
		t.Errorf("asked for, the state says %q", w.says())
	}
}

// TestRootGone: of several state folders one is empty from one snapshot to the next, as
// when a disk was not mounted. However little that is of the whole, it is a loss to look
// at, and pushes nothing out.
func TestRootGone(t *testing.T) {
	for name, gone := range map[string]func(string) error{
		"folder":  os.RemoveAll,
		"content": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			disk := filepath.Join(filepath.Dir(w.State), "disk")
			w.Set = func(o *Options) {
				o.Roots = append(o.Roots, store.Root{Name: "disk", Path: disk})
				o.Settings.Keep = Keep{Last: 1}
			}
			w.write(30, "one")
			must(t, os.Mkdir(disk, 0o700))
			must(t, os.WriteFile(filepath.Join(disk, "ledger"), []byte("all that matters"), 0o600))
			k := w.keeper()
			must(t, w.prepare(k, 1, gateway.End{}))
			whole := w.take(k)
			must(t, k.Close(t.Context()))
			k = w.keeper()
			must(t, gone(disk))
			s := w.take(k)
			if s.Shrunk == "" || w.troubled(TroubleShrunk) == "" {
				t.Errorf("the loss of a folder goes unnoticed: %+v", s.Marks)
			}
			for range 3 {
				w.write(31, "more")
				w.take(k)
			}
			kept, err := k.Prune(t.Context(), false)
			must(t, err)
			if len(kept[0].Why) == 0 || kept[0].ID != whole.ID {
				t.Errorf("the last with that folder in it was removed: %+v", kept[0])
			}
		})
	}
}

// TestTrialEmptied: a restored state that goes away before an instance got ready on it is
// not begun anew; the old one is put back.
func TestTrialEmptied(t *testing.T) {
	for name, gone := range map[string]func(*world) error{
		"folder":  func(w *world) error { return os.RemoveAll(w.State) },
		"content": func(w *world) error { return errors.Join(os.RemoveAll(w.State), os.Mkdir(w.State, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			w, k, s := two(t)
			must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
			must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
			must(t, gone(w))
			must(t, w.prepare(k, 3, gateway.End{Generation: 2, Cause: gateway.CauseAsked}))
			if w.says() != "two" {
				t.Errorf("the state says %q", w.says())
			}
			w.settled(k, s)
		})
	}
}

// TestNoLeaseAnyMore: a creel that shares its gateway with no other any more takes
// snapshots that are newer than those which bear a fencing number, and what it restores
// stands above them.
func TestNoLeaseAnyMore(t *testing.T) {
	w := newWorld(t)
	lease := &leased{fence: 5}
	w.Set = func(o *Options) { o.Lease = lease }
	w.write(3, "shared")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	if s := w.take(k); s.Fence != 5 {
		t.Fatalf("%+v", s)
	}
	must(t, k.Close(t.Context()))
	w.Set = nil
	k = w.keeper()
	must(t, w.prepare(k, 2, gateway.End{}))
	w.write(3, "alone")
	alone := w.take(k)
	must(t, os.RemoveAll(w.State))
	must(t, w.prepare(k, 3, gateway.End{}))
	if w.says() != "alone" {
		t.Errorf("here, the state says %q", w.says())
	}
	must(t, k.Close(t.Context()))
	k = w.elsewhere()
	if w.says() != "alone" {
		t.Errorf("elsewhere, the state says %q", w.says())
	}
	w.write(3, "later")
	w.take(k)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: alone.ID} }))
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	k.Ready(2)
	must(t, k.prove())
	must(t, k.tellAccepted(t.Context()))
	must(t, k.Close(t.Context()))
	k = w.elsewhere()
	if w.says() != "alone" {
		t.Errorf("gone back to, the state says %q", w.says())
	}
	must(t, k.Close(t.Context()))
	// And shared again, with the number of before.
	w.Set = func(o *Options) { o.Lease = lease }
	k = w.keeper()
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	w.write(3, "shared again")
	w.take(k)
	must(t, k.Close(t.Context()))
	w.elsewhere()
	if w.says() != "shared again" {
		t.Errorf("shared again, the state says %q", w.says())
	}
}

// TestShrunkAndKilled: a snapshot that has shrunk is known for one from the instant it
// exists, though creel dies before it has looked at it: else it would be the newest good
// one, and the one that a later shrunk one keeps.
func TestShrunkAndKilled(t *testing.T) {
	for _, method := range []string{"verify", "mark"} {
		w := newWorld(t)
		w.Set = func(o *Options) { o.Settings.Keep = Keep{Last: 1} }
		w.write(30, "all of it")
		k := w.keeper()
		must(t, w.prepare(k, 1, gateway.End{}))
		whole := w.take(k)
		w.write(3, "a tenth")
		w.Store.fail(method, errDown) // as good as a death: nothing comes after it
		if _, err := k.Create(t.Context(), Request{}); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		must(t, k.Close(t.Context()))
		w.Store.fail(method, nil)
		k = w.keeper()
		must(t, w.prepare(k, 2, gateway.End{}))
		if s, err := k.choose(t.Context(), ""); err != nil || s.ID != whole.ID {
			t.Errorf("%s: chosen is %s (%v)", method, s.ID, err)
		}
		w.write(4, "a tenth and one")
		w.take(k)
		for range 3 {
			w.write(4, "and on")
			w.take(k)
			_, err := k.Prune(t.Context(), false)
			must(t, err)
		}
		if _, err := k.Find(t.Context(), whole.ID); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestFirstLease: a machine with a state from a time when the gateway was not shared does
// not go on with it once another machine, under a lease, has gone on from there.
func TestFirstLease(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		w := newWorld(t)
		w.write(3, "before it was shared")
		k := w.keeper()
		must(t, w.prepare(k, 1, gateway.End{}))
		first := w.take(k)
		must(t, k.Close(t.Context()))

		other := newWorld(t)
		other.Store = w.Store
		other.Set = func(o *Options) { o.Lease = &leased{fence: 1} }
		k = other.keeper()
		must(t, other.prepare(k, 1, gateway.End{}))
		if other.says() != "before it was shared" {
			t.Fatalf("the state says %q", other.says())
		}
		other.write(3, "gone on")
		last := other.take(k)
		must(t, k.Close(t.Context()))
		if i := w.Store.find(last.ID); foreign {
			w.Store.all[i].Machine = "another"
		}
		if last.Lineage != first.Lineage {
			t.Fatal("it has begun anew")
		}

		w.Set = func(o *Options) { o.Lease = &leased{fence: 2} }
		k = w.keeper()
		must(t, w.prepare(k, 2, gateway.End{}))
		// What this machine has saved itself it has not lost sight of, and goes on from.
		if want := map[bool]string{true: "gone on", false: "before it was shared"}[foreign]; w.says() != want {
			t.Errorf("foreign: %v; the state says %q", foreign, w.says())
		}
	}
}

// TestLacking: a snapshot that lacks files which could not be read pushes nothing out, and
// is not restored by itself, nor is the one before it: which of the two is for a person
// to say.
func TestLacking(t *testing.T) {
	w, k, whole := lost(t)
	w.write(3, "two")
	lacks := w.take(k)
	w.Store.all[1].Unread = 1
	must(t, k.reviewShrunk(t.Context()))
	if w.troubled(TroubleUnread) == "" {
		t.Error("it goes unsaid")
	}
	must(t, os.RemoveAll(w.State))
	plan := refused(t, w.prepare(k, 2, gateway.End{}), true)
	if !strings.Contains(plan.Hint, string(lacks.ID)) || !strings.Contains(plan.Hint, string(whole.ID)) {
		t.Errorf("the hint names not both: %q", plan.Hint)
	}
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: lacks.ID} }))
	must(t, w.prepare(k, 3, gateway.End{}))
	if w.says() != "two" {
		t.Errorf("asked for, the state says %q", w.says())
	}
	k.Ready(3)
	must(t, k.prove())
	w.write(3, "three")
	w.take(k)
	if said := w.troubled(TroubleUnread); said != "" {
		t.Errorf("a whole one was taken since, and it still says %q", said)
	}
	must(t, os.RemoveAll(w.State))
	must(t, w.prepare(k, 4, gateway.End{}))
	if w.says() != "three" {
		t.Errorf("the state says %q", w.says())
	}
}
