package gateway

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/runtime"
)

// inState are ways to bring a gateway into each state, with instance 1 where the
// state has one.
var inState = map[State]func(r *rig){
	Stopped: func(r *rig) {
		r.run()
		r.ask(r.Stop)
	},
	Restoring: func(r *rig) {
		r.Supervisor.opts.Keeper = &keeper{prepare: func(ctx context.Context, _ Stillness, p Preparation) error {
			if p.Generation > 1 {
				return nil
			}
			p.Restoring()
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		r.run()
	},
	Starting: func(r *rig) {
		r.rt.made = func(i *fakeInstance) { i.ready.set(i.record.Generation > 1) }
		r.run()
	},
	Ready: func(r *rig) { r.run() },
	Suspect: func(r *rig) {
		r.run()
		r.rt.now().ready.set(false)
		l := r.lease()
		l.Unreachable()
		l.Release()
	},
	Draining: func(r *rig) {
		r.run()
		l := r.lease()
		r.ask(r.Restart)
		time.AfterFunc(time.Second, l.Release)
	},
	Stopping: func(r *rig) {
		r.run()
		i := r.rt.now()
		i.unkillable.Store(true)
		i.crash()
		time.AfterFunc(time.Second, func() { i.unkillable.Store(false) })
	},
	Backoff: func(r *rig) {
		r.rt.made = func(i *fakeInstance) {
			if i.record.Generation < 3 {
				i.crash()
			}
		}
		r.run()
	},
	Failed: func(r *rig) {
		r.rt.onStart = func(context.Context, runtime.Spec, *fakeInstance) error {
			return &runtime.CommandError{Command: "x"}
		}
		r.run()
		r.rt.change(func(h *hooks) { h.onStart = nil })
	},
}

// TestStopInEachState: a stop leads to stopped, requests are turned away as soon
// as it was asked for, and a start brings the gateway back.
func TestStopInEachState(t *testing.T) {
	for _, s := range States {
		t.Run(string(s), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				inState[s](r)
				r.wants(s)
				r.ask(r.Stop)
				if u := r.refusal(time.Minute); u.Code != CodeStopped && u.Code != CodeStopping {
					t.Errorf("code %s after a stop", u.Code)
				}
				pass(testPolicy.Drain + testPolicy.Grace + testPolicy.KillRetry)
				r.wants(Stopped)
				if r.rt.now() != nil {
					t.Error("an instance is left")
				}
				if u := r.refusal(time.Minute); u.Code != CodeStopped || !r.Status().StopAsked {
					t.Errorf("code %s when stopped", u.Code)
				}
				starts := len(r.rt.starts())
				pass(time.Hour)
				r.wants(Stopped)
				r.ask(r.Start)
				r.wants(Ready)
				if n := len(r.rt.starts()) - starts; n != 1 {
					t.Errorf("%d starts after the stop", n)
				}
			})
		})
	}
}

// TestRestartInEachState: a restart leads to one new instance that is ready,
// while requests wait.
func TestRestartInEachState(t *testing.T) {
	for _, s := range States {
		t.Run(string(s), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				inState[s](r)
				r.wants(s)
				old := r.Status().Generation
				r.ask(r.Restart)
				l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Release()
				if l.Generation() != old+1 {
					t.Errorf("lease on generation %d, want %d", l.Generation(), old+1)
				}
				r.wants(Ready)
			})
		})
	}
}

// hangingLaunch is a rig whose launch hangs until it is called off, or also then.
func hangingLaunch(t *testing.T, ignoresCallOff bool) (r *rig, release func()) {
	r = newRig(t)
	held := make(chan struct{})
	r.rt.onStart = func(ctx context.Context, spec runtime.Spec, _ *fakeInstance) error {
		if spec.Generation > 1 {
			return nil
		}
		if ignoresCallOff {
			<-held
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	r.run()
	r.wants(Starting)
	return r, sync.OnceFunc(func() { close(held) })
}

func TestStopCallsALaunchOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := hangingLaunch(t, false)
		r.ask(r.Stop)
		r.wants(Stopped)
		if len(r.rt.starts()) != 0 {
			t.Error("it was launched")
		}
		r.wantsJournal("starting 1", "start_failed 1 asked", "stopped 1")
	})
}

func TestStopTooLateToCallOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, release := hangingLaunch(t, true)
		r.ask(r.Stop)
		r.wants(Starting)
		release()
		r.wants(Stopped, 1)
		r.wantsJournal("starting 1", "stopping 1", "exited 1 asked", "stopped 1")
	})
}

func TestStopTakenBackDuringLaunch(t *testing.T) {
	for name, ignores := range map[string]bool{"called off": false, "too late": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, release := hangingLaunch(t, ignores)
				if ignores {
					r.ask(r.Stop)
					r.ask(r.Start)
					release()
				} else {
					r.ask(r.Restart)
				}
				r.wants(Ready)
				if g := r.Status().Generation; g != 2 {
					t.Errorf("generation %d", g)
				}
			})
		})
	}
}

// TestTermIgnored: what does not end when asked is killed after its grace.
func TestTermIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.ignoreTerm.Store(true)
		r.ask(r.Stop)
		pass(testPolicy.Grace - time.Second)
		r.wants(Stopping)
		if i.terms.Load() != 1 || i.kills.Load() != 0 {
			t.Errorf("terminated %d times, killed %d times", i.terms.Load(), i.kills.Load())
		}
		pass(time.Second)
		r.wants(Stopped)
		if end := r.Status().LastEnd; end.Cause != CauseAsked || end.Generation != 1 {
			t.Errorf("last end %+v", end)
		}
		r.wantsJournal("starting 1", "ready 1", "draining 1", "stopping 1", "killed 1", "exited 1 asked", "stopped 1")
	})
}

// TestCannotBeKilled: it is tried again and again, and meanwhile no second
// instance is started (the runtime of the test sees to that), whatever is asked.
func TestCannotBeKilled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.unkillable.Store(true)
		i.crash()
		r.wants(Stopping, 1)
		for range 5 {
			r.ask(r.Start)
			r.ask(r.Restart)
			r.ask(r.ConfigChanged)
			pass(testPolicy.KillRetry)
			r.wants(Stopping, 1)
		}
		if n := i.kills.Load(); n != 6 {
			t.Errorf("killed %d times, want 6", n)
		}
		if u := r.refusal(time.Second); u.Code != CodeHoldTimeout {
			t.Errorf("code %s", u.Code)
		}
		i.unkillable.Store(false)
		pass(testPolicy.KillRetry)
		r.wants(Ready, 1, 2)
	})
}

// TestDrain: a restart lets requests end, and keeps new ones waiting.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		old := r.rt.now()
		a, b := r.lease(), r.lease()
		r.ask(r.Restart)
		r.wants(Draining)
		got := make(chan uint64)
		go func() {
			l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
			if err != nil {
				t.Error(err)
			}
			defer l.Release()
			got <- l.Generation()
		}()
		a.Release()
		a.Release() // of no effect
		pass(time.Second)
		r.wants(Draining)
		if old.terms.Load() != 0 {
			t.Error("asked to end while a request is under way")
		}
		b.Release()
		if g := <-got; g != 2 {
			t.Errorf("lease on generation %d", g)
		}
		r.wants(Ready, 1, 2)
		<-b.Ended()
		if b.Crashed() {
			t.Error("it ended because it was asked to, and yet counts as crashed")
		}
		r.wantsJournal("starting 1", "ready 1", "draining 1", "stopping 1", "exited 1 asked", "starting 2", "ready 2")
	})
}

// TestDrainIsBounded: a request that does not end is cut.
func TestDrainIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		l := r.lease()
		defer l.Release()
		r.ask(r.Restart)
		pass(testPolicy.Drain - time.Second)
		r.wants(Draining, 1)
		pass(time.Second)
		r.wants(Ready, 1, 2)
		cut := slices.IndexFunc(r.journal.lines(), func(s string) bool { return s == "stopping 1" })
		if n := r.journal.events[cut].Fields["requests_cut"]; n != int64(1) {
			t.Errorf("requests cut: %v", n)
		}
	})
}

// slowExplain makes it take a second until it is known how an instance ended.
func slowExplain(o *Options) {
	o.Explain = func(x runtime.Exit, log []string) End {
		<-time.After(time.Second)
		return Explain(x, log)
	}
}

// TestCrashWhileDraining: an end that nobody has asked for yet is a crash.
func TestCrashWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slowExplain).run()
		l := r.lease()
		defer l.Release()
		r.ask(r.Stop)
		r.wants(Draining)
		r.rt.now().crash()
		pass(time.Second)
		r.wants(Stopped)
		<-l.Ended()
		if !l.Crashed() {
			t.Error("a crash does not count as one")
		}
		r.wantsJournal("starting 1", "ready 1", "draining 1", "exited 1 signal", "stopped 1")
	})
}

// TestStopAfterCrash: a crash remains one, though a stop is asked for before it
// is known how it came about.
func TestStopAfterCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slowExplain).run()
		l := r.lease()
		l.Release()
		r.rt.now().crash()
		r.ask(r.Stop)
		r.wants(Stopping)
		pass(time.Second)
		r.wants(Stopped)
		<-l.Ended()
		if !l.Crashed() {
			t.Error("a crash does not count as one")
		}
	})
}

// TestWaitsEndWithTheirState: a probe of which nobody wants the result is ended
// at once, not when its time is over.
func TestWaitsEndWithTheirState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		inState[Starting](r)
		i := r.rt.now()
		i.ignoreTerm.Store(true)
		if n := i.ready.waiting.Load(); n != 1 {
			t.Fatalf("%d probes are under way, want 1", n)
		}
		r.ask(r.Stop)
		r.wants(Stopping)
		if n := i.ready.waiting.Load(); n != 0 {
			t.Errorf("%d probes are under way, want none", n)
		}
	})
}

// TestRequestsWhileStopping: those who wait are told when a stop is asked for.
func TestRequestsWhileStopping(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		inState[Starting](r)
		got := make(chan *Unavailable, 10)
		for range 10 {
			go func() { got <- r.refusal(time.Minute) }()
		}
		synctest.Wait()
		r.ask(r.Stop)
		for range 10 {
			if u := <-got; u.Code != CodeStopping && u.Code != CodeStopped {
				t.Errorf("code %s", u.Code)
			}
		}
	})
}

// TestSignalOfAnAskedEnd: an instance that dies of a signal on its way out has
// ended as asked.
func TestSignalOfAnAskedEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.ignoreTerm.Store(true)
		r.ask(r.Stop)
		i.die(syscall.SIGTERM, 0)
		r.wants(Stopped)
		if st := r.Status(); st.LastEnd.Cause != CauseAsked || st.Restarts != 0 {
			t.Errorf("status %+v", st)
		}
	})
}
