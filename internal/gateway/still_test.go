package gateway

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/runtime"
)

// keeper is a Keeper whose Prepare is the test's.
type keeper struct {
	prepare func(ctx context.Context, still Stillness, p Preparation) error
	ready   []uint64
}

func (k *keeper) Prepare(ctx context.Context, still Stillness, p Preparation) error {
	if k.prepare == nil {
		return nil
	}
	return k.prepare(ctx, still, p)
}

func (k *keeper) Ready(g uint64) { k.ready = append(k.ready, g) }

func keptBy(k *keeper) func(*Options) { return func(o *Options) { o.Keeper = k } }

// during calls Still in a goroutine; do runs until release is called.
func (r *rig) during(ctx context.Context) (release func(), result func() (time.Duration, error)) {
	type outcome struct {
		d   time.Duration
		err error
	}
	stop, done := make(chan struct{}), make(chan outcome, 1)
	go func() {
		d, err := r.Still(ctx, func(context.Context) error { <-stop; return nil })
		done <- outcome{d, err}
	}()
	synctest.Wait()
	return func() { close(stop); synctest.Wait() }, func() (time.Duration, error) { o := <-done; return o.d, o.err }
}

func TestStillFreezes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		release, result := r.during(t.Context())
		if !r.rt.now().frozen.Load() {
			t.Error("not frozen")
		}
		pass(20 * time.Millisecond)
		release()
		if d, err := result(); err != nil || d != 20*time.Millisecond {
			t.Errorf("frozen for %v, %v", d, err)
		}
		if r.rt.now().frozen.Load() {
			t.Error("not thawed")
		}
		r.wants(Ready, 1)
	})
}

// TestStillEndsWithItsContext: whatever do hangs on, the gateway goes on.
func TestStillEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		release, result := r.during(ctx)
		pass(time.Second)
		if r.rt.now().frozen.Load() {
			t.Error("still frozen after the deadline")
		}
		release()
		if _, err := result(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v: what was seen is no instant", err)
		}
	})
}

// TestStillLetGo: an instance that is asked to end is let go, and what was seen of
// its files is no instant.
func TestStillLetGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		release, result := r.during(t.Context())
		i := r.rt.now()
		i.ignoreTerm.Store(true)
		if err := i.Thaw(); err != nil { // as Terminate does
			t.Fatal(err)
		}
		release()
		if _, err := result(); !errors.Is(err, ErrLetGo) {
			t.Errorf("got %v", err)
		}
	})
}

// TestStillLetGoAndEnded: one that was asked to end has written until it had ended, be
// that before the cut was made.
func TestStillLetGoAndEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		release, result := r.during(t.Context())
		r.ask(r.Stop)
		r.wants(Stopped)
		release()
		if _, err := result(); !errors.Is(err, ErrLetGo) {
			t.Errorf("got %v: what was seen is no instant", err)
		}
	})
}

// TestStillWhenItHasEnded: what is left of an instance that cannot be frozen any more
// is waited for, and then whatever there is: its successor, or nothing.
func TestStillWhenItHasEnded(t *testing.T) {
	for name, options := range map[string]func(*Options){"restarted": func(*Options) {}, "stopped": onDemand} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, options).run()
				if name == "stopped" {
					r.ask(r.Start)
					r.wants(Ready)
				}
				i := r.rt.now()
				i.unkillable.Store(true)
				if name == "stopped" {
					go func() { _ = r.Stop(t.Context()) }()
				} else {
					i.crash()
				}
				synctest.Wait()
				release, result := r.during(t.Context())
				release()
				pass(time.Millisecond)
				if r.rt.now() != i {
					t.Fatal("it is gone already")
				}
				i.unkillable.Store(false)
				d, err := result()
				if err != nil || d != 0 {
					t.Errorf("frozen for %v, %v", d, err)
				}
			})
		})
	}
}

// TestStillWhileSomethingIsLeft: what a launch finds, and cannot clear away, may go on
// writing, and is waited for like any other.
func TestStillWhileSomethingIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		r := first.again()
		i := r.rt.now()
		i.unkillable.Store(true)
		i.crash()
		r.rt.change(func(h *hooks) { h.onFind = func() error { return errors.New("I/O error") } })
		go r.Supervisor.Run()
		pass(time.Millisecond)
		r.rt.change(func(h *hooks) { h.onFind = nil }) // the next launch sees it
		for i.kills.Load() == 0 {
			pass(time.Second)
		}
		_, err := r.Still(t.Context(), func(context.Context) error { t.Error("it was called"); return nil })
		if _, ended := errors.AsType[*runtime.EndedError](err); !ended {
			t.Errorf("got %v", err)
		}
		i.unkillable.Store(false)
		r.ask(r.Start)
		r.wants(Ready)
		if _, err := r.Still(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// TestStillAfterAStartThatFailed: what such a start has left, since it could not be cleared
// away, may write, and is frozen.
func TestStillAfterAStartThatFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand)
		r.rt.onStart = func(ctx context.Context, _ runtime.Spec, i *fakeInstance) error {
			<-ctx.Done()
			r.rt.mu.Lock()
			defer r.rt.mu.Unlock()
			r.rt.recorded = i
			return errors.New("cannot clear away what was started")
		}
		r.run()
		r.ask(r.Start)
		r.ask(r.Stop)
		r.wants(Stopped)
		_, err := r.Still(t.Context(), func(context.Context) error {
			if !r.rt.now().frozen.Load() {
				t.Error("it is not frozen")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestStillWhenItHasEndedForGood: nobody is there to clear it away.
func TestStillWhenItHasEndedForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.unkillable.Store(true)
		i.crash()
		begun := time.Now()
		_, err := r.Still(t.Context(), func(context.Context) error { t.Error("it was called"); return nil })
		if _, ended := errors.AsType[*runtime.EndedError](err); !ended || time.Since(begun) != killTimeout {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		i.unkillable.Store(false)
	})
}

// TestStillCalledOff: that whoever asked has thought better of it is the error then.
func TestStillCalledOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.unkillable.Store(true)
		i.crash()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := r.Still(ctx, func(context.Context) error { t.Error("it was called"); return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		i.unkillable.Store(false)
	})
}

// TestStillThatCannotBeHad: an instance of which a process does not stand still, since the
// kernel holds it up, is let go: the others stand still already.
func TestStillThatCannotBeHad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.restless.Store(true)
		begun := time.Now()
		_, err := r.Still(t.Context(), func(context.Context) error { t.Error("it was called"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "within 10s") || time.Since(begun) != freezeTimeout || i.frozen.Load() {
			t.Errorf("after %v: %v; frozen: %v", time.Since(begun), err, i.frozen.Load())
		}
		i.restless.Store(false)
		release, result := r.during(t.Context())
		release()
		if _, err := result(); err != nil {
			t.Error(err)
		}
	})
}

func TestStillThawsAfterAPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		func() {
			defer func() { _ = recover() }()
			_, _ = r.Still(t.Context(), func(context.Context) error { panic("oops") })
		}()
		if r.rt.now().frozen.Load() {
			t.Error("still frozen")
		}
		if _, err := r.Still(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("the turn was not given back: %v", err)
		}
	})
}

// TestStillThawsInTheEnd: that it could not be thawed at once, since creel may open no
// more files, does not leave a gateway frozen, which would answer nobody, nor count as one
// that hangs.
func TestStillThawsInTheEnd(t *testing.T) {
	for name, freezeErr := range map[string]error{"thaw": nil, "freeze": syscall.EMFILE} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				told, over := 0, false
				r := newRig(t, func(o *Options) {
					o.Shortage = func(err error) bool {
						if over = err == nil; !over {
							told++
						}
						return errors.Is(err, syscall.EMFILE)
					}
				}).run()
				i := r.rt.now()
				i.freezeErr = freezeErr
				i.frostbite.Store(3)
				_, err := r.Still(t.Context(), func(context.Context) error { return nil })
				if !errors.Is(err, freezeErr) {
					t.Error(err)
				}
				if i.frozen.Load() || told != 3 || !over {
					t.Errorf("frozen: %v, told of %d failures, and of their end: %v", i.frozen.Load(), told, over)
				}
			})
		})
	}
}

// TestStillThawsOn: an instance that cannot be thawed keeps nobody for long who waits for
// that, but it is tried until it has ended, or the supervisor does.
func TestStillThawsOn(t *testing.T) {
	for name, end := range map[string]func(r *rig, i *fakeInstance){
		"thawed":   func(_ *rig, i *fakeInstance) { i.frostbite.Store(0) },
		"instance": func(_ *rig, i *fakeInstance) { i.crash() },
		"creel":    func(r *rig, _ *fakeInstance) { r.Leave() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t).run()
				i := r.rt.now()
				i.frostbite.Store(1000)
				began := time.Now()
				_, err := r.Still(t.Context(), func(context.Context) error { return nil })
				if took := time.Since(began); !errors.Is(err, syscall.EMFILE) || took != thawTime {
					t.Errorf("after %v: %v", took, err)
				}
				pass(time.Minute)
				before := i.thaws.Load()
				if before < 60 {
					t.Errorf("tried %d times", before)
				}
				end(r, i)
				pass(time.Minute)
				if n := i.thaws.Load() - before; n > 1 {
					t.Errorf("tried %d times more", n)
				}
				if name == "thawed" && i.frozen.Load() {
					t.Error("it is still frozen")
				}
			})
		})
	}
}

// TestStillKeepsFromStarting: without an instance the files stay as they are
// because none is launched.
func TestStillKeepsFromStarting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand).run()
		release, result := r.during(t.Context())
		r.ask(r.Start)
		r.wants(Starting)
		if n := len(r.rt.starts()); n != 0 {
			t.Fatalf("%d instances were started", n)
		}
		release()
		if d, err := result(); err != nil || d != 0 {
			t.Errorf("got %v, %v", d, err)
		}
		r.wants(Ready, 1)
	})
}

// TestCrashWhileStill: the successor of an instance that dies while it is frozen
// waits for the end of the cut, which is to be made again.
func TestCrashWhileStill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		release, result := r.during(t.Context())
		r.rt.now().crash()
		r.wants(Starting, 1)
		release()
		if _, err := result(); !errors.Is(err, ErrLetGo) {
			t.Errorf("got %v", err)
		}
		r.wants(Ready, 1, 2)
	})
}

// TestStillBeforeTheFirstLook: an instance of an earlier creel may run.
func TestStillBeforeTheFirstLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		r := first.again(onDemand)
		release, result := r.during(t.Context())
		if r.rt.now().frozen.Load() {
			t.Error("frozen before the first look")
		}
		r.run()
		if !r.rt.now().frozen.Load() {
			t.Error("the instance that was found is not frozen")
		}
		release()
		if _, err := result(); err != nil {
			t.Error(err)
		}
	})
}

// TestStillAfterALookThatFailed: it looks again, and fails rather than take a
// gateway that may run for one that does not.
func TestStillAfterALookThatFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		r := first.again(onDemand)
		broken := errors.New("I/O error")
		r.rt.change(func(h *hooks) { h.onFind = func() error { return broken } })
		r.run()
		if _, err := r.Still(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		r.rt.change(func(h *hooks) { h.onFind = nil })
		_, err := r.Still(t.Context(), func(context.Context) error {
			if !r.rt.now().frozen.Load() {
				t.Error("not frozen")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestPrepare: nothing runs and nothing is started before the state is in place;
// the state of the gateway says so; the proof is good for that time alone.
func TestPrepare(t *testing.T) {
	bubble(t, func(t *testing.T) {
		placed := newGate(false)
		var kept Stillness
		k := &keeper{prepare: func(ctx context.Context, still Stillness, p Preparation) error {
			kept = still
			if p.Generation != 1 || !still.Holds() {
				t.Errorf("generation %d, %v", p.Generation, still.Holds())
			}
			p.Restoring()
			p.Restoring()
			return placed.wait(ctx, nil)
		}}
		r := newRig(t, keptBy(k)).run()
		r.wants(Restoring)
		release, result := r.during(t.Context())
		placed.set(true)
		r.wants(Starting) // the cut is taken before the launch
		if kept.Holds() {
			t.Error("the proof outlives Prepare")
		}
		release()
		if _, err := result(); err != nil {
			t.Error(err)
		}
		r.wants(Ready, 1)
		if len(k.ready) != 1 || k.ready[0] != 1 {
			t.Errorf("told of %v", k.ready)
		}
	})
}

// TestPrepareFails: the gateway is not started, and says why. How the instance
// before has ended is told.
func TestPrepareFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var fails atomic.Bool
		var last End
		k := &keeper{prepare: func(_ context.Context, _ Stillness, p Preparation) error {
			last = p.Last
			if !fails.Load() {
				return nil
			}
			p.Restoring()
			return RestoreError(errors.New("the store does not answer"), "do this", true)
		}}
		r := newRig(t, keptBy(k)).run()
		fails.Store(true)
		r.rt.now().crash()
		r.wants(Failed, 1)
		if last.Generation != 1 || last.Cause != CauseSignal {
			t.Errorf("told of %+v", last)
		}
		u := r.refusal(time.Second)
		if u.Code != CodeRestoreFailed || u.Hint != "do this" {
			t.Errorf("refused with %+v", u)
		}
		fails.Store(false)
		r.ask(r.Start)
		r.wants(Ready, 1, 3)
	})
}

// TestPrepareCalledOff: a stop ends a restore that can be ended.
func TestPrepareCalledOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := &keeper{prepare: func(ctx context.Context, _ Stillness, p Preparation) error {
			p.Restoring()
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		r := newRig(t, keptBy(k)).run()
		r.wants(Restoring)
		r.ask(r.Stop)
		r.wants(Stopped)
		if n := r.rt.starts(); len(n) != 0 {
			t.Errorf("started %v", n)
		}
	})
}
