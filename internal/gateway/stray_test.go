package gateway

import (
	"errors"
	"strings"
	"testing"

	"creel/internal/event"
	"creel/internal/runtime"
)

var twoStrays = []runtime.Stray{{PID: 12, Command: "node a", Where: "/g5"}, {PID: 13, Command: "node b --token=sk-1234567890abcdef1234567890abcdef", Where: "/g5"}}

// TestStrays: what runs beside the recorded instance is told and left alone for
// as long as that one serves, and ended when it is replaced, before the next
// starts (I1; the runtime checks that).
func TestStrays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		first.Leave()
		first.rt.strays = twoStrays
		r := first.again().run()
		r.wants(Ready, 1)
		r.wantsJournal("stray 1", "adopted 1")
		if e := r.journal.events[0]; !strings.Contains(e.Message, "pid 12: node a") || !strings.Contains(e.Message, "generation 1") ||
			strings.Contains(e.Message, "sk-1234567890abcdef") || len(e.Fields["processes"].([]any)) != 2 {
			t.Errorf("event %+v", e)
		}
		if st := r.Status(); len(st.Strays) != 2 || st.Strays[0].PID != 12 {
			t.Errorf("status %+v", st)
		}
		r.ask(r.Restart)
		r.wants(Ready, 1, 2)
		if st := r.Status(); len(st.Strays) != 0 {
			t.Errorf("status %+v", st)
		}
		var ended *event.Event
		for _, e := range r.journal.events {
			if e.Kind == event.Killed {
				ended = &e
			}
		}
		if ended == nil || ended.Cause != "stray" || ended.Generation != 2 {
			t.Errorf("their end: %+v", ended)
		}
	})
}

// TestStraysOfNobody: without a recorded instance they are ended before one is
// started, and left alone while none is wanted.
func TestStraysOfNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, onDemand)
		r.rt.strays = twoStrays
		r.run()
		r.wants(Stopped)
		r.wantsJournal("stray 0")
		if st := r.Status(); len(st.Strays) != 2 {
			t.Errorf("status %+v", st)
		}
		r.lateLease(1)
		r.wantsJournal("stray 0", "starting 1", "killed 1 stray", "ready 1")
	})
}

// TestStraysGoneByThemselves: the status shows what runs now.
func TestStraysGoneByThemselves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		first.Leave()
		first.rt.strays = twoStrays
		r := first.again().run()
		r.wants(Ready, 1)
		r.rt.mu.Lock()
		r.rt.strays = nil
		r.rt.mu.Unlock()
		if st := r.Status(); len(st.Strays) != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// TestStraysAfterALookThatFailed: they are not taken for gone.
func TestStraysAfterALookThatFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		first.Leave()
		first.rt.strays = twoStrays
		r := first.again().run()
		fails := func(err error) {
			r.rt.mu.Lock()
			defer r.rt.mu.Unlock()
			r.rt.strayErr = err
		}
		fails(errors.New("too many open files"))
		if st := r.Status(); len(st.Strays) != 0 {
			t.Errorf("status %+v", st)
		}
		fails(nil)
		if st := r.Status(); len(st.Strays) != 2 {
			t.Errorf("status %+v", st)
		}
	})
}

// TestFoundFrozen: an instance that is found frozen is thawed, and taken over.
func TestFoundFrozen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		i := first.rt.now()
		first.Leave()
		if err := i.Freeze(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := first.again().run()
		r.wants(Ready, 1)
		if frozen, err := i.Frozen(); err != nil || frozen {
			t.Errorf("frozen: %v, %v", frozen, err)
		}
		r.wantsJournal("thawed 1", "adopted 1")
	})
}
