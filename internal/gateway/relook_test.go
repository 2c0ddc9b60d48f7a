package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"creel/internal/durable"
)

// TestLookAgain: that the first look has failed is not the last word on a gateway that
// nobody wants. What runs though a person has stopped it is ended, what nobody has asked
// for yet is taken over, and what has ended is cleared away.
func TestLookAgain(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, r *rig, i *fakeInstance){
		"stopped": func(t *testing.T, r *rig, i *fakeInstance) {
			if err := r.intent.change(durable.Synced, func(i *intent) { i.Stopped = true }); err != nil {
				t.Fatal(err)
			}
			r.run()
			r.wants(Stopped, 1)
			r.seen()
			r.wants(Stopped, 1)
			if !hasEnded(i) || r.rt.now() != nil {
				t.Error("it still runs")
			}
		},
		"on demand": func(t *testing.T, r *rig, i *fakeInstance) {
			r.run()
			r.wants(Stopped, 1)
			r.seen()
			r.wants(Ready, 1)
		},
		"dead": func(t *testing.T, r *rig, i *fakeInstance) {
			i.crash()
			r.run()
			r.wants(Stopped, 1)
			r.seen()
			r.wants(Stopped, 1)
			if r.rt.now() != nil {
				t.Error("it was not cleared away")
			}
		},
		"wanted meanwhile": func(t *testing.T, r *rig, i *fakeInstance) {
			r.run()
			r.rt.change(func(h *hooks) { h.onFind = nil })
			r.lateLease(1)
			r.wants(Ready, 1)
			i.crash()
			r.wants(Ready, 1, 3)
			pass(2 * relookPause)
			r.wants(Ready, 1, 3)
		},
		"it dies before the next look": func(t *testing.T, r *rig, i *fakeInstance) {
			r.run()
			r.rt.change(func(h *hooks) { h.onFind, h.anew = nil, true })
			r.lateLease(1)
			r.wants(Ready, 1)
			i.unkillable.Store(true)
			go func() { _ = r.Stop(t.Context()) }()
			pass(2 * relookPause)
			i.unkillable.Store(false)
			pass(time.Minute)
			r.wants(Stopped, 1)
			begun := time.Now()
			frozen, err := r.Still(t.Context(), func(context.Context) error { return nil })
			if frozen != 0 || err != nil || time.Since(begun) != 0 {
				t.Errorf("frozen for %v after %v: %v", frozen, time.Since(begun), err)
			}
		},
		"nothing": func(t *testing.T, r *rig, i *fakeInstance) {
			if err := i.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.run()
			r.seen()
			r.wants(Stopped, 1)
			looks := 0
			r.rt.change(func(h *hooks) { h.onFind = func() error { looks++; return nil } })
			pass(10 * relookPause)
			if looks != 0 {
				t.Errorf("it has looked %d times more", looks)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				first := newRig(t, keepsIntent(t)).run()
				i := first.rt.now()
				r := first.again(onDemand)
				r.rt.onFind = func() error { return errors.New("I/O error") }
				test(t, r, i)
			})
		})
	}
}

// seen lets looks succeed from now on, and waits for one.
func (r *rig) seen() {
	pass(3*relookPause + time.Second)
	r.rt.change(func(h *hooks) { h.onFind = nil })
	pass(relookPause)
}
