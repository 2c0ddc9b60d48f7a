package gateway

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
)

// TestStopOutlivesCreel: a stop is kept, and a start clears it.
func TestStopOutlivesCreel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t)).run()
		r.ask(r.Stop)
		r.wants(Stopped)
		r = r.again().run()
		r.wants(Stopped, 1)
		if u := r.refusal(time.Minute); u.Code != CodeStopped {
			t.Errorf("code %s", u.Code)
		}
		r.ask(r.Start)
		r.wants(Ready, 1, 2)
		r = r.again().run()
		r.wants(Ready, 1, 2)
		if !r.Status().Adopted {
			t.Error("not adopted")
		}
	})
}

// TestStopCutShort: a stop that creel did not live to see through is carried out
// by the next one, in good order, and requests are turned away from the first.
func TestStopCutShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		i := first.rt.now()
		i.ignoreTerm.Store(true)
		first.ask(first.Stop)
		first.wants(Stopping)
		r := first.again()
		go r.Supervisor.Run()
		if u := r.refusal(time.Minute); u.Code != CodeStopped && u.Code != CodeStopping {
			t.Errorf("code %s", u.Code)
		}
		r.wants(Stopping, 1)
		if n := i.terms.Load(); n != 2 {
			t.Errorf("asked to end %d times, want 2", n)
		}
		pass(testPolicy.Grace)
		r.wants(Stopped, 1)
		r.wantsJournal("stopping 1", "killed 1", "exited 1 asked", "stopped 1")
	})
}

// TestStopDuringLaunchOutlivesCreel: the launch under way does not overwrite the
// stop that came after it had begun.
func TestStopDuringLaunchOutlivesCreel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t))
		looks := 0
		stop := make(chan struct{})
		r.rt.onFind = func() error {
			if looks++; looks == 2 { // in the launch, before anything is written
				<-stop
			}
			return nil
		}
		r.run()
		r.wants(Starting)
		r.ask(r.Stop)
		close(stop)
		r.wants(Stopped)
		r = r.again().run()
		r.wants(Stopped)
	})
}

// TestAskedByOneWhoLeaves: what was written down is done, though whoever asked for it does
// not wait: file and machine never say different things.
func TestAskedByOneWhoLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t)).run()
		defer crashpoint.Arm(nil)
		for range 20 {
			for _, ask := range []func(context.Context) error{r.Stop, r.Start} {
				ctx, leave := context.WithCancel(t.Context())
				crashpoint.Arm(func(p crashpoint.Point) {
					if p == crashpoint.IntentWritten {
						leave()
					}
				})
				_ = ask(ctx) // he hears nothing of it
				crashpoint.Arm(nil)
				synctest.Wait()
				leave()
				if st := r.Status(); st.StopAsked != r.intent.get().Stopped {
					t.Fatalf("the file says stopped: %v, the machine %v (%s)", r.intent.get().Stopped, st.StopAsked, st.State)
				}
			}
		}
	})
}

// TestAskedDuringTheFirstLook is the same while creel looks what runs, and heeds nobody.
func TestAskedDuringTheFirstLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t))
		looks := make(chan struct{})
		var once sync.Once
		r.rt.onFind = func() error { once.Do(func() { <-looks }); return nil }
		r.run()
		asks := func(ask func(context.Context) error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := ask(ctx); err == nil {
				t.Error("it was heeded")
			}
		}
		asks(r.Stop)
		close(looks)
		r.wants(Stopped)
		if st := r.Status(); !st.StopAsked {
			t.Errorf("status %+v", st)
		}
		r = r.again()
		looks, once = make(chan struct{}), sync.Once{}
		r.run()
		asks(r.Start)
		close(looks)
		r.wants(Ready)
	})
}

// TestNumbersNeverRepeat: not after a creel that died at any point, even if a
// launch came to nothing.
func TestNumbersNeverRepeat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t)).run()
		r.wants(Ready, 1)
		r = r.again().run()
		r.ask(r.Restart)
		r.wants(Ready, 1, 2)
		r.rt.change(func(h *hooks) {
			h.onStart = func(context.Context, runtime.Spec, *fakeInstance) error { return &runtime.CommandError{Command: "x"} }
		})
		r.ask(r.Restart) // 3 is given away in vain
		r.wants(Failed, 1, 2)
		r = r.again()
		r.rt.change(func(h *hooks) { h.onStart = nil })
		r.run()
		r.wants(Ready, 1, 2, 4)
		r.Leave()
		// The file is lost; the record of the running instance still tells.
		if err := os.Remove(r.opts.IntentPath); err != nil {
			t.Fatal(err)
		}
		r = r.again().run()
		r.ask(r.Restart)
		r.wants(Ready, 1, 2, 4, 5)
	})
}

// TestIntentRefused: a file that cannot be understood is put aside, said so, and
// counts as none.
func TestIntentRefused(t *testing.T) {
	for name, content := range map[string]string{
		"corrupt": `{"version":1,"gen`,
		"newer":   `{"version":2,"generation":7,"stopped":true}`,
		"empty":   ``,
		"other":   `{"generation":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "intent.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			bubble(t, func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.IntentPath = path }).run()
				r.wants(Ready, 1)
				r.wantsJournal("record_refused 0", "starting 1", "ready 1")
			})
			kept, err := filepath.Glob(path + ".*.refused")
			if err != nil || len(kept) != 1 {
				t.Fatalf("put aside: %v, %v", kept, err)
			}
			if b, err := os.ReadFile(kept[0]); err != nil || string(b) != content {
				t.Errorf("what was put aside: %q, %v", b, err)
			}
			if f, err := openIntent(path); err != nil || f.get() != (intent{Version: 1, Generation: 1}) {
				t.Errorf("the new intent: %+v, %v", f.get(), err)
			}
		})
	}
}

// TestIntentInUnwritableFolder: without a written number nothing is started.
func TestIntentInUnwritableFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "intent.json")
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.IntentPath = path }).run()
		pass(time.Minute)
		r.wants(Failed)
		if len(r.rt.starts()) != 0 {
			t.Error("started")
		}
		if u := r.refusal(0); u.Code != CodeFailed || u.End.Cause != CauseLaunch {
			t.Errorf("refusal %+v", u)
		}
	})
}

// TestUnfinishedIntent: what a writer has left that was killed is cleared away,
// and nothing else.
func TestUnfinishedIntent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "intent.json")
	for _, name := range []string{"intent.json", ".intent.json123", "intent.json.old", ".other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"version":1,"generation":7}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := openIntent(path); err != nil || f.get().Generation != 7 {
		t.Errorf("got %+v, %v", f.get(), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 3 {
		t.Errorf("left are %v (%v)", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".intent.json123")); err == nil {
		t.Error("an unfinished file is left")
	}
}
