package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// script is a probe that fails as it is told and notes when it was asked. It
// runs in synctest bubbles, whose clock stands still but for waiting.
type script struct {
	began time.Time
	at    []time.Duration // of each check, since began
	say   func(at time.Duration) error
}

func (s *script) Check(ctx context.Context, _ Target) error {
	if s.began.IsZero() {
		s.began = time.Now()
	}
	at := time.Since(s.began)
	s.at = append(s.at, at)
	return s.say(at)
}

func failing(v Verdict) *Failure { return &Failure{Verdict: v, Seen: v.String()} }

// every lists times from first, up to but without end.
func every(first, step, end time.Duration) []time.Duration {
	var out []time.Duration
	for at := first; at < end; at += step {
		out = append(out, at)
	}
	return out
}

const ms = time.Millisecond

func TestPace(t *testing.T) {
	late := Pace{Early: -1} // pauses that are long from the beginning
	tests := []struct {
		name string
		pace Pace
		say  func(at time.Duration) error
		want []time.Duration // the checks; the last one holds
	}{
		{"holds at once", Pace{}, func(time.Duration) error { return nil }, []time.Duration{0}},
		{"refused, then ready", late, func(at time.Duration) error {
			if at < 100*ms {
				return failing(Refused)
			}
			return nil
		}, every(0, 2*ms, 101*ms)},
		{"refused at first, in proportion", Pace{Refused: 8 * ms, Early: 16 * ms}, func(at time.Duration) error {
			if at < 26*ms {
				return failing(Refused)
			}
			return nil
		}, []time.Duration{0, 1 * ms, 2 * ms, 3 * ms, 4500 * time.Microsecond, 6750 * time.Microsecond, 10125 * time.Microsecond, 15187500, 22781250, 30781250}},
		{"says no at first, in proportion", Pace{Eager: 8 * ms, Early: 16 * ms}, func(at time.Duration) error {
			if at < 26*ms {
				return failing(NotReady)
			}
			return nil
		}, []time.Duration{0, 4 * ms, 8 * ms, 12 * ms, 18 * ms, 26 * ms}},
		{"listens early, says no", late, func(at time.Duration) error {
			switch {
			case at < 500*ms:
				return failing(Refused)
			case at < 1600*ms:
				return failing(NotReady)
			}
			return nil
		}, slices.Concat(every(0, 2*ms, 500*ms), every(500*ms, 3*ms, 1503*ms), every(1512*ms, 10*ms, 1603*ms))},
		{"cannot be checked", Pace{}, func(at time.Duration) error {
			if at < 50*ms {
				return errors.New("out of files")
			}
			return nil
		}, every(0, 10*ms, 51*ms)},
		{"floor", Pace{Floor: SlowBoot.Floor, FloorAfter: SlowBoot.FloorAfter, Early: -1}, func(at time.Duration) error {
			if at < 2100*ms {
				return failing(Refused)
			}
			return nil
		}, slices.Concat(every(0, 2*ms, 2000*ms), every(2000*ms, 10*ms, 2101*ms))},
		{"command", Pace{}, func(at time.Duration) error {
			if at < 1000*ms {
				return fmt.Errorf("x: %w", &Failure{Verdict: NotReady, Every: commandEvery})
			}
			return nil
		}, every(0, 250*ms, 1001*ms)},
		{"a pace of one's own", Pace{Refused: 7 * ms, Early: -1}, func(at time.Duration) error {
			if at < 20*ms {
				return failing(Refused)
			}
			return nil
		}, every(0, 7*ms, 22*ms)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{say: tt.say}
				if err := waitWith(t.Context(), timers{}, s, Target{}, tt.pace); err != nil {
					t.Fatal(err)
				}
				for i := range max(len(s.at), len(tt.want)) {
					if i >= len(s.at) || i >= len(tt.want) || s.at[i] != tt.want[i] {
						t.Fatalf("from check %d on: at %v\nwant %v", i, s.at[min(i, len(s.at)):], tt.want[min(i, len(tt.want)):])
					}
				}
			})
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		s := &script{say: func(time.Duration) error { return &Failure{Verdict: NotReady, Seen: "GET /readyz answered 503"} }}
		err := waitWith(ctx, timers{}, s, Target{}, Pace{})
		if err == nil || err.Error() != "not ready after 2m0s: GET /readyz answered 503" {
			t.Errorf("got %v", err)
		}
		if !errors.Is(err, context.DeadlineExceeded) || VerdictOf(err) != NotReady {
			t.Errorf("%v wraps too little", err)
		}
	})
}

func TestWaitIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*ms, func() { cancel(errors.New("creel is stopping")) })
		err := waitWith(ctx, timers{}, &script{say: func(time.Duration) error { return failing(Refused) }}, Target{}, Pace{})
		if err == nil || err.Error() != "not ready after 1.5s: creel is stopping; last seen: refused" {
			t.Errorf("got %v", err)
		}
	})
}

func TestWaitEndsWithTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		time.AfterFunc(30*ms, func() { close(done) })
		err := waitWith(t.Context(), timers{}, &script{say: func(time.Duration) error { return failing(Refused) }}, Target{Done: done}, Pace{})
		if !errors.Is(err, ErrEnded) || err.Error() != "not ready after 30ms: the instance ended; last seen: refused" {
			t.Errorf("got %v", err)
		}
		// Its end cuts short a check under way, which then has no say.
		done = make(chan struct{})
		time.AfterFunc(40*ms, func() { close(done) })
		err = waitWith(t.Context(), timers{}, probeFunc(func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}), Target{Done: done}, Pace{})
		if !errors.Is(err, ErrEnded) || err.Error() != "not ready after 40ms: the instance ended" {
			t.Errorf("got %v", err)
		}
	})
}

type probeFunc func(context.Context) error

func (f probeFunc) Check(ctx context.Context, _ Target) error { return f(ctx) }

// If an instance has ended, an answer at its port is somebody else's.
func TestAnswerAfterTheEndDoesNotCount(t *testing.T) {
	done := make(chan struct{})
	err := Wait(t.Context(), probeFunc(func(context.Context) error {
		close(done)
		return nil
	}), Target{Done: done}, Pace{})
	if !errors.Is(err, ErrEnded) {
		t.Errorf("got %v", err)
	}
}

// One check that hangs does not cost the whole wait.
func TestHungCheckIsRepeated(t *testing.T) {
	var n atomic.Int32
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= 2 {
			<-release
		}
	}))
	defer srv.Close()
	defer close(release)
	p := HTTP{Path: "/", Timeout: 30 * ms}
	if err := Wait(t.Context(), p, Target{Addr: srv.Listener.Addr().String()}, Pace{}); err != nil {
		t.Error(err)
	}
	if n.Load() != 3 {
		t.Errorf("%d checks", n.Load())
	}
}

// The real thing: nothing listens, then it says 503, then it is ready.
func TestWaitForAServer(t *testing.T) {
	addr := freePort(t)
	ready := atomic.Bool{}
	asked := make(chan struct{}, 1)
	srv := &http.Server{Addr: addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	})}
	result := make(chan error)
	refused := make(chan struct{}, 1)
	p := HTTP{Path: "/readyz"}
	go func() {
		result <- Wait(t.Context(), reporting{p, refused}, Target{Addr: addr}, Pace{})
	}()
	<-refused
	served := make(chan error)
	go func() { served <- srv.ListenAndServe() }()
	<-asked
	select {
	case err := <-result:
		t.Errorf("taken for ready while it says 503: %v", err)
	default:
	}
	ready.Store(true)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// reporting tells of refusals.
type reporting struct {
	Probe
	refused chan<- struct{}
}

func (r reporting) Check(ctx context.Context, t Target) error {
	err := r.Probe.Check(ctx, t)
	if err != nil && VerdictOf(err) == Refused {
		select {
		case r.refused <- struct{}{}:
		default:
		}
	}
	return err
}

func TestAll(t *testing.T) {
	var asked []string
	one := func(name string, err error) Probe {
		return probeFunc(func(context.Context) error {
			asked = append(asked, name)
			return err
		})
	}
	if err := (All{one("a", nil), one("b", nil)}).Check(t.Context(), Target{}); err != nil {
		t.Error(err)
	}
	err := All{one("c", nil), one("d", failing(Unanswered)), one("e", nil)}.Check(t.Context(), Target{})
	if VerdictOf(err) != Unanswered {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(asked, ""); got != "abcd" {
		t.Errorf("asked %s", got)
	}
}

func BenchmarkRefusedDial(b *testing.B) {
	l := httptest.NewServer(nil)
	target := Target{Addr: l.Listener.Addr().String()}
	l.Close()
	for b.Loop() {
		_ = TCP{}.Check(b.Context(), target)
	}
}

func BenchmarkHTTPCheck(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }))
	defer srv.Close()
	target := Target{Addr: srv.Listener.Addr().String()}
	for b.Loop() {
		_ = HTTP{Path: "/readyz"}.Check(b.Context(), target)
	}
}
