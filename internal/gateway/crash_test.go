package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/runtime"
)

// TestCrash: the instance ends by itself, and the next one is there at once.
func TestCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		l := r.lease()
		defer l.Release()
		begun := time.Now()
		r.rt.now().crash()
		<-l.Ended()
		if !l.Crashed() {
			t.Error("a crash does not count as one")
		}
		r.wants(Ready, 1, 2)
		if d := time.Since(begun); d != 0 {
			t.Errorf("the first crash costs a pause of %v", d)
		}
		st := r.Status()
		if st.Restarts != 1 || st.LastEnd.Cause != CauseSignal || st.LastEnd.Generation != 1 {
			t.Errorf("status %+v", st)
		}
		r.wantsJournal("starting 1", "ready 1", "exited 1 signal", "starting 2", "ready 2")
	})
}

// TestCrashUnderLoad: 500 requests meet one crash and all of them report it; one
// new instance is started, and each request gets a lease on it.
func TestCrashUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		var leased, done sync.WaitGroup
		die := make(chan struct{})
		for n := range 500 {
			leased.Add(1)
			done.Go(func() {
				l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
				leased.Done()
				if err != nil {
					t.Error(err)
					return
				}
				<-die
				if n%2 == 0 {
					<-l.Ended()
				}
				l.Unreachable()
				l.Release()
				l, err = r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute), Crashes: 1})
				if err != nil || l.Generation() != 2 {
					t.Errorf("after the crash: generation %d, %v", l.Generation(), err)
				}
				l.Release()
			})
		}
		leased.Wait()
		r.rt.now().crash()
		close(die)
		done.Wait()
		r.wants(Ready, 1, 2)
		r.wantsJournal("starting 1", "ready 1", "exited 1 signal", "starting 2", "ready 2")
	})
}

// TestNoLeaseOnADead: as soon as the process has ended nobody is sent to it,
// though it is not known yet how it ended.
func TestNoLeaseOnADead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, slowExplain).run()
		r.rt.now().crash()
		synctest.Wait()
		r.wants(Ready, 1)
		if u := r.refusal(0); u.Code != CodeHoldTimeout {
			t.Errorf("code %s", u.Code)
		}
		r.lateLease(2)
	})
}

// TestLateReport: reports on generation 1 do not harm generation 2 (I3), and no
// report harms an instance that answers.
func TestLateReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		var late []*Lease
		for range 20 {
			late = append(late, r.lease())
		}
		r.rt.now().crash()
		r.wants(Ready, 1, 2)
		for _, l := range late {
			l.Unreachable()
			l.Release()
		}
		r.post(message{Event: Event{Kind: Reported, Generation: 1}})
		r.post(message{Event: Event{Kind: Exited, Generation: 1, End: End{Permanent: true}}})
		r.post(message{Event: Event{Kind: Gone, Generation: 1}})
		r.post(message{Event: Event{Kind: TimeUp, Epoch: 1}})
		r.wants(Ready, 1, 2)
		r.wantsJournal("starting 1", "ready 1", "exited 1 signal", "starting 2", "ready 2")
	})
}

// TestFalseAlarm: one of many reports begins a check; requests wait for it, and
// go on to the same instance.
func TestFalseAlarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		r.rt.now().ready.set(false)
		for range 3 {
			l := r.lease()
			defer l.Release()
			defer l.Unreachable()
		}
		l := r.lease()
		l.Unreachable()
		if l2, err := r.Acquire(t.Context(), Ask{Until: time.Now()}); err == nil {
			l2.Release()
			t.Error("a lease was granted right after a refused connection")
		}
		r.wants(Suspect)
		got := make(chan uint64)
		go func() {
			l, err := r.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
			if err != nil {
				t.Error(err)
			}
			defer l.Release()
			got <- l.Generation()
		}()
		pass(time.Second)
		r.rt.now().ready.set(true)
		pass(aliveTime) // the fake probe looks at its gate once
		if g := <-got; g != 1 {
			t.Errorf("lease on generation %d", g)
		}
		r.wants(Ready, 1)
		l.Release()
		r.wantsJournal("starting 1", "ready 1", "suspect 1", "cleared 1")
	})
}

// TestSilentInstance: one that refuses connections and does not answer is asked
// to end, and killed after the short grace.
func TestSilentInstance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.ready.set(false)
		i.alive.set(false)
		i.ignoreTerm.Store(true)
		l := r.lease()
		defer l.Release()
		l.Unreachable()
		pass(2*aliveTime - time.Second)
		r.wants(Suspect)
		pass(time.Second)
		r.wants(Stopping)
		if i.terms.Load() != 1 || i.kills.Load() != 0 {
			t.Errorf("terminated %d times, killed %d times", i.terms.Load(), i.kills.Load())
		}
		pass(testPolicy.SilentGrace)
		r.wants(Ready, 1, 2)
		<-l.Ended()
		if !l.Crashed() {
			t.Error("requests that a silent instance had do not count as crashed")
		}
		r.wantsJournal("starting 1", "ready 1", "suspect 1", "killed 1 unresponsive", "killed 1", "exited 1", "starting 2", "ready 2")
	})
}

// TestSilentOneThatServes: one that is of use before it falls silent is not given up,
// however often it does.
func TestSilentOneThatServes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		for range 3 * testPolicy.Fruitless {
			i := r.rt.now()
			l := r.lease()
			l.Served()
			i.ready.set(false)
			i.alive.set(false)
			l.Unreachable()
			l.Release()
			pass(2 * aliveTime)
			r.wants(Ready)
			if n := r.Status().Fruitless; n != 0 {
				t.Fatalf("fruitless %d", n)
			}
		}
	})
}

// TestRestartsWithinItsProcess: a suspect that lives gets the time of a start.
func TestRestartsWithinItsProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		i := r.rt.now()
		i.ready.set(false)
		l := r.lease()
		defer l.Release()
		l.Unreachable()
		pass(aliveTime + readyTime - time.Second)
		r.wants(Suspect)
		pass(time.Second)
		r.wants(Ready, 1, 2)
		if c := r.Status().LastEnd.Cause; c != CauseUnresponsive {
			t.Errorf("cause %s", c)
		}
	})
}

// TestRecorder: measurements are taken of what happens.
func TestRecorder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rec := &recorder{}
		r := newRig(t, func(o *Options) { o.Recorder = rec })
		r.rt.onStart = func(context.Context, runtime.Spec, *fakeInstance) error {
			<-time.After(time.Second)
			return nil
		}
		r.run()
		pass(time.Second)
		r.rt.now().crash()
		pass(time.Second)
		r.wants(Ready, 1, 2)
		if rec.state != "ready" || rec.generation != 2 || fmt.Sprint(rec.restarts) != "[signal]" || fmt.Sprint(rec.starts) != "[1s 1s]" {
			t.Errorf("%+v", rec)
		}
		if d := r.Status().UsualStart; d != time.Second {
			t.Errorf("usual start %v", d)
		}
	})
}

type recorder struct {
	state      string
	generation uint64
	restarts   []string
	suspicions []string
	cleared    []string
	starts     []time.Duration
}

func (r *recorder) State(s string)               { r.state = s }
func (r *recorder) Generation(n uint64)          { r.generation = n }
func (r *recorder) Restart(cause string)         { r.restarts = append(r.restarts, cause) }
func (r *recorder) Suspicion(reason string)      { r.suspicions = append(r.suspicions, reason) }
func (r *recorder) Cleared(reason string)        { r.cleared = append(r.cleared, reason) }
func (r *recorder) StartSeconds(d time.Duration) { r.starts = append(r.starts, d) }

// TestExplain: how an exit reads.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		exit runtime.Exit
		want Cause
	}{
		{runtime.Exit{Known: true, Code: 3}, CauseExit},
		{runtime.Exit{Known: true, Signal: 9}, CauseSignal},
		{runtime.Exit{Known: true, Signal: 9, OOM: true}, CauseOOM},
		{runtime.Exit{}, CauseUnknown},
	} {
		end := Explain(c.exit, []string{"last words"})
		if end.Cause != c.want || end.Message == "" || len(end.Log) != 1 {
			t.Errorf("%v: %+v, want %s", c.exit, end, c.want)
		}
	}
	oom := Explain(runtime.Exit{OOM: true, MemoryLimit: 64 << 20, PeakMemory: 63<<20 + 1<<19}, nil)
	if want := "it ended: killed by the kernel: out of memory (limit 64 MiB, peak 63.5 MiB)"; oom.Message != want {
		t.Errorf("%q, want %q", oom.Message, want)
	}
	limit := launchEnd(3, fmt.Errorf("cannot start: %w", &runtime.LimitError{What: "memory", Why: "no controller"}), false)
	if limit.Cause != CauseLimits || !limit.Permanent || !strings.Contains(limit.Hint, "gateway.limits.memory") {
		t.Errorf("a limit that cannot be enforced: %+v", limit)
	}
	err := &PlanError{Err: errors.New("inner")}
	if err.Error() != "inner" || !errors.Is(err, err.Err) {
		t.Error("PlanError hides its cause")
	}
}
