package gateway

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/event"
	"creel/internal/runtime"
)

func TestStartsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		r.wants(Ready, 1)
		st := r.Status()
		if !st.Ready() || st.PID != 1001 || st.Addr != "127.0.0.1:30001" || st.Generation != 1 || st.Adopted {
			t.Errorf("status %+v", st)
		}
		l := r.lease()
		defer l.Release()
		if l.Generation() != 1 || l.Addr() != st.Addr || l.OnTrial() {
			t.Errorf("lease on %d at %s", l.Generation(), l.Addr())
		}
		r.wantsJournal("starting 1", "ready 1")
	})
}

// TestLetInAtOnce: those who wait for an instance are let in before it is told to
// anybody else that it is ready.
func TestLetInAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s *Supervisor
		told := false
		r := newRig(t, func(o *Options) {
			o.Journal = recordFunc(func(e event.Event) {
				if e.Kind == event.Ready {
					told = true
					if s.broker.open.Load() == nil {
						t.Error("it was told first")
					}
				}
			})
		})
		s = r.Supervisor
		r.run()
		r.wants(Ready, 1)
		if !told {
			t.Error("it was not told at all")
		}
	})
}

type recordFunc func(event.Event)

func (f recordFunc) Record(e event.Event) { f(e) }

func TestStartsOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand).run()
		pass(time.Hour)
		r.wants(Stopped)
		if len(r.rt.starts()) != 0 {
			t.Error("started though nobody wants it")
		}
		l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
		r.wants(Ready, 1)
	})
}

// TestSingleFlight: many requests at once start one instance.
func TestSingleFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand).run()
		r.rt.onStart = func(context.Context, runtime.Spec, *fakeInstance) error {
			<-time.After(3 * time.Second)
			return nil
		}
		got := make(chan error, 500)
		for range 500 {
			go func() {
				l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
				l.Release()
				got <- err
			}()
		}
		synctest.Wait()
		r.wants(Starting)
		if r.Held() != 500 {
			t.Errorf("%d requests wait, want 500", r.Held())
		}
		for range 500 {
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		}
		r.wants(Ready, 1)
		if r.Held() != 0 {
			t.Errorf("%d requests still wait", r.Held())
		}
	})
}

// TestRequestsBeforeRun: those who come before creel has looked for an instance
// wait, and start nothing beside the one that is found.
func TestRequestsBeforeRun(t *testing.T) {
	for _, mode := range []func(*Options){func(*Options) {}, onDemand} {
		bubble(t, func(t *testing.T) {
			first := newRig(t, mode)
			go first.Supervisor.Run()
			first.ask(first.Start)
			first.wants(Ready, 1)

			r := first.again()
			r.rt.onFind = func() error {
				<-time.After(time.Second)
				return nil
			}
			got := make(chan uint64, 50)
			for range 50 {
				go func() {
					l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
					if err != nil {
						t.Error(err)
						got <- 0
						return
					}
					defer l.Release()
					got <- l.Generation()
				}()
			}
			synctest.Wait()
			r.run()
			for range 50 {
				if g := <-got; g != 1 {
					t.Errorf("lease on generation %d, want 1", g)
				}
			}
			r.wants(Ready, 1)
		})
	}
}

// TestHoldTimeWithoutRun: a request's time is over even if Run is never called.
func TestHoldTimeWithoutRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand)
		for range 20 {
			if u := r.refusal(time.Second); u.Code != CodeHoldTimeout {
				t.Errorf("code %s", u.Code)
			}
		}
	})
}

// TestDemandIsNotLost: a request that comes while an unwanted instance is being
// cleared away starts the next one.
func TestDemandIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, onDemand).run()
		first.ask(first.Start)
		first.Leave()
		first.rt.now().crash()
		r := first.again()
		r.rt.now().unkillable.Store(true)
		r.run()
		r.wants(Stopping)
		go func() {
			<-time.After(time.Second)
			r.rt.now().unkillable.Store(false)
		}()
		l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
		r.wants(Ready, 1, 2)
		r.wantsJournal("exited 1 creel_away", "stopping 1", "stopped 1", "starting 2", "ready 2")
	})
}

// TestSlowStart: requests wait while it gets ready, and it is replaced if that
// takes too long.
func TestSlowStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.rt.made = func(i *fakeInstance) { i.ready.set(i.record.Generation > 1) }
		r.run()
		r.wants(Starting, 1)
		pass(readyTime - time.Second)
		r.wants(Starting, 1)
		if u := r.refusal(0); u.Code != CodeHoldTimeout {
			t.Errorf("code %s while starting", u.Code)
		}
		pass(2 * time.Second)
		r.wants(Ready, 1, 2)
		if end := r.Status().LastEnd; end == nil || end.Cause != CauseNotReady || end.Generation != 1 {
			t.Errorf("last end %+v", end)
		}
		r.wantsJournal("starting 1", "start_failed 1 not_ready", "exited 1", "starting 2", "ready 2")
	})
}

// TestCannotBeStarted: each kind of failed launch has its cause, and leads to a
// refusal that names it.
func TestCannotBeStarted(t *testing.T) {
	for _, c := range []struct {
		name   string
		plan   error
		start  error
		cause  Cause
		code   Code
		starts int // launches until it is given up
	}{
		{"port", nil, &runtime.PortTakenError{Port: 1, PID: 7, Command: "nc"}, CausePortTaken, CodePortTaken, 5},
		{"command", nil, &runtime.CommandError{Command: "x", Err: errors.New("not found")}, CauseCommand, CodeFailed, 1},
		{"command that is being written", nil, &runtime.CommandError{Command: "x", Err: syscall.ETXTBSY}, CauseCommand, CodeFailed, 5},
		{"other", nil, errors.New("disk full"), CauseLaunch, CodeFailed, 5},
		{"cancelled by somebody else", context.Canceled, nil, CauseLaunch, CodeFailed, 5},
		{"refused", &PlanError{Cause: CauseConfigRefused, Hint: "mend it", Permanent: true, Err: errors.New("bad")}, nil, CauseConfigRefused, CodeConfigRefused, 1},
		{"hopeless plan", &PlanError{Cause: "no_network", Permanent: true, Err: errors.New("bad")}, nil, "no_network", CodeFailed, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				launches := 0
				r := newRig(t, func(o *Options) {
					o.Plan = func(context.Context, uint64) (runtime.Spec, error) {
						launches++
						if c.plan != nil {
							return runtime.Spec{}, fmt.Errorf("cannot plan: %w", c.plan)
						}
						return runtime.Spec{}, nil
					}
				})
				r.rt.onStart = func(context.Context, runtime.Spec, *fakeInstance) error {
					return fmt.Errorf("cannot start: %w", c.start)
				}
				r.run()
				pass(time.Minute)
				r.wants(Failed)
				u := r.refusal(time.Minute)
				if u.Code != c.code || u.End.Cause != c.cause || u.Hint == "" || launches != c.starts {
					t.Errorf("code %s, cause %s, hint %q after %d launches; want %s, %s after %d", u.Code, u.End.Cause, u.Hint, launches, c.code, c.cause, c.starts)
				}
				if retried := !r.Status().NextStart.IsZero(); retried != (c.starts > 1) {
					t.Errorf("to be tried again: %v", retried)
				}
			})
		})
	}
}

// TestLaunchHasAnEnd: a plan that never ends is called off (I8).
func TestLaunchHasAnEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plans := 0
		r := newRig(t, func(o *Options) {
			o.Plan = func(ctx context.Context, _ uint64) (runtime.Spec, error) {
				if plans++; plans == 1 {
					<-ctx.Done()
				}
				return runtime.Spec{}, ctx.Err()
			}
		}).run()
		pass(launchTimeout - time.Second)
		r.wants(Starting)
		pass(2 * time.Second)
		r.wants(Ready, 2)
		r.wantsJournal("starting 1", "start_failed 1 launch_failed", "starting 2", "ready 2")
	})
}

// TestLeftByALaunch: a launch that failed and left its instance running is not
// followed by a second one.
func TestLeftByALaunch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.rt.onStart = func(_ context.Context, _ runtime.Spec, i *fakeInstance) error {
			r.rt.mu.Lock()
			defer r.rt.mu.Unlock()
			r.rt.recorded = i
			return errors.New("cannot clear up")
		}
		r.run()
		r.wants(Ready)
		if st := r.Status(); st.Generation != 1 || !st.Adopted {
			t.Errorf("status %+v", st)
		}
		r.wantsJournal("starting 1", "start_failed 1 launch_failed", "starting 2", "adopted 1")

		r.rt.change(func(h *hooks) { h.onStart = nil })
		r.ask(r.Restart)
		r.wants(Ready, 3) // 2 was given to the launch that found 1
	})
}
