package gateway

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/runtime"
)

// crashes lets every instance die as soon as it is ready.
func crashes(r *rig) {
	r.rt.made = func(i *fakeInstance) { i.crash() }
}

// TestCrashLoop: pauses grow between their bounds, then the gateway is given up,
// refuses with the time of the next try, and is tried once more at that time.
func TestCrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		crashes(r)
		r.run()
		r.wants(Backoff, 1, 2)
		if st := r.Status(); st.PID != 0 || st.NextStart.Before(time.Now()) {
			t.Errorf("status in the pause: %+v", st)
		}
		pass(time.Minute)
		r.wants(Failed, 1, 2, 3, 4, 5)
		r.rt.mu.Lock()
		at := slices.Clone(r.rt.times)
		r.rt.mu.Unlock()
		for n, longest := range []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second} {
			if d := at[n+1].Sub(at[n]); d > longest || d < longest*3/4 {
				t.Errorf("pause %d: %v, want between %v and %v", n+1, d, longest*3/4, longest)
			}
		}
		failed := r.Status()
		u := r.refusal(time.Minute)
		if u.Code != CodeCrashLoop || u.Wait(time.Now()) != time.Until(failed.NextStart) || u.Wait(time.Now()) < time.Minute {
			t.Errorf("refusal %+v, wait %v", u, u.Wait(time.Now()))
		}
		pass(testPolicy.RetryFailed)
		r.wants(Failed, 1, 2, 3, 4, 5, 6)
		r.rt.change(func(h *hooks) { h.made = nil })
		pass(testPolicy.RetryFailed)
		r.wants(Ready, 1, 2, 3, 4, 5, 6, 7)
		want := []string{"starting 1"}
		for g := 1; g <= 6; g++ {
			want = append(want, fmt.Sprintf("exited %d signal", g))
			switch {
			case g >= 5:
				want = append(want, fmt.Sprintf("failed %d", g))
			case g >= 2:
				want = append(want, fmt.Sprintf("backoff %d", g))
			}
			want = append(want, fmt.Sprintf("starting %d", g+1))
		}
		r.wantsJournal(append(want, "ready 7")...)
	})
}

// TestForgiven: what was held against a gateway is forgotten once it was ready
// for long enough, or has answered a request.
func TestForgiven(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).run()
		r.rt.now().crash()
		synctest.Wait()
		r.rt.now().crash()
		pass(time.Second)
		r.wants(Ready, 1, 2, 3)
		if n := r.Status().Fruitless; n != 2 {
			t.Errorf("fruitless %d, want 2", n)
		}
		pass(testPolicy.Stable)
		if n := r.Status().Fruitless; n != 0 {
			t.Errorf("fruitless %d after it was stable", n)
		}
		for range 3 * testPolicy.Fruitless {
			l := r.lease()
			l.Served()
			l.Release()
			r.rt.now().crash()
			r.wants(Ready)
		}
	})
}

// TestOutOfFailed: what brings a failed gateway back, with a clean slate.
func TestOutOfFailed(t *testing.T) {
	for name, bring := range map[string]func(*rig) error{
		"start":   func(r *rig) error { return r.Start(r.Context()) },
		"restart": func(r *rig) error { return r.Restart(r.Context()) },
		"config":  func(r *rig) error { return r.ConfigChanged(r.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.Policy.RetryFailed = 0 })
				crashes(r)
				r.run()
				pass(24 * time.Hour)
				r.wants(Failed, 1, 2, 3, 4, 5)
				r.rt.change(func(h *hooks) { h.made = nil })
				if err := bring(r); err != nil {
					t.Fatal(err)
				}
				r.wants(Ready, 1, 2, 3, 4, 5, 6)
				if n := r.Status().Fruitless; n != 0 {
					t.Errorf("fruitless %d", n)
				}
			})
		})
	}
}

// TestConfiguredJustInTime: a gateway whose configuration is mended while its
// old one is being refused is not given up.
func TestConfiguredJustInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) {
			o.Explain = func(x runtime.Exit, log []string) End {
				return End{Cause: CauseConfigRefused, Permanent: x.Code == 78}
			}
		})
		r.rt.made = func(i *fakeInstance) { i.ready.set(i.record.Generation > 1) }
		r.run()
		r.wants(Starting, 1)
		r.ask(r.ConfigChanged)
		r.rt.now().die(0, 78)
		r.wants(Ready, 1, 2)
	})
}

// TestRefusedForGood: an end that no restart can mend leads to failed at once.
func TestRefusedForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) {
			o.Explain = func(runtime.Exit, []string) End {
				return End{Cause: CauseConfigRefused, Permanent: true, Hint: "mend it"}
			}
			o.Tail = func() []string { return []string{"bad"} }
		})
		crashes(r)
		r.run()
		r.wants(Failed, 1)
		if u := r.refusal(0); u.Code != CodeConfigRefused || u.Hint != "mend it" {
			t.Errorf("refusal %+v", u)
		}
	})
}

// TestSelfRestart: an instance that ends in order to be started again is, and it
// is not held against it, unless it never gets ready. If it does so again and
// again soon after it was ready, there are pauses, but it is never given up.
func TestSelfRestart(t *testing.T) {
	benign := func(o *Options) {
		o.Explain = func(runtime.Exit, []string) End { return End{Cause: CauseExit, Benign: true} }
	}
	t.Run("now and then", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, benign).run()
			for range 2 * testPolicy.Fruitless {
				pass(testPolicy.Stable)
				r.rt.now().die(0, 0)
				r.wants(Ready)
			}
		})
	})
	t.Run("again and again", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, benign).run()
			for n := range 20 {
				l := r.lease()
				l.Served() // that it serves in between is no excuse
				l.Release()
				r.rt.now().die(0, 0)
				synctest.Wait()
				pause := min(testPolicy.Delay<<max(n-1, 0), testPolicy.MaxDelay)
				if n == 0 {
					r.wants(Ready)
					continue
				}
				r.wants(Backoff)
				if next := time.Until(r.Status().NextStart); next > pause || next < pause*3/4 {
					t.Errorf("pause %d: %v, want between %v and %v", n, next, pause*3/4, pause)
				}
				pass(pause)
				r.wants(Ready)
			}
			pass(testPolicy.Stable)
			r.rt.now().die(0, 0)
			r.wants(Ready) // forgiven
		})
	})
	t.Run("never ready", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, benign)
			r.rt.made = func(i *fakeInstance) {
				i.ready.set(false)
				i.die(0, 0)
			}
			r.run()
			pass(time.Minute)
			r.wants(Failed, 1, 2, 3, 4, 5)
		})
	})
}
