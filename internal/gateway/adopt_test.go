package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"

	"creel/internal/runtime"
)

// TestAdopt: the next creel takes the running instance over (I6).
func TestAdopt(t *testing.T) {
	for name, mode := range map[string]func(*Options){"always": func(*Options) {}, "on demand": onDemand} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				first := newRig(t, keepsIntent(t)).run()
				first.wants(Ready, 1)
				i := first.rt.now()
				started := i.record.StartedAt
				pass(time.Hour)
				r := first.again(mode).run()
				r.wants(Ready, 1)
				if i.terms.Load()+i.kills.Load() != 0 {
					t.Error("the instance was not left in peace")
				}
				if st := r.Status(); !st.Adopted || !st.StartedAt.Equal(started) || st.Generation != 1 {
					t.Errorf("status %+v", st)
				}
				r.wantsJournal("adopted 1")

				i.crash()
				r.wants(Ready, 1, 2)
				if r.Status().Adopted {
					t.Error("its successor counts as adopted")
				}
			})
		})
	}
}

// TestAdoptDead: what ended while no creel watched is cleared away, and started
// again as configured.
func TestAdoptDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		i := first.rt.now()
		first.Leave()
		i.crash()
		r := first.again(func(o *Options) { o.Tail = func() []string { return []string{"bye"} } }).run()
		r.wants(Ready, 1, 2)
		if i.kills.Load() != 1 {
			t.Error("what the dead one left was not cleared away")
		}
		if end := r.Status().LastEnd; end.Cause != CauseCreelAway || end.Generation != 1 || len(end.Log) != 1 {
			t.Errorf("last end %+v", end)
		}
		r.wantsJournal("exited 1 creel_away", "starting 2", "ready 2")
	})
}

// TestAdoptDeadOnDemand: nobody wants it, so it is cleared away and rests.
func TestAdoptDeadOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		first.Leave()
		first.rt.now().crash()
		r := first.again(onDemand).run()
		r.wants(Stopped, 1)
		if r.rt.now() != nil {
			t.Error("it was not cleared away")
		}
		r.lateLease(2)
	})
}

// lateLease gets a lease that may take a start.
func (r *rig) lateLease(generation uint64) {
	r.Helper()
	l, err := r.Acquire(r.Context(), Ask{Until: time.Now().Add(time.Minute)})
	if err != nil {
		r.Fatal(err)
	}
	defer l.Release()
	if l.Generation() != generation {
		r.Errorf("lease on generation %d, want %d", l.Generation(), generation)
	}
}

// TestAdoptWedged: one that does not answer gets the time of a suspect if it had
// its time to start, and the rest of that time if not; not more, though the
// clock was set back.
func TestAdoptWedged(t *testing.T) {
	for _, c := range []struct {
		name  string
		age   time.Duration
		limit time.Duration
	}{
		{"long ago", time.Hour, aliveTime},
		{"just now", 10 * time.Second, readyTime - 10*time.Second},
		{"in the future", -time.Hour, readyTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				first := newRig(t).run()
				i := first.rt.now()
				first.Leave()
				i.ready.set(false)
				i.record.StartedAt = time.Now().Add(-c.age)
				r := first.again().run()
				pass(c.limit - time.Second)
				r.wants(Starting, 1)
				pass(time.Second)
				r.wants(Ready, 1, 2)
				r.wantsJournal("start_failed 1 not_ready", "exited 1", "starting 2", "ready 2")
			})
		})
	}
}

// TestRecordRefused: a record that cannot be trusted is put aside, and nothing is
// killed on its word.
func TestRecordRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.rt.onFind = func() error { return &runtime.RecordError{Path: "record.json", Reason: "it is from another machine"} }
		r.run()
		r.wants(Ready, 1)
		if !r.rt.aside {
			t.Error("the record was not put aside")
		}
		r.wantsJournal("record_refused 0", "starting 1", "ready 1")
		if m := r.journal.events[0].Message; !strings.Contains(m, "another machine") || !strings.Contains(m, "record.json.aside") {
			t.Errorf("message %q", m)
		}
	})
}

// TestRecordStays: while a record that cannot be trusted stays in the way,
// nothing is started.
func TestRecordStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.rt.onFind = func() error { return &runtime.RecordError{Path: "record.json", Reason: "it is corrupt"} }
		r.rt.asideErr = errors.New("read-only file system")
		r.run()
		pass(time.Minute)
		r.wants(Failed)
		if len(r.rt.starts()) != 0 {
			t.Error("started")
		}
		if m := r.Status().LastEnd.Message; !strings.Contains(m, "corrupt") || !strings.Contains(m, "read-only") {
			t.Errorf("message %q", m)
		}
	})
}

// TestDeadAtTheSecondLook: what is found dead before a launch is cleared away,
// and the launch goes on.
func TestDeadAtTheSecondLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		i := first.rt.now()
		first.Leave()
		i.crash()
		looks := 0
		first.rt.onFind = func() error {
			if looks++; looks == 1 {
				return errors.New("too many open files")
			}
			return nil
		}
		r := first.again().run()
		r.wants(Ready)
		if i.kills.Load() != 1 {
			t.Error("it was not cleared away")
		}
		if st := r.Status(); st.Adopted || st.Restarts != 0 {
			t.Errorf("status %+v", st)
		}
		r.wantsJournal("starting 2", "ready 2")
	})
}

// TestCannotLook: while it cannot be told whether an instance runs, none is
// started and no record is put aside; the instance is taken over once it can.
func TestCannotLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t).run()
		first.Leave()
		looks := 0
		first.rt.onFind = func() error {
			if looks++; looks < 4 {
				return errors.New("too many open files")
			}
			return nil
		}
		r := first.again().run()
		r.wants(Backoff, 1)
		pass(time.Minute)
		r.wants(Ready, 1)
		if st := r.Status(); st.Generation != 1 || !st.Adopted || r.rt.aside {
			t.Errorf("status %+v, record put aside: %v", st, r.rt.aside)
		}
	})
}
