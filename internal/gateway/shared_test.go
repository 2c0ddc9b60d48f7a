package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// lent is what a lease that is asked for on behalf of another creel comes to.
type lent struct {
	lease Lease
	err   error
}

func (r *rig) lend(ctx context.Context, generation uint64, underWay bool) <-chan lent {
	c := make(chan lent, 1)
	go func() {
		l, err := r.Lend(ctx, generation, underWay)
		c <- lent{l, err}
	}()
	return c
}

// succeeded gives the rig of a creel that takes over, and what it is told by that the
// other one has said what it has. before is done while that one is in charge.
func succeeded(t *testing.T, before func(*rig)) (_ *rig, said chan struct{}) {
	t.Helper()
	first := newRig(t, keepsIntent(t)).run()
	first.wants(Ready, 1)
	before(first)
	first.Leave()
	said = make(chan struct{})
	return first.again(func(o *Options) { o.Elsewhere = said }), said
}

func nothing(*rig) {}

// TestDrainWaitsForTheOther: an instance that was handed over is not asked to end before
// the creel that has handed it over has said what it has with it, and that is done.
func TestDrainWaitsForTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, said := succeeded(t, nothing)
		r.run()
		r.wants(Ready, 1)
		i := r.rt.now()
		r.ask(r.Restart)
		r.wants(Draining, 1)
		l := <-r.lend(t.Context(), 1, true)
		if l.err != nil {
			t.Fatal(l.err)
		}
		if late := <-r.lend(t.Context(), 1, false); !errors.Is(late.err, ErrNotLent) {
			t.Errorf("what is about to end is lent: %v", late.err)
		}
		close(said)
		r.wants(Draining, 1)
		if i.terms.Load() > 0 {
			t.Fatal("it is asked to end with requests under way")
		}
		l.lease.Release()
		r.wants(Ready, 1, 2)
		if gone := <-r.lend(t.Context(), 1, true); !errors.Is(gone.err, ErrNotLent) {
			t.Errorf("one that is gone is lent: %v", gone.err)
		}
	})
}

// TestNothingIsSaid: a creel that has nothing, or says nothing, does not keep the
// instance for longer than any request does.
func TestNothingIsSaid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, said := succeeded(t, nothing)
		r.run()
		close(said)
		r.ask(r.Restart)
		r.wants(Ready, 1, 2)
	})
	bubble(t, func(t *testing.T) {
		r, _ := succeeded(t, nothing)
		r.run()
		r.ask(r.Restart)
		pass(testPolicy.Drain - time.Millisecond)
		r.wants(Draining, 1)
		pass(time.Millisecond)
		r.wants(Ready, 1, 2)
	})
}

// TestAskedWhileTakingOver: what is asked for before an instance that was handed over is
// known to be ready waits for the other creel's requests, too; so does what was asked for
// before, and not carried out.
func TestAskedWhileTakingOver(t *testing.T) {
	stop := func(r *rig) { r.ask(r.Stop) }
	restart := func(r *rig) { r.ask(r.Restart) }
	for name, c := range map[string]struct {
		before, then func(*rig)
		state        State
	}{
		"stop":            {nothing, stop, Stopped},
		"restart":         {nothing, restart, Ready},
		"stop, before":    {stop, nothing, Stopped},
		"restart, before": {restart, nothing, Ready},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, said := succeeded(t, func(r *rig) {
					r.lease() // is never given back
					r.rt.now().ready.set(false)
					c.before(r)
				})
				i := r.rt.now()
				r.run()
				c.then(r)
				r.wants(Draining, 1)
				if i.terms.Load() > 0 {
					t.Fatal("it is asked to end with requests under way")
				}
				close(said)
				r.wants(c.state)
			})
		})
	}
}

// TestLend: a lease is lent on an instance that is known, or once it is; it is no request
// that waits for its answer; and it is held beyond Leave, where UnderWay tells of it.
func TestLend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		early := r.lend(t.Context(), 1, false)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		never := r.lend(ctx, 2, true)
		r.run()
		l := <-early
		if l.err != nil || l.lease.Generation() != 1 {
			t.Fatalf("%d, %v", l.lease.Generation(), l.err)
		}
		if waits := r.face.leases.Load() - r.face.begun.Load(); waits != 0 {
			t.Errorf("%d requests wait for their answers", waits)
		}
		cancel()
		if l := <-never; !errors.Is(l.err, context.Canceled) {
			t.Errorf("one that is not there is lent: %v", l.err)
		}
		left := r.lend(t.Context(), 2, true)
		synctest.Wait()
		r.Leave()
		if l := <-left; !errors.Is(l.err, errClosed) {
			t.Errorf("one that is not there is lent: %v", l.err)
		}
		generation, drained := r.UnderWay()
		if generation != 1 || drained == nil {
			t.Fatalf("%d", generation)
		}
		done := make(chan error, 1)
		go func() { done <- drained(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it is given back: %v", err)
		default:
		}
		for _, underWay := range []bool{true, false} { // UnderWay may have been asked by then
			if late := <-r.lend(t.Context(), 1, underWay); !errors.Is(late.err, errClosed) {
				t.Errorf("one is lent after Leave: %v", late.err)
			}
		}
		l.lease.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, drained := r.UnderWay(); drained != nil {
			t.Error("something is under way")
		}
	})
}
