package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/event"
	"creel/internal/liveness"
	"creel/internal/runtime"
)

var testHang = Hang{
	Listen: true, Restart: true, Interval: 5 * time.Second,
	Policy: liveness.Policy{Suspect: 30 * time.Second, Restart: time.Minute, Busy: 10 * time.Minute},
}

func listens(o *Options) { o.Hang = testHang }

// hang makes the present instance stop answering.
func (r *rig) hang() *fakeInstance {
	i := r.rt.now()
	i.alive.set(false)
	i.ready.set(false)
	i.ignoreTerm.Store(true)
	return i
}

// TestHang: an instance that neither answers nor does anything is suspected, what
// it does is written down, and it is replaced. Requests that come meanwhile wait
// for the next one.
func TestHang(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rec := &recorder{}
		r := newRig(t, listens, func(o *Options) { o.Recorder = rec; o.Tail = func() []string { return []string{"bye"} } }).run()
		pass(time.Hour)
		r.hang()
		pass(29 * time.Second)
		r.wants(Ready, 1)
		pass(10 * time.Second)
		r.wants(Suspect, 1)
		if reason := r.Status().Reason; !strings.Contains(reason, "has not answered for") {
			t.Errorf("reason %q", reason)
		}
		got := make(chan uint64, 1)
		go func() {
			l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Hour)})
			if err != nil {
				t.Error(err)
				return
			}
			got <- l.Generation()
			l.Release()
		}()
		pass(30 * time.Second)
		r.wants(Ready, 1, 2)
		if g := <-got; g != 2 {
			t.Errorf("the request that waited got generation %d", g)
		}
		r.wantsJournal("starting 1", "ready 1", "suspect 1", "evidence 1 hang", "killed 1 hang", "killed 1", "exited 1", "starting 2", "ready 2")
		e := r.journal.events[3]
		if e.Fields["threads"] != "all asleep" || e.Fields["probe"] == nil || e.Fields["log"] == nil || e.Fields["silent_seconds"].(float64) < 60 {
			t.Errorf("evidence %+v", e.Fields)
		}
		if end := r.Status().LastEnd; end.Cause != CauseHang || end.Hint == "" {
			t.Errorf("last end %+v", end)
		}
		if len(rec.suspicions) != 1 || rec.suspicions[0] != "silent" || rec.restarts[0] != "hang" || len(rec.cleared) != 0 {
			t.Errorf("measured %+v", rec)
		}
	})
}

// TestHangUnderRequests: with requests under way nothing else is needed to see
// it. Requests that wait are crash victims, as after any end.
func TestHangUnderRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		r.hang()
		l := r.lease()
		defer l.Release()
		pass(2 * time.Minute)
		r.wants(Ready, 1, 2)
		select {
		case <-l.Ended():
			if !l.Crashed() {
				t.Error("it counts as asked to end")
			}
		default:
			t.Error("the lease's instance has not ended")
		}
		if m := r.Status().LastEnd.Message; !strings.Contains(m, "(1 now)") {
			t.Errorf("message %q", m)
		}
	})
}

// TestNoHang: what must not be taken for a hang, in whatever time.
func TestNoHang(t *testing.T) {
	tests := []struct {
		name string
		live func(r *rig, i *fakeInstance) // one second of its life; called for nine minutes
	}{
		{"at full load", func(r *rig, i *fakeInstance) {
			i.busy.Store(true)
			i.alive.set(false)
		}},
		{"full load for a minute, then idle and answering", func(r *rig, i *fakeInstance) {
			up := time.Since(i.record.StartedAt)
			i.busy.Store(up < time.Minute)
			i.alive.set(up >= time.Minute)
		}},
		{"idle, and answers now and then", func(r *rig, i *fakeInstance) {
			i.alive.set(int(time.Since(i.record.StartedAt).Seconds())%25 == 0)
		}},
		{"a request that takes ten minutes", func(r *rig, i *fakeInstance) {
			if i.record.StartedAt.Equal(time.Now().Add(-time.Second)) {
				l := r.lease()
				r.Cleanup(l.Release)
			}
		}},
		{"a stream that moves", func(r *rig, i *fakeInstance) {
			i.alive.set(false)
			if int(time.Since(i.record.StartedAt).Seconds())%20 == 1 {
				l := Lease{inst: r.face}
				l.Moved()
			}
		}},
		{"nobody knows what its processes do", func(r *rig, i *fakeInstance) {
			up := time.Since(i.record.StartedAt)
			i.alive.set(false)
			i.hidden.Store(up > 20*time.Second) // it was idle as long as it could be seen
		}},
		{"held by somebody else", func(r *rig, i *fakeInstance) {
			i.held.Store(true)
			i.alive.set(false)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, listens).run()
				i := r.rt.now()
				for range 9 * 60 {
					pass(time.Second)
					tt.live(r, i)
				}
				r.wants(Ready, 1)
				r.wantsJournal("starting 1", "ready 1")
			})
		})
	}
}

// TestEndlessLoop: one that works and answers nothing is ended too, in the end.
func TestEndlessLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		l := r.lease()
		defer l.Release()
		r.hang().busy.Store(true)
		pass(testHang.Policy.Busy - time.Second)
		r.wants(Ready, 1)
		pass(20 * time.Second)
		r.wants(Ready, 1, 2)
	})
}

// TestBegunIsNotWaiting: a request whose answer has begun waits for nothing, however
// long no more of it comes: it is no second sign against one that works.
func TestBegunIsNotWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		l := r.lease()
		defer l.Release()
		l.Begun()
		r.hang().busy.Store(true)
		pass(3 * testHang.Policy.Busy)
		r.wants(Ready, 1)
		r.wantsJournal("starting 1", "ready 1")
	})
}

// TestEvidenceIsBounded: requests do not wait for evidence that cannot be had.
func TestEvidenceIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		i := r.hang()
		pass(45 * time.Second)
		r.wants(Suspect, 1)
		i.opaque.Store(true)
		l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		if g := l.Generation(); g != 2 {
			t.Errorf("the request that waited got generation %d", g)
		}
		if up, limit := time.Since(i.record.StartedAt), testHang.Policy.Restart+testHang.Interval+examineTimeout+testPolicy.SilentGrace; up > limit {
			t.Errorf("replaced after %v, which has %v", up, limit)
		}
	})
}

// TestCleared: a sign of life ends the suspicion; a probe that is answered, or a
// byte of an answer.
func TestCleared(t *testing.T) {
	for name, sign := range map[string]func(r *rig, l *Lease){
		"probe":  func(r *rig, _ *Lease) { r.rt.now().alive.set(true) },
		"answer": func(_ *rig, l *Lease) { l.Begun() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				rec := &recorder{}
				r := newRig(t, listens, func(o *Options) { o.Recorder = rec }).run()
				l := r.lease()
				defer l.Release()
				r.hang()
				pass(45 * time.Second)
				r.wants(Suspect, 1)
				sign(r, l)
				pass(10 * time.Second)
				r.wants(Ready, 1)
				r.wantsJournal("starting 1", "ready 1", "suspect 1", "cleared 1")
				if len(rec.cleared) != 1 || rec.cleared[0] != "silent" {
					t.Errorf("measured %+v", rec)
				}
				if name == "answer" { // it falls silent again, and has its full time
					pass(25 * time.Second)
					r.wants(Ready, 1)
					pass(20 * time.Second)
					r.wants(Suspect, 1)
				}
			})
		})
	}
}

// TestSuspectWorksAgain: a suspect that begins to work is let have requests again,
// but its silence goes on: if those are not answered either, it is ended.
func TestSuspectWorksAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		i := r.hang()
		pass(45 * time.Second)
		r.wants(Suspect, 1)
		i.busy.Store(true)
		pass(3 * time.Second)
		r.wants(Ready, 1)
		l := r.lease()
		defer l.Release()
		r.wantsJournal("starting 1", "ready 1", "suspect 1", "cleared 1")
		if m := r.journal.events[3].Message; !strings.Contains(m, "works again") {
			t.Errorf("message %q", m)
		}
		pass(testHang.Policy.Busy - time.Minute)
		r.wants(Ready, 1)
		pass(time.Minute)
		r.wants(Ready, 1, 2)
	})
}

// TestFrozenIsNoHang: while creel holds it still, for however long, no time
// passes for the instance. Afterwards it has its full time.
func TestFrozenIsNoHang(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		i := r.rt.now()
		_, err := r.Still(t.Context(), func(context.Context) error {
			i.alive.set(false)
			pass(time.Hour)
			r.wants(Ready, 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(20 * time.Second)
		r.wants(Ready, 1)
		i.alive.set(true)
		pass(time.Hour)
		r.wants(Ready, 1)
		r.wantsJournal("starting 1", "ready 1")
	})
}

// TestStandstill: time in which creel itself did not run is no time, and a
// question whose time was over by that is not taken for unanswered.
func TestStandstill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens)
		r.inst = newFakeInstance(r.rt, 1)
		r.face = newInstance(1, "127.0.0.1:1", nil)
		m := r.newMonitor()
		m.hang = testHang
		m.record.Answered()
		m.record.Unanswered()
		m.tick(time.Second)
		m.tick(24 * time.Hour)
		m.tick(time.Second)
		if got := m.record.Silence(); got != 3*time.Second {
			t.Errorf("silent for %v", got)
		}
		for _, stills := range []uint64{1, 1, 2} { // frozen by creel, for longer than a beat, and thawed
			m.stills = func() uint64 { return stills }
			m.tick(time.Second)
		}
		m.stills = func() uint64 { return 4 } // for less than a beat
		m.tick(time.Second)
		if got := m.record.Silence(); got != 3*time.Second {
			t.Errorf("silent for %v, frozen all the while", got)
		}
		m.tick(time.Second)
		if got := m.record.Silence(); got != 4*time.Second {
			t.Errorf("silent for %v", got)
		}
		m.record.Answered()
		began := time.Now()
		pass(testHang.timeout())
		m.answered(t.Context(), answer{err: context.DeadlineExceeded, asked: m.record.Now(), began: began})
		if s := m.record.Signals(); s.Silent != 0 || m.last != nil {
			t.Errorf("signals %+v, last %v", s, m.last)
		}
		m.answered(t.Context(), answer{err: errors.Join(ErrNotAsked), asked: m.record.Now(), began: time.Now()})
		if m.last != nil {
			t.Errorf("not asked, and yet: %v", m.last)
		}
		m.answered(t.Context(), answer{err: errors.New("refused"), asked: m.record.Now(), began: time.Now()})
		if m.last == nil {
			t.Error("a quick refusal is left out")
		}
	})
}

// TestReportOnly: as configured, silence is told and nothing is done about it.
func TestReportOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens, func(o *Options) { o.Hang.Restart = false }).run()
		i := r.hang()
		pass(time.Hour)
		r.wants(Ready, 1)
		i.alive.set(true)
		pass(time.Minute)
		i.alive.set(false)
		pass(time.Minute)
		r.wants(Ready, 1)
		r.wantsJournal("starting 1", "ready 1", "suspect 1", "cleared 1", "suspect 1")
	})
}

// TestListenOff: nobody asks, and nothing is looked at.
func TestListenOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.hang()
		pass(time.Hour)
		r.wants(Ready, 1)
		if i.alive.waiting.Load() != 0 || i.looks.Load() != 0 {
			t.Error("it is asked")
		}
	})
}

// TestHangConfigured: other settings count for the present instance.
func TestHangConfigured(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		r.hang()
		pass(time.Hour)
		r.configure(func(s *Settings) { s.Hang = testHang })
		pass(45 * time.Second)
		r.wants(Suspect, 1)
		r.configure(func(s *Settings) {
			s.Hang = testHang
			s.Hang.Policy.Restart = time.Hour
		})
		pass(30 * time.Minute)
		r.wants(Suspect, 1)
		r.configure(func(s *Settings) { s.Hang = Hang{} })
		r.wants(Ready, 1)
		r.configure(func(s *Settings) { s.Hang = testHang })
		pass(2 * time.Minute)
		r.wants(Ready, 1, 2)
	})
}

// TestReprobeWhileSilent: a silent suspect is judged by what it does, whatever the
// conditions of being ready are changed to meanwhile.
func TestReprobeWhileSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		r.hang()
		pass(45 * time.Second)
		r.wants(Suspect, 1)
		r.configure(func(s *Settings) {
			s.Hang, s.Reprobe, s.AliveTimeout = testHang, true, time.Second
		})
		pass(5 * time.Second)
		r.wants(Suspect, 1)
		pass(20 * time.Second)
		r.wants(Ready, 1, 2)
		if end := r.Status().LastEnd; end.Cause != CauseHang {
			t.Errorf("last end %+v", end)
		}
	})
}

// TestLeaveWhileSuspected: the end of creel does not wait, and the next one makes
// up its own mind.
func TestLeaveWhileSuspected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens).run()
		i := r.hang()
		pass(45 * time.Second)
		r.wants(Suspect, 1)
		begun := time.Now()
		r.Leave()
		if d := time.Since(begun); d > 0 {
			t.Errorf("leaving took %v", d)
		}
		i.alive.set(true)
		i.ready.set(true)
		next := r.again().run()
		next.wants(Ready, 1)
		pass(time.Hour)
		next.wants(Ready, 1)
	})
}

// weakPulse is a prober that the kernel answers in place of the instance.
type weakPulse struct{ fakeProber }

func (weakPulse) Pulse(context.Context, runtime.Instance) (Pulse, error) {
	return Pulse{Weak: true}, nil
}

// TestWeakAnswer: that a connection can be made is a sign of life only if the
// instance accepts it.
func TestWeakAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens, func(o *Options) { o.Prober = weakPulse{} }).run()
		pass(time.Hour)
		r.wants(Ready, 1)
		i := r.rt.now()
		i.backlog.Store(3)
		i.ignoreTerm.Store(true)
		pass(2 * time.Minute)
		r.wants(Ready, 1, 2)
		for _, e := range r.journal.events {
			if e.Kind == event.Evidence && !strings.Contains(e.Fields["probe"].(string), "3 connections") {
				t.Errorf("evidence %+v", e.Fields)
			}
		}
	})
}

// stuckPulse is a prober whose app says that it is stuck before it falls silent.
type stuckPulse struct{ fakeProber }

func (p stuckPulse) Pulse(ctx context.Context, inst runtime.Instance) (Pulse, error) {
	return Pulse{Stuck: "that its event loop is degraded"}, p.Alive(ctx, inst)
}

// TestOwnWord: the app's own word is a second sign.
func TestOwnWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, listens, func(o *Options) { o.Prober = stuckPulse{} }).run()
		pass(time.Minute)
		r.hang().busy.Store(true)
		pass(testHang.Policy.Busy + 10*time.Second)
		r.wants(Ready, 1, 2)
		if m := r.Status().LastEnd.Message; !strings.Contains(m, "event loop is degraded") {
			t.Errorf("message %q", m)
		}
		for _, e := range r.journal.events {
			if e.Kind == event.Evidence && e.Fields["says"] != "that its event loop is degraded" {
				t.Errorf("evidence %+v", e.Fields)
			}
		}
		synctest.Wait()
	})
}
