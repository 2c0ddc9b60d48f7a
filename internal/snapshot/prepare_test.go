package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

var errDown = errors.New("connection refused")

// refused checks that a launch was refused for its state, and says what a person
// reads.
func refused(t *testing.T, err error, permanent bool) *gateway.PlanError {
	t.Helper()
	var plan *gateway.PlanError
	if !errors.As(err, &plan) || plan.Cause != gateway.CauseRestore || plan.Permanent != permanent || plan.Hint == "" {
		t.Fatalf("got %+v (%v), want a launch that is refused (permanently: %v)", plan, err, permanent)
	}
	return plan
}

// lost makes a world whose state was saved and is gone.
func lost(t *testing.T) (*world, *Keeper, store.Snapshot) {
	w := newWorld(t)
	w.write(3, "one")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	s := w.take(k)
	must(t, os.RemoveAll(w.State))
	return w, k, s
}

func TestMissingStateIsRestored(t *testing.T) {
	w, k, s := lost(t)
	must(t, w.prepare(k, 2, gateway.End{}))
	r := k.record.get()
	if w.says() != "one" || r.Parent != s.ID || r.Lineage != s.Lineage || r.Began != began.restored || r.Trial != 0 || r.Next != nil {
		t.Errorf("the state says %q, the record %+v", w.says(), r)
	}
	// It is confirmed: another restore can begin.
	if st, err := k.restore.Status(); err != nil || st.Phase != "" {
		t.Errorf("the restore is not over: %+v, %v", st, err)
	}
}

func TestAnotherMachine(t *testing.T) {
	w, _, s := lost(t)
	must(t, os.RemoveAll(w.Dir))
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	if r := k.record.get(); w.says() != "one" || r.Lineage != s.Lineage || r.Parent != s.ID {
		t.Errorf("the state says %q, the record %+v", w.says(), r)
	}
}

// TestNewestOfAll: before the newest is chosen the store looks whether it has lost sight
// of any; the older one that it lists is not taken for the newest.
func TestNewestOfAll(t *testing.T) {
	w := newWorld(t)
	w.write(3, "old")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	w.take(k)
	w.write(3, "new")
	w.take(k)
	hidden := w.Store.all[1]
	w.Store.all = w.Store.all[:1]
	w.Store.check = func(method string) {
		if method == "check" && len(w.Store.all) == 1 {
			w.Store.all = append(w.Store.all, hidden)
		}
	}
	must(t, os.RemoveAll(w.State))
	must(t, w.prepare(k, 2, gateway.End{}))
	if w.says() != "new" {
		t.Errorf("restored is %q", w.says())
	}
}

func TestFreshStartIsDeclaredOnce(t *testing.T) {
	w := newWorld(t)
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	r := k.record.get()
	if r.Lineage == "" || r.Began != began.fresh || w.Journal.count(event.FreshStart) != 1 {
		t.Errorf("%+v", r)
	}
	must(t, w.prepare(k, 2, gateway.End{})) // nothing was written meanwhile
	if now := k.record.get(); now.Lineage != r.Lineage || w.Journal.count(event.FreshStart) != 1 {
		t.Errorf("%+v, then %+v", r, now)
	}
}

// TestNoBlankStart: whatever keeps a missing state from being restored, the gateway
// is not started, nothing is saved, and the way out is named.
func TestNoBlankStart(t *testing.T) {
	damaged := &store.DamagedError{ID: "x", Err: errors.New("a bit is wrong")}
	for name, c := range map[string]struct {
		method    string
		err       error
		permanent bool
	}{
		"store down":          {"open", errDown, false},
		"listing fails":       {"list", errDown, false},
		"reading fails":       {"files", errDown, false},
		"credentials refused": {"open", &store.AccessError{Store: "s", Err: errors.New("no"), Hint: "h"}, true},
		"snapshot damaged":    {"files", damaged, true},
		"list not whole":      {"check", &store.DamagedError{Err: errors.New("a pack is in no index")}, true},
	} {
		for _, record := range []string{"known", "another machine"} {
			t.Run(name+", "+record, func(t *testing.T) {
				w, k, s := lost(t)
				must(t, k.Close(t.Context()))
				if record != "known" {
					must(t, os.RemoveAll(w.Dir))
				}
				damaged.ID = s.ID
				k = w.keeper()
				w.Store.fail(c.method, c.err)
				err := w.prepare(k, 2, gateway.End{})
				plan := refused(t, err, c.permanent)
				if !strings.Contains(plan.Hint, "--or-fresh") {
					t.Errorf("the hint does not name the way out: %q", plan.Hint)
				}
				if n := strings.Count(w.troubled(TroubleStore), "cannot"); n > 1 {
					t.Errorf("said %d times: %s", n, w.troubled(TroubleStore))
				}
				if w.says() != "" || w.troubled(TroubleMissing) == "" || w.Journal.count(event.FreshStart) != 0 {
					t.Errorf("the state says %q; trouble %v", w.says(), w.Trouble)
				}
				if _, err := k.Create(t.Context(), Request{}); !errors.Is(err, ErrNoLineage) {
					t.Errorf("what is left of a failed restore can be saved: %v", err)
				}
				w.Store.fail(c.method, nil)
				if c.permanent && name == "snapshot damaged" {
					return // it is marked now
				}
				must(t, w.prepare(k, 3, gateway.End{}))
				if w.says() != "one" || w.troubled(TroubleMissing) != "" {
					t.Errorf("it is not restored when it can be: %q, %v", w.says(), w.Trouble)
				}
			})
		}
	}
}

// TestDamagedNewest: creel does not go back to an older snapshot by itself, however
// often it is asked.
func TestDamagedNewest(t *testing.T) {
	w := newWorld(t)
	w.write(3, "one")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	older := w.take(k)
	w.write(3, "two")
	newest := w.take(k)
	must(t, os.RemoveAll(w.State))
	w.Store.fail("files", &store.DamagedError{ID: newest.ID, Err: errors.New("a bit is wrong")})
	if plan := refused(t, w.prepare(k, 2, gateway.End{}), true); !strings.Contains(plan.Hint, string(older.ID)) {
		t.Errorf("the older one is not named: %q", plan.Hint)
	}
	w.Store.fail("files", nil)
	if plan := refused(t, w.prepare(k, 3, gateway.End{}), true); w.says() != "" || !strings.Contains(plan.Hint, string(older.ID)) {
		t.Errorf("the state says %q; %v", w.says(), plan)
	}
}

func TestShrunkIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.write(20, "full")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	w.take(k)
	w.write(1, "empty")
	if s := w.take(k); s.Shrunk == "" {
		t.Fatalf("not marked: %+v", s)
	}
	must(t, os.RemoveAll(w.State))
	must(t, w.prepare(k, 2, gateway.End{}))
	if w.says() != "full" {
		t.Errorf("the state says %q", w.says())
	}
}

func TestNeverRestored(t *testing.T) {
	w, k, s := lost(t)
	must(t, k.Close(t.Context()))
	w.Set = func(o *Options) { o.NoRestore = true }
	k = w.keeper()
	must(t, w.prepare(k, 2, gateway.End{}))
	if r := k.record.get(); w.says() != "" || r.Lineage == s.Lineage || r.Last != "" {
		t.Errorf("a state that began anew goes on with the history of the lost one: %+v", r)
	}
}

func TestStateThatIsThereIsLeft(t *testing.T) {
	w, k, _ := lost(t)
	must(t, k.Close(t.Context()))
	must(t, os.RemoveAll(w.Dir))
	w.write(1, "mine")
	k = w.keeper()
	w.Store.fail("open", errDown) // nor is the store needed
	must(t, w.prepare(k, 1, gateway.End{}))
	if r := k.record.get(); w.says() != "mine" || r.Began != began.found {
		t.Errorf("the state says %q; %+v", w.says(), r)
	}
}

// TestUnusableRecord: the gateway is not started, nothing is saved or written over,
// and mending the file is enough.
func TestUnusableRecord(t *testing.T) {
	for name, text := range map[string]string{"torn": `{"version": 1, "lin`, "newer": `{"version": 99}`, "nothing": `{}`} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(2, "one")
			must(t, os.MkdirAll(w.Dir, 0o700))
			path := filepath.Join(w.Dir, "state.json")
			must(t, os.WriteFile(path, []byte(text), 0o600))
			k := w.keeper()
			if w.troubled(TroubleRecord) == "" {
				t.Error("nothing says so")
			}
			plan := refused(t, w.prepare(k, 1, gateway.End{}), true)
			if !strings.Contains(plan.Error(), path) || !strings.Contains(plan.Hint, "creel start") {
				t.Errorf("%v; %s", plan, plan.Hint)
			}
			if _, err := k.Create(t.Context(), Request{}); !is[*RecordError](err) {
				t.Errorf("create: %v", err)
			}
			if _, err := k.Restore(t.Context(), RestoreRequest{Fresh: true}); !is[*RecordError](err) {
				t.Errorf("restore: %v", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Errorf("it was written over: %q, %v", b, err)
			}
			must(t, os.Remove(path))
			must(t, w.prepare(k, 2, gateway.End{}))
			if r := k.record.get(); r.Began != began.found || w.troubled(TroubleRecord) != "" {
				t.Errorf("%+v, %v", r, w.Trouble)
			}
		})
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestBeforeUpgrade(t *testing.T) {
	w := newWorld(t)
	w.write(2, "of version 1")
	w.App = [2]string{"1", "a"}
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	if n := len(w.Store.all); n != 0 {
		t.Fatalf("%d snapshots of a state that creel has just found", n)
	}
	must(t, w.prepare(k, 2, gateway.End{})) // nothing has changed
	w.App[0] = "2"
	w.Store.fail("save", errDown)
	var plan *gateway.PlanError
	if err := w.prepare(k, 3, gateway.End{}); !errors.As(err, &plan) || plan.Permanent || plan.Hint == "" {
		t.Fatalf("version 2 starts on a state that was not saved: %v", err)
	}
	w.Store.fail("save", nil)
	must(t, w.prepare(k, 4, gateway.End{}))
	if all := w.Store.all; len(all) != 1 || all[0].Reason != store.BeforeUpgrade || all[0].AppVersion != "1" {
		t.Fatalf("%+v", all)
	}
	w.App[1] = "b" // another configuration alone is no reason to wait
	w.Store.fail("save", errDown)
	must(t, w.prepare(k, 5, gateway.End{}))
	if r := k.record.get(); r.App != "2" || r.Config != "b" {
		t.Errorf("%+v", r)
	}
}

// TestHalfWay: folders that are half way between two states keep the gateway from
// being started, also for who would begin without a state.
func TestHalfWay(t *testing.T) {
	w, k, s := lost(t)
	w.write(1, "old")
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID, OrFresh: true} }))
	k.record.passed = func() { // the journal and the folders go forward, the record cannot
		if k.record.get().Next != nil { // nothing can take the name of a folder with something in it
			must(t, os.Remove(k.record.path))
			must(t, os.MkdirAll(filepath.Join(k.record.path, "something"), 0o700))
		}
	}
	refused(t, w.prepare(k, 2, gateway.End{}), false)
	if w.Journal.count(event.FreshStart)+w.Journal.count(event.RestoreFailed) != 0 {
		t.Errorf("it went on: %+v", w.Journal.all)
	}
	must(t, os.RemoveAll(k.record.path))
	must(t, w.prepare(k, 3, gateway.End{Generation: 2, Cause: gateway.CauseRestore}))
	if r := k.record.get(); w.says() != "one" || r.Parent != s.ID || r.Trial != 3 || r.Wish != nil {
		t.Errorf("the state says %q, the record %+v", w.says(), r)
	}
}

// TestLeftByADeath: what a creel that died has left of records that it was writing is
// removed by the next one.
func TestLeftByADeath(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{restore.JournalName, "state.json"} {
		must(t, os.MkdirAll(w.Dir, 0o700))
		must(t, os.WriteFile(filepath.Join(w.Dir, "."+name+"123"), []byte("{"), 0o600))
	}
	w.keeper()
	left, err := filepath.Glob(filepath.Join(w.Dir, ".*"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
