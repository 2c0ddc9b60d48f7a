package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

// two makes a world that has a snapshot of a state that says "one", and says "two"
// by now, with generation 1 running.
func two(t *testing.T) (*world, *Keeper, store.Snapshot) {
	w := newWorld(t)
	w.write(3, "one")
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	s := w.take(k)
	w.write(2, "two")
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation, st.PID = gateway.Ready, 1, 1 })
	return w, k, s
}

// settled checks that nothing of a restore is under way, and that the record is
// that of the state which is there.
func (w *world) settled(k *Keeper, one store.Snapshot) {
	w.t.Helper()
	r := k.record.get()
	if r.Trial != 0 || r.Wish != nil || r.Next != nil || r.Earlier != nil || r.Undoing || r.Put != "" {
		w.t.Errorf("the record is not settled: %+v", r)
	}
	if st, err := k.restore.Status(); err != nil || st.Phase != "" {
		w.t.Errorf("the journal is not settled: %+v, %v", st, err)
	}
	switch says := w.says(); {
	case says == "one" && r.Began == began.restored && r.Parent == one.ID:
	case says == "two" && r.Began == began.found:
	case says == "" && r.Began == began.fresh:
	default:
		w.t.Errorf("the state says %q, the record %+v", says, r)
	}
}

func TestRestoreAsked(t *testing.T) {
	w, k, s := two(t)
	w.run(k)
	got, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID})
	must(t, err)
	if got.ID != s.ID || got.Before == "" || w.says() != "one" {
		t.Errorf("%+v; the state says %q", got, w.says())
	}
	w.settled(k, s)
	if all := w.Store.all; all[len(all)-1].Reason != store.BeforeRestore {
		t.Errorf("the state of before was not saved: %+v", all)
	}
}

func TestRestoreStopped(t *testing.T) {
	w, k, s := two(t)
	w.Sup.become(func(st *gateway.Status) { st.State, st.StopAsked, st.PID = gateway.Stopped, true, 0 })
	w.Sup.boot = func(uint64) gateway.Cause {
		w.Sup.become(func(st *gateway.Status) { st.StopAsked = false })
		return ""
	}
	w.run(k)
	// The real supervisor forgets the stop when it is asked to restart, before it answers.
	w.Sup.become(func(st *gateway.Status) { st.StopAsked = false })
	if got, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err != nil || got.ID != s.ID {
		t.Errorf("%+v, %v", got, err)
	}
	w.settled(k, s)
}

// TestRestoreNotReady: an instance that fails on a restored state brings the old one
// back; causes that say nothing of the state do not.
func TestRestoreNotReady(t *testing.T) {
	for _, cause := range []gateway.Cause{gateway.CauseExit, gateway.CauseNotReady, gateway.CauseConfigRefused, gateway.CauseOOM, gateway.CauseSignal} {
		for _, givesUp := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, given up: %v", cause, givesUp), func(t *testing.T) {
				w, k, s := two(t)
				w.Sup.givesUp = givesUp
				w.Sup.boot = func(uint64) gateway.Cause {
					if w.says() == "one" {
						return cause
					}
					return ""
				}
				w.run(k)
				_, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID})
				if err == nil || !strings.Contains(err.Error(), "the old state is back") || w.says() != "two" {
					t.Errorf("%v; the state says %q", err, w.says())
				}
				eventually(t, "the gateway to be ready", func() bool { return w.Sup.Status().Ready() })
				w.settled(k, s)
				if w.Journal.count(event.RestoreUndone) != 1 || w.troubled(TroubleRestore) == "" {
					t.Errorf("%+v, %v", w.Journal.all, w.Trouble)
				}
			})
		}
	}
	for _, cause := range blameless {
		t.Run(string(cause), func(t *testing.T) {
			w, k, s := two(t)
			failed := 0
			w.Sup.boot = func(uint64) gateway.Cause {
				if failed++; failed < 3 {
					return cause
				}
				return ""
			}
			w.run(k)
			if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err != nil || w.says() != "one" {
				t.Errorf("%v; the state says %q", err, w.says())
			}
			w.settled(k, s)
		})
	}
}

// TestReadyOutranksItsEnd: an instance that was ready has proved the state, though
// it has ended before anybody could note that.
func TestReadyOutranksItsEnd(t *testing.T) {
	w, k, s := two(t)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	k.Ready(2)
	must(t, w.prepare(k, 3, gateway.End{Generation: 2, Cause: gateway.CauseExit}))
	if w.says() != "one" {
		t.Errorf("the state says %q", w.says())
	}
	w.settled(k, s)
}

// TestRestoreFails: the old state is as it was, and the gateway starts on it.
func TestRestoreFails(t *testing.T) {
	w, k, s := two(t)
	w.run(k)
	w.Store.fail("files", errDown)
	if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err == nil {
		t.Error("no error")
	}
	if w.Sup.Status().Generation != 1 || w.says() != "two" {
		t.Errorf("the gateway was stopped for a restore that cannot be: %+v", w.Sup.Status())
	}
	w.settled(k, s)
	// And when it shows only once the gateway stands still.
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	if w.says() != "two" || w.troubled(TroubleRestore) == "" {
		t.Errorf("the state says %q; %v", w.says(), w.Trouble)
	}
	w.settled(k, s)
}

func TestOrFresh(t *testing.T) {
	w, k, s := two(t)
	must(t, os.RemoveAll(w.State))
	w.Store.fail("files", errDown)
	must(t, k.Close(t.Context()))
	k = w.keeper()
	refused(t, w.prepare(k, 2, gateway.End{}), false)
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation, st.PID = gateway.Failed, 2, 0 })
	w.run(k)
	if _, err := k.Restore(t.Context(), RestoreRequest{}); err == nil {
		t.Fatal("no error, and no store")
	}
	got, err := k.Restore(t.Context(), RestoreRequest{OrFresh: true})
	if err != nil || got.ID != "" || !w.Sup.Status().Ready() {
		t.Errorf("%+v, %v, %+v", got, err, w.Sup.Status())
	}
	w.settled(k, s)
	if r := k.record.get(); r.Lineage == s.Lineage {
		t.Errorf("the fresh start goes on with the history of the lost state: %+v", r)
	}
}

// TestFresh sets the state aside, and has it back if the gateway cannot begin.
func TestFresh(t *testing.T) {
	for _, fails := range []bool{false, true} {
		w, k, s := two(t)
		w.Sup.boot = func(uint64) gateway.Cause {
			if fails && w.says() == "" {
				return gateway.CauseExit
			}
			return ""
		}
		w.run(k)
		_, err := k.Restore(t.Context(), RestoreRequest{Fresh: true})
		if want := map[bool]string{true: "two"}[fails]; (err != nil) != fails || w.says() != want {
			t.Errorf("%v; the state says %q", err, w.says())
		}
		w.settled(k, s)
	}
}

func TestTwoRestores(t *testing.T) {
	w, k, s := two(t)
	release := make(chan struct{})
	w.Sup.boot = func(uint64) gateway.Cause { <-release; return "" }
	w.run(k)
	first := make(chan error)
	go func() {
		_, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID})
		first <- err
	}()
	eventually(t, "the first", func() bool { return k.record.get().Trial != 0 })
	if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err != ErrRestoring {
		t.Errorf("got %v", err)
	}
	if _, err := k.Remove(t.Context(), s.ID); !is[*KeptError](err) {
		t.Errorf("removed while it is on trial: %v", err)
	}
	close(release)
	must(t, <-first)
	w.settled(k, s)
}

// TestRestoreOnTrial: another restore takes the place of one that was never proved.
func TestRestoreOnTrial(t *testing.T) {
	w, k, s := two(t)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
	must(t, w.prepare(k, 2, gateway.End{}))
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation = gateway.Backoff, 2 })
	w.run(k)
	if _, err := k.Restore(t.Context(), RestoreRequest{Fresh: true}); err != nil || w.says() != "" {
		t.Errorf("%v; the state says %q", err, w.says())
	}
	w.settled(k, s)
}

// TestCrashWhileStaging: a gateway that crashes while files are staged for a restore
// comes back at once, and the restore is carried out.
func TestCrashWhileStaging(t *testing.T) {
	w, k, s := two(t)
	w.run(k)
	crashed := false
	w.Store.mu.Lock() // Run looks at the store already
	w.Store.check = func(method string) {
		if method == "files" {
			k.restore.OnPassed(func(p crashpoint.Point) {
				if p == crashpoint.RestoreWritten {
					k.restore.OnPassed(func(crashpoint.Point) {})
					crashed = true
					must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseSignal}))
				}
			})
		}
	}
	w.Store.mu.Unlock()
	if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err != nil || w.says() != "one" || !crashed {
		t.Errorf("%v; the state says %q; crashed: %v", err, w.says(), crashed)
	}
	w.settled(k, s)
}

// TestOldWish: what was asked for from a creel that has died is done if the gateway
// has to be started anyway, and forgotten if it has gone on running.
func TestOldWish(t *testing.T) {
	for _, runs := range []bool{false, true} {
		w, k, s := two(t)
		must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID, Generation: 1} }))
		must(t, k.Close(t.Context()))
		k = w.keeper()
		if runs { // it is adopted
			w.run(k)
			eventually(t, "the wish to be forgotten", func() bool { return k.record.get().Wish == nil })
			must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseSignal}))
		} else {
			must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseCreelAway}))
			k.Ready(2)
			must(t, k.prove())
		}
		if want := map[bool]string{true: "two", false: "one"}[runs]; w.says() != want {
			t.Errorf("runs: %v; the state says %q", runs, w.says())
		}
		w.settled(k, s)
	}
}

// What is asked for after that is another restore, whenever it is written down: the old
// one is gone by then, or about to be forgotten.
func TestOldWishIsNotANewOne(t *testing.T) {
	w, k, s := two(t)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID, At: time.Now(), Generation: 1} }))
	must(t, k.Close(t.Context()))
	k = w.keeper()
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID, At: time.Now(), Generation: 1} }))
	k.dropOldWish(w.Sup.Status())
	if k.record.get().Wish == nil {
		t.Error("a restore that was just asked for is forgotten")
	}
	if n := w.Journal.count(event.RestoreFailed); n != 0 {
		t.Errorf("%d restores are said to have failed", n)
	}
}

// TestAskedWhileRestoring: what is asked for while a launch puts something in place is
// done with the next launch, whatever comes of that.
func TestAskedWhileRestoring(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(w *world, k *Keeper, s store.Snapshot) // what the launch finds
		says   string                                      // the state after it
	}{
		"an earlier restore": {func(_ *world, k *Keeper, s store.Snapshot) {
			must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID, At: time.Now()} }))
		}, "one"},
		"one that fails": {func(w *world, k *Keeper, s store.Snapshot) {
			must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID, At: time.Now()} }))
			w.Store.fail("files", errors.New("the store is away"))
		}, "two"},
		"a fresh start": {func(_ *world, k *Keeper, _ store.Snapshot) {
			must(t, k.record.change(func(r *record) { r.Wish = &wish{Fresh: true, At: time.Now()} }))
		}, ""},
		"a fresh start on nothing": {func(w *world, k *Keeper, _ store.Snapshot) {
			must(t, os.RemoveAll(w.State))
			must(t, k.record.change(func(r *record) { r.Wish = &wish{Fresh: true, At: time.Now()} }))
		}, ""},
		"a state that is missing": {func(w *world, _ *Keeper, _ store.Snapshot) { must(t, os.RemoveAll(w.State)) }, "one"},
	} {
		t.Run(name, func(t *testing.T) {
			w, k, s := two(t)
			tt.before(w, k, s)
			answer, err := k.await()
			must(t, err)
			defer k.stopAwaiting()
			asked := &wish{ID: s.ID, At: time.Now().Add(time.Second), Generation: 1}
			must(t, k.Prepare(t.Context(), gateway.StillnessForTest(t), gateway.Preparation{Generation: 2, Last: gateway.End{Generation: 1, Cause: gateway.CauseAsked}, Restoring: func() {
				must(t, k.wish(asked, answer))
			}}))
			if w.says() != tt.says {
				t.Errorf("the state says %q", w.says())
			}
			if got := k.record.get().Wish; !asked.is(got) {
				t.Errorf("what was asked for is forgotten: %+v", got)
			}
			select {
			case o := <-answer:
				t.Errorf("what came of something else is told for it: %+v", o)
			default:
			}
			w.Store.fail("files", nil)
			must(t, w.prepare(k, 3, gateway.End{Generation: 2, Cause: gateway.CauseAsked}))
			k.Ready(3)
			must(t, k.prove())
			select {
			case o := <-answer:
				if o.err != nil || o.put != s.ID || w.says() != "one" {
					t.Errorf("it has come to %+v; the state says %q", o, w.says())
				}
			default:
				t.Error("nothing is told of it")
			}
			w.settled(k, s)
		})
	}
}

func TestStopWhileRestoring(t *testing.T) {
	w, k, s := two(t)
	stopped := make(chan struct{})
	w.Sup.boot = func(uint64) gateway.Cause {
		w.Sup.become(func(st *gateway.Status) { st.State, st.StopAsked = gateway.Stopped, true })
		<-stopped
		return ""
	}
	defer w.Sup.running.Wait()
	defer close(stopped)
	if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID}); err == nil || !strings.Contains(err.Error(), "asked to stop") {
		t.Errorf("got %v", err)
	}
}

// TestHaltEndsRestore: nobody waits for a restore when creel ends.
func TestHaltEndsRestore(t *testing.T) {
	w, k, s := two(t)
	booting, ended := make(chan struct{}), make(chan struct{})
	w.Sup.boot = func(uint64) gateway.Cause { close(booting); <-ended; return "" }
	defer w.Sup.running.Wait()
	defer close(ended)
	got := make(chan error)
	go func() {
		_, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID})
		got <- err
	}()
	<-booting
	go func() { _ = k.Halt(t.Context()) }()
	if err := <-got; err == nil || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("got %v", err)
	}
}

// death is how a creel dies in a test, in one process. Nothing that brings anything
// in order is deferred on the way.
type death struct{}

// dies performs something and has creel die after the nth thing that it has put on
// disk; false: it came to its end before.
func dies(k *Keeper, n int, at *string, perform func()) (died bool) {
	passed := func(what string) {
		if n--; n == 0 {
			*at = what
			panic(death{})
		}
	}
	k.record.passed = func() { passed("record") }
	k.restore.OnPassed(func(p crashpoint.Point) { passed(string(p)) })
	defer func() {
		switch v := recover(); v {
		case nil:
		case death{}:
			died = true
		default:
			panic(v)
		}
	}()
	perform()
	return false
}

// TestKilledAnywhere has creel die after each thing that it puts on disk, in every
// kind of restore and in both of its ends, and once more while it brings that in
// order. In the end state, journal and record say the same.
func TestKilledAnywhere(t *testing.T) {
	good, bad := gateway.Cause(""), gateway.CauseExit
	for name, c := range map[string]struct {
		wish *wish // nil: the state is missing
		end  gateway.Cause
		ends []string // what the state may say in the end
	}{
		"missing":           {nil, good, []string{"one"}},
		"asked, proved":     {&wish{}, good, []string{"one"}},
		"asked, not proved": {&wish{}, bad, []string{"two", "one"}}, // a death leaves it untold how the instance ended
		"fresh":             {&wish{Fresh: true}, good, []string{""}},
		"fresh, not proved": {&wish{Fresh: true}, bad, []string{"two", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for first := 1; ; first++ {
				more := false
				for second := 0; ; second += 1 + first%3 { // not all pairs, but all kinds of them
					at, again := "", ""
					w, k, s := two(t)
					if c.wish == nil {
						must(t, os.RemoveAll(w.State))
					} else {
						wish := *c.wish
						if !wish.Fresh {
							wish.ID = s.ID
						}
						must(t, k.record.change(func(r *record) { r.Wish = &wish }))
					}
					// One life of creel: a launch, and what comes of it.
					generation := uint64(1)
					last := gateway.End{Generation: 1, Cause: gateway.CauseAsked}
					life := func() {
						for {
							generation++
							must(t, w.prepare(k, generation, last))
							if on := k.record.get().Trial != 0; !on || c.end == good {
								k.Ready(generation)
								must(t, k.prove())
								return
							}
							last = gateway.End{Generation: generation, Cause: c.end}
						}
					}
					if more = dies(k, first, &at, life); !more {
						w.settled(k, s)
						break
					}
					reborn := func() {
						last = gateway.End{Generation: generation, Cause: gateway.CauseCreelAway}
						w.t = t
						k = w.keeper()
					}
					reborn()
					twice := second > 0 && dies(k, second, &again, life)
					if twice {
						reborn()
					}
					life()
					w.settled(k, s)
					if says := w.says(); !contains(c.ends, says) {
						t.Errorf("the state says %q", says)
					}
					if t.Failed() {
						t.Fatalf("killed after %d (%s), then after %d (%s)", first, at, second, again)
					}
					if second > 0 && !twice {
						break
					}
				}
				if !more {
					if first < 5 {
						t.Fatalf("only %d points", first)
					}
					return
				}
			}
		})
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// TestJournalUnusable: nothing is touched or started on the word of a journal that
// cannot be read.
func TestJournalUnusable(t *testing.T) {
	w := newWorld(t)
	w.write(1, "one")
	must(t, os.MkdirAll(w.Dir, 0o700))
	must(t, os.WriteFile(filepath.Join(w.Dir, restore.JournalName), []byte("{"), 0o600))
	refused(t, w.prepare(w.keeper(), 1, gateway.End{}), true)
}
