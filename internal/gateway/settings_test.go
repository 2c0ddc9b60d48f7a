package gateway

import (
	"context"
	"testing"
	"time"
)

func (r *rig) configure(change func(*Settings)) {
	r.Helper()
	set := *r.opts.settings()
	change(&set)
	r.ask(func(ctx context.Context) error { return r.Configure(ctx, set) })
}

// TestConfigureStart: a gateway that waits for its first request is started if
// it is no longer to wait, unless a person has stopped it.
func TestConfigureStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand).run()
		r.wants(Stopped)
		r.configure(func(s *Settings) { s.OnDemand = false })
		r.wants(Ready, 1)
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand).run()
		r.ask(r.Stop)
		r.configure(func(s *Settings) { s.OnDemand = false })
		pass(time.Hour)
		r.wants(Stopped)
	})
}

// TestConfigureReadyTimeout: a longer time to get ready counts for a start under
// way, and so does a shorter one; what has passed already is part of it.
func TestConfigureReadyTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		timeout time.Duration
		at      time.Duration // from the start
		starts  []uint64      // by then
	}{
		"longer":  {2 * readyTime, readyTime + time.Second, []uint64{1}},
		"shorter": {readyTime / 2, readyTime/2 + time.Second, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.rt.made = func(i *fakeInstance) { i.ready.set(false) }
				r.run()
				r.wants(Starting, 1)
				pass(readyTime / 3)
				r.configure(func(s *Settings) { s.ReadyTimeout = test.timeout })
				pass(test.at - readyTime/3)
				r.wants(Starting, test.starts...)
			})
		})
	}
}

// TestConfigureHold: the longest waiting list is the new one.
func TestConfigureHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.rt.made = func(i *fakeInstance) { i.ready.set(false) }
		r.run()
		r.configure(func(s *Settings) { s.HoldRequests = 0 })
		if u := r.refusal(time.Second); u.Code != CodeHoldQueueFull {
			t.Errorf("refused with %s", u.Code)
		}
	})
}

// TestConfigurePolicy: a gateway that is about to be given up under the old
// policy goes on under the new one.
func TestConfigurePolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Policy.Fruitless, o.Policy.Delay = 1, 0 }).run()
		r.configure(func(s *Settings) { s.Policy.Fruitless = 3 })
		r.rt.now().crash()
		r.wants(Ready, 1, 2)
	})
}
