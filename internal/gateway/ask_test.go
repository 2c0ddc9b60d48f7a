package gateway

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/durable"
)

// TestAsksThatMeet: when Start and Stop are called at once, the file and the
// machine agree in the end.
func TestAsksThatMeet(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T) {
			r := newRig(t, keepsIntent(t)).run()
			var calls sync.WaitGroup
			for range 8 {
				calls.Go(func() { r.ask2(r.Start) })
				calls.Go(func() { r.ask2(r.Stop) })
				calls.Go(func() { r.ask2(r.Restart) })
			}
			calls.Wait()
			pass(time.Hour)
			if kept, asked := r.intent.get().Stopped, r.Status().StopAsked; kept != asked || asked != (r.Status().State == Stopped) {
				t.Fatalf("kept %v, asked %v, state %s", kept, asked, r.Status().State)
			}
		})
	}
}

// TestOneAskAtATime: what a call writes down is what the machine hears next.
func TestOneAskAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t) // does not run yet, so that calls stay under way
		var calls sync.WaitGroup
		calls.Go(func() { r.ask2(r.Stop) })
		synctest.Wait()
		calls.Go(func() { r.ask2(r.Start) })
		synctest.Wait()
		if !r.intent.get().Stopped {
			t.Error("the second call is written down before the machine has heard of the first")
		}
		r.run()
		calls.Wait()
		r.wants(Ready, 1)
	})
}

// ask2 is ask for use beside others.
func (r *rig) ask2(f func(context.Context) error) {
	if err := f(r.Context()); err != nil {
		r.Error(err)
	}
}

// keepsIntent gives a supervisor a file for its intent.
func keepsIntent(t *testing.T) func(*Options) {
	path := filepath.Join(t.TempDir(), "intent.json")
	return func(o *Options) { o.IntentPath = path }
}

// TestAskWithEndedContext: a call whose context is over does not hang.
func TestAskWithEndedContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t) // does not run
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, f := range []func(context.Context) error{r.Start, r.Stop, r.Restart, r.ConfigChanged} {
			if err := f(ctx); err == nil {
				t.Error("no error")
			}
		}
		if _, err := r.WaitFor(ctx, Status.Ready); err == nil {
			t.Error("no error")
		}
	})
}

// TestUnwritableIntent: a start that cannot be written down is refused, a stop
// is carried out and says that it will not last.
func TestUnwritableIntent(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.IntentPath = filepath.Join(dir, "sub", "intent.json") })
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		r.run()
		r.wants(Ready, 1)
		// A folder that is gone cannot be written to, not even by root.
		if err := os.RemoveAll(filepath.Join(dir, "sub")); err != nil {
			t.Fatal(err)
		}
		if err := r.Stop(t.Context()); err == nil {
			t.Error("a stop that will not last gives no error")
		}
		r.wants(Stopped)
		// As if that stop had been written down.
		err := os.Mkdir(filepath.Join(dir, "sub"), 0o700)
		if err == nil {
			err = r.intent.change(durable.Synced, func(i *intent) { i.Stopped = true })
		}
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, "sub"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err == nil {
			t.Error("a start that cannot be written down gives no error")
		}
		r.wants(Stopped, 1)
	})
}

// TestRestartOutlivesCreel: a restart that was asked for, and has not come to the end of
// the old instance yet, is carried out by the creel that follows (an upgrade of creel, or
// its death): whoever has asked for it was told that it would be.
func TestRestartOutlivesCreel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		lease, err := first.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		if err := first.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := first.Status(); st.State != Draining {
			t.Fatalf("it is %s", st.State)
		}
		r := first.again().run()
		pass(time.Minute)
		r.wants(Ready, 1, 2)
		again := r.again().run() // once
		pass(time.Minute)
		again.wants(Ready, 1, 2)
	})
}

// TestStopOutlivesRestart: who has asked for a restart and then for a stop, before creel
// ended, finds the gateway stopped.
func TestStopOutlivesRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		lease, err := first.Acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		for _, ask := range []func(context.Context) error{first.Restart, first.Stop} {
			if err := ask(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r := first.again().run()
		pass(time.Minute)
		r.wants(Stopped, 1)
	})
}
