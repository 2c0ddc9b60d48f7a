package gateway

import (
	"context"
	"testing"
	"time"
)

// retired is a Retire that takes its time.
type retired struct {
	takes time.Duration
	asked []uint64
	had   time.Duration // how long it was allowed to take
	found int32         // SIGTERMs that came before it had ended
	term  func() int32
}

func (r *retired) retire(ctx context.Context, generation uint64) {
	began := time.Now()
	r.asked = append(r.asked, generation)
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
	}
	r.had, r.found = time.Since(began), r.term()
}

func retiring(t *testing.T, takes time.Duration) (*rig, *retired) {
	hook := &retired{takes: takes}
	r := newRig(t, func(o *Options) { o.Retire = hook.retire })
	hook.term = func() int32 { return r.rt.now().terms.Load() }
	r.run()
	return r, hook
}

// TestRetire: the app is told before SIGTERM, which comes when it is done.
func TestRetire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, hook := retiring(t, time.Second)
		began := time.Now()
		r.ask(r.Stop)
		if _, err := r.WaitFor(t.Context(), func(st Status) bool { return st.State == Stopped }); err != nil {
			t.Fatal(err)
		}
		if len(hook.asked) != 1 || hook.asked[0] != 1 || hook.found != 0 {
			t.Errorf("asked for %v, after %d signals", hook.asked, hook.found)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// TestRetireForEver: a stop takes no longer for it than its grace, and SIGTERM
// comes before the end of that.
func TestRetireForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, hook := retiring(t, time.Hour)
		i := r.rt.now()
		i.ignoreTerm.Store(true)
		r.ask(r.Restart)
		pass(testPolicy.Grace - time.Nanosecond)
		want := testPolicy.Grace - min(testPolicy.Grace/2, endReserve)
		if hook.had != want || i.terms.Load() != 1 {
			t.Errorf("it had %v of %v and got %d signals, want %v and one", hook.had, testPolicy.Grace, i.terms.Load(), want)
		}
		pass(time.Nanosecond)
		r.wants(Ready, 1, 2)
	})
}

// TestRetireEndsWithTheInstance: nobody waits for one that has ended.
func TestRetireEndsWithTheInstance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, hook := retiring(t, time.Hour)
		r.ask(r.Stop)
		hook.term = func() int32 { return 0 }
		r.rt.now().crash()
		r.wants(Stopped)
		if hook.had != 0 {
			t.Errorf("it was waited for %v", hook.had)
		}
	})
}

// TestNotRetired: one that was never ready, or that does not answer, is not asked.
func TestNotRetired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hook := &retired{}
		r := newRig(t, func(o *Options) { o.Retire = hook.retire })
		r.rt.made = func(i *fakeInstance) { i.ready.set(false) }
		r.run()
		r.ask(r.Stop)
		r.wants(Stopped, 1)
		if hook.asked != nil {
			t.Error("one that was never ready was asked")
		}
	})
	bubble(t, func(t *testing.T) {
		r, hook := retiring(t, 0)
		i := r.rt.now()
		i.ready.set(false)
		l := r.lease()
		l.Unreachable()
		l.Release()
		pass(aliveTime + testPolicy.SilentGrace + readyTime)
		if hook.asked != nil || i.terms.Load() == 0 {
			t.Errorf("one that does not answer was asked: %v; %d signals", hook.asked, i.terms.Load())
		}
	})
}
