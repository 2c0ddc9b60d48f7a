package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fateOf asks for the end of an instance, and gives the answer once there is one.
func (r *rig) fateOf(ctx context.Context, generation uint64) <-chan Fate {
	c := make(chan Fate, 1)
	go func() {
		defer close(c)
		if f, err := r.AwaitEnd(ctx, generation); err == nil {
			c <- f
		}
	}()
	return c
}

// TestAwaitEnd: whoever asks for another creel's sake hears of an instance's end
// when it comes, and how it came about.
func TestAwaitEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		early := r.fateOf(t.Context(), 1) // nothing is known of it yet
		r.run()
		r.wants(Ready, 1)
		first, third := r.fateOf(t.Context(), 1), r.fateOf(t.Context(), 3)
		synctest.Wait()
		select {
		case f := <-first:
			t.Fatalf("it runs, and is said to have ended: %+v", f)
		default:
		}
		r.rt.now().crash()
		if f, g := <-first, <-early; f != g || !f.Crashed || f.FromOutside {
			t.Errorf("it crashed, and %+v, %+v is told", f, g)
		}
		synctest.Wait()
		r.wants(Ready, 1, 2)
		if f := <-r.fateOf(t.Context(), 1); !f.Crashed || !f.FromOutside {
			t.Errorf("of one that was replaced %+v is told", f)
		}
		second := r.fateOf(t.Context(), 2)
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := <-second; f.Crashed {
			t.Errorf("it was asked to end, and %+v is told", f)
		}
		synctest.Wait()
		r.Leave()
		if f, ok := <-third; ok {
			t.Errorf("it has not ended, and %+v is told", f)
		}
	})
}

// TestAwaitEndOfOneThatIsGone: an instance that ended before this creel looked has
// ended, whether or not there is a later one.
func TestAwaitEndOfOneThatIsGone(t *testing.T) {
	lost := Fate{Crashed: true, FromOutside: true}
	told := func(t *testing.T, c <-chan Fate, want Fate) {
		t.Helper()
		synctest.Wait()
		select {
		case f := <-c:
			if f != want {
				t.Errorf("%+v is told", f)
			}
		default:
			t.Error("nothing is told")
		}
	}
	t.Run("found dead", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			found := Fate{Crashed: true} // its end was seen, and whose doing it was was not
			first := newRig(t).run()
			first.Leave()
			first.rt.now().crash()
			r := first.again(onDemand)
			early := r.fateOf(t.Context(), 1)
			r.run()
			r.wants(Stopped, 1)
			told(t, early, found)
			told(t, r.fateOf(t.Context(), 1), found)
		})
	})
	t.Run("nothing found", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			first := newRig(t, keepsIntent(t)).run()
			first.ask(first.Stop)
			first.Leave()
			r := first.again()
			early := r.fateOf(t.Context(), 1)
			r.run()
			r.wants(Stopped, 1)
			told(t, early, lost)
			later, stop := context.WithCancel(t.Context())
			defer stop()
			next := r.fateOf(later, 2)
			synctest.Wait()
			select {
			case f := <-next:
				t.Errorf("%+v is told of one that was not started yet", f)
			default:
			}
			r.ask(r.Start)
			r.wants(Ready, 1, 2)
			r.rt.now().crash()
			if f := <-next; f != (Fate{Crashed: true}) {
				t.Errorf("%+v is told of one that crashed", f)
			}
		})
	})
	t.Run("a look that fails", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			first := newRig(t, keepsIntent(t)).run()
			first.Leave()
			i := first.rt.now()
			r := first.again(onDemand)
			r.rt.change(func(h *hooks) { h.onFind = func() error { return errors.New("no table of processes") } })
			fate := r.fateOf(t.Context(), 1)
			r.run()
			r.wants(Stopped, 1)
			select {
			case f := <-fate:
				t.Fatalf("it runs, and %+v is told", f)
			default:
			}
			r.rt.change(func(h *hooks) { h.onFind = nil })
			r.lateLease(1) // found after all
			select {
			case f := <-fate:
				t.Fatalf("it runs, and %+v is told", f)
			default:
			}
			i.crash()
			if f := <-fate; f != (Fate{Crashed: true}) {
				t.Errorf("it crashed, and %+v is told", f)
			}
		})
	})
}

// TestAwaitEndIsBounded: the question ends with its context.
func TestAwaitEndIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.AwaitEnd(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestForeign: leases on an instance of another creel hear of its end from whoever
// says so.
func TestForeign(t *testing.T) {
	for _, fate := range []Fate{{}, {Crashed: true}, {Crashed: true, FromOutside: true}} {
		f := NewForeign(7, "127.0.0.1:1")
		given := 0
		l := f.Lease(func() { given++ })
		defer func() {
			if l.Release(); given != 1 {
				t.Errorf("it is told %d times that the lease was given back", given)
			}
		}()
		if l.Generation() != 7 || l.Addr() != "127.0.0.1:1" {
			t.Errorf("a lease on %d at %s", l.Generation(), l.Addr())
		}
		select {
		case <-l.Ended():
			t.Error("it has ended before it was said so")
		default:
		}
		f.End(fate)
		<-l.Ended()
		if l.Crashed() != fate.Crashed || l.FromOutside() != fate.FromOutside {
			t.Errorf("%+v was said; crashed %v, from outside %v", fate, l.Crashed(), l.FromOutside())
		}
		late := f.Lease(nil)
		<-late.Ended()
		late.Release()
	}
}
