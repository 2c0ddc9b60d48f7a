package gateway

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeave: the instance runs on, and nobody gets a lease or an answer any more.
func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		l := r.lease()
		waiting := make(chan *Unavailable)
		i := r.rt.now()
		i.ready.set(false)
		l.Unreachable()
		go func() { waiting <- r.refusal(time.Minute) }()
		r.wants(Suspect)
		r.Leave()
		if u := <-waiting; u.Code != CodeShuttingDown {
			t.Errorf("code %s for who waits", u.Code)
		}
		if u := r.refusal(time.Minute); u.Code != CodeShuttingDown {
			t.Errorf("code %s for who comes", u.Code)
		}
		if i.terms.Load()+i.kills.Load() != 0 || r.rt.now() == nil {
			t.Error("the instance was not left in peace")
		}
		for _, f := range []func(context.Context) error{r.Start, r.Stop, r.Restart, r.ConfigChanged} {
			if err := f(t.Context()); !errors.Is(err, errClosed) {
				t.Errorf("got %v, want errClosed", err)
			}
		}
		if _, err := r.WaitFor(t.Context(), Status.Ready); !errors.Is(err, errClosed) {
			t.Errorf("got %v, want errClosed", err)
		}
		l.Unreachable()
		l.Release()
		if err := r.Close(t.Context()); err != nil || i.terms.Load() != 0 {
			t.Errorf("Close after Leave: %v", err)
		}
		r.Supervisor.Run() // returns at once
	})
}

// TestOutlive: requests that were under way when the supervisor was left hear of
// the instance's end all the same, once, and no longer than they are listened to.
func TestOutlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		l, i := r.lease(), r.rt.now()
		r.Leave()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r.Outlive(ctx, nobodyKnows) // returns at once
		select {
		case <-l.Ended():
			t.Error("it ended by being left")
		default:
		}
		outlived := make(chan struct{})
		go func() { r.Outlive(t.Context(), nobodyKnows); close(outlived) }()
		synctest.Wait()
		i.crash()
		<-l.Ended()
		<-outlived
		if !l.Crashed() {
			t.Error("it is not told as a crash")
		}
		r.Outlive(t.Context(), nobodyKnows) // says it no second time
		l.Release()
	})
}

func nobodyKnows(context.Context, uint64) (Fate, bool) { return Fate{}, false }

// TestOutliveAsks: how an instance ended that was handed over, the creel in charge of it
// knows: it may have asked it to.
func TestOutliveAsks(t *testing.T) {
	for _, fate := range []Fate{{}, {Crashed: true}, {Crashed: true, FromOutside: true}} {
		bubble(t, func(t *testing.T) {
			r := newRig(t).run()
			l, i := r.lease(), r.rt.now()
			r.Leave()
			go r.Outlive(t.Context(), func(_ context.Context, generation uint64) (Fate, bool) {
				if generation != 1 {
					t.Errorf("asked for generation %d", generation)
				}
				return fate, true
			})
			i.die(syscall.SIGTERM, 0)
			<-l.Ended()
			if l.Crashed() != fate.Crashed || l.FromOutside() != fate.FromOutside {
				t.Errorf("%+v is known; crashed %v, from outside %v are told", fate, l.Crashed(), l.FromOutside())
			}
			l.Release()
		})
	}
}

// TestOutliveKnows: of an instance that was asked to end before it was left the one in charge
// sees only that it has ended.
func TestOutliveKnows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		l, i := r.lease(), r.rt.now()
		i.ignoreTerm.Store(true)
		r.ask(r.Restart)
		pass(testPolicy.Drain)
		r.wants(Stopping, 1)
		r.Leave()
		go r.Outlive(t.Context(), func(context.Context, uint64) (Fate, bool) { return Fate{Crashed: true, FromOutside: true}, true })
		i.die(0, 0)
		<-l.Ended()
		if l.Crashed() || l.FromOutside() {
			t.Errorf("crashed %v, from outside %v are told", l.Crashed(), l.FromOutside())
		}
		l.Release()
	})
}

// TestClose: the gateway is stopped in good order, and starts again with the next
// creel, since no person has stopped it.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t)).run()
		i := r.rt.now()
		l := r.lease()
		closed := make(chan error)
		go func() { closed <- r.Close(t.Context()) }()
		r.wants(Draining)
		if u := r.refusal(time.Minute); u.Code != CodeShuttingDown {
			t.Errorf("code %s", u.Code)
		}
		// Nobody starts it under Close's feet.
		r.ask(r.Start)
		r.ask(r.Restart)
		r.wants(Draining)
		l.Release()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if i.terms.Load() != 1 || r.rt.now() != nil {
			t.Errorf("terminated %d times, left: %v", i.terms.Load(), r.rt.now())
		}
		r.wantsJournal("starting 1", "ready 1", "draining 1", "stopping 1", "exited 1 asked", "stopped 1")
		r = r.again().run()
		r.wants(Ready, 1, 2)
	})
}

// TestCloseWithoutTime: when its context ends first, the gateway is killed, in
// every state and even if it comes out of a launch that cannot be called off.
func TestCloseWithoutTime(t *testing.T) {
	for _, s := range States {
		t.Run(string(s), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				inState[s](r)
				r.wants(s)
				if i := r.rt.now(); i != nil {
					i.ignoreTerm.Store(true)
					i.unkillable.Store(false)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := r.Close(ctx); err != nil {
					t.Error(err)
				}
				if r.rt.now() != nil {
					t.Error("an instance is left")
				}
				if i := r.files.writer(); i != nil {
					t.Errorf("%v counts as a writer of the files", i.Record())
				}
			})
		})
	}
	t.Run("launch", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, release := hangingLaunch(t, true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			time.AfterFunc(2*time.Second, release)
			if err := r.Close(ctx); err != nil {
				t.Error(err)
			}
			if n := r.rt.starts(); len(n) != 1 || r.rt.now() != nil {
				t.Errorf("started %v, left: %v", n, r.rt.now())
			}
		})
	})
	t.Run("cannot be killed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t).run()
			r.rt.now().ignoreTerm.Store(true)
			r.rt.now().unkillable.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.Close(ctx); err == nil || !strings.Contains(err.Error(), "pid 1001") {
				t.Errorf("got %v, want an error that names pid 1001", err)
			}
		})
	})
}

// TestLeaveCallsALaunchOff, but what came out of it too late is left for the
// next creel to find.
func TestLeaveCallsALaunchOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, _ := hangingLaunch(t, false)
		r.Leave()
		if len(r.rt.starts()) != 0 {
			t.Error("launched")
		}
	})
	bubble(t, func(t *testing.T) {
		r, release := hangingLaunch(t, true)
		left := make(chan struct{})
		go func() {
			r.Leave()
			close(left)
		}()
		synctest.Wait()
		release()
		<-left
		r.rt.change(func(h *hooks) { h.onStart = nil })
		r = r.again().run()
		r.wants(Ready, 1)
		if !r.Status().Adopted {
			t.Error("not adopted")
		}
	})
}

// TestNeverRun: a supervisor that is given up before Run leaves nothing behind.
func TestNeverRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.Leave()
		r.Supervisor.Run()
		if u := r.refusal(time.Minute); u.Code != CodeShuttingDown {
			t.Errorf("code %s", u.Code)
		}
	})
}
