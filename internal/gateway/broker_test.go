package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stand is a broker without a supervisor.
type stand struct {
	*testing.T
	broker
	done    chan struct{}
	inst    *instance
	demands atomic.Int32
	reports []uint64
}

func newStand(t *testing.T, limit int) *stand {
	s := &stand{T: t, done: make(chan struct{})}
	s.inst = newInstance(1, "127.0.0.1:1", s.done)
	s.limit = limit
	s.demand = func() { s.demands.Add(1) }
	s.report = func(g uint64) { s.reports = append(s.reports, g) }
	s.why = func() *Unavailable { return &Unavailable{Code: CodeHoldTimeout} }
	return s
}

// result is what a request got.
type result struct {
	who   string
	lease Lease
	err   error
}

// request asks for a lease in a goroutine, and has joined the queue when it returns.
func (s *stand) request(who string, crashes int, got chan<- result) {
	go func() {
		l, err := s.acquire(s.Context(), Ask{Until: time.Now().Add(time.Minute), Crashes: crashes})
		got <- result{who, l, err}
	}()
	synctest.Wait()
}

// granted takes the next result, which must be there already and be who's.
func (s *stand) granted(got <-chan result, who string) *Lease {
	s.Helper()
	synctest.Wait()
	select {
	case r := <-got:
		if r.err != nil || r.who != who {
			s.Fatalf("%s got %v, want a lease for %s", r.who, r.err, who)
		}
		return &r.lease
	default:
		s.Fatalf("nothing was granted, want a lease for %s", who)
		return nil
	}
}

func (s *stand) nothing(got <-chan result) {
	s.Helper()
	synctest.Wait()
	select {
	case r := <-got:
		s.Fatalf("%s got generation %d, %v; want nothing yet", r.who, r.lease.Generation(), r.err)
	default:
	}
}

func (s *stand) leases(want int64) {
	s.Helper()
	if n := s.inst.leases.Load(); n != want {
		s.Errorf("%d leases are held, want %d", n, want)
	}
}

func TestQueueLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 2)
		got := make(chan result, 3)
		s.request("a", 0, got)
		s.request("b", 0, got)
		_, err := s.acquire(t.Context(), Ask{Until: time.Now().Add(time.Minute)})
		var u *Unavailable
		if !errors.As(err, &u) || u.Code != CodeHoldQueueFull || u.Hint == "" || u.Wait(time.Now()) < time.Second {
			t.Errorf("got %v, want %s", err, CodeHoldQueueFull)
		}
		s.offer(s.inst)
		synctest.Wait()
		s.leases(2)
		if _, err := s.acquire(t.Context(), Ask{Until: time.Now()}); err != nil {
			t.Errorf("there is room, and yet %v", err)
		}
		if n := s.demands.Load(); n != 2 {
			t.Errorf("demanded %d times", n)
		}
	})
}

// TestHoldTime: a request waits no longer than it may, even not at all.
func TestHoldTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 10)
		for _, d := range []time.Duration{-time.Second, 0, time.Second, time.Hour} {
			begun := time.Now()
			_, err := s.acquire(t.Context(), Ask{Until: begun.Add(d)})
			var u *Unavailable
			if !errors.As(err, &u) || u.Code != CodeHoldTimeout || time.Since(begun) != max(0, d) {
				t.Errorf("after %v: %v, want %s after %v", time.Since(begun), err, CodeHoldTimeout, d)
			}
		}
		if s.held() != 0 {
			t.Errorf("%d are left on the list", s.held())
		}
		s.offer(s.inst)
		if _, err := s.acquire(t.Context(), Ask{}); err != nil {
			t.Errorf("without time to wait, an open instance gives %v", err)
		}
	})
}

// TestCanceledWhileGranted: a grant that meets the end of its request's context
// is given back; no lease is lost, and none is counted twice.
func TestCanceledWhileGranted(t *testing.T) {
	for range 200 {
		bubble(t, func(t *testing.T) {
			s := newStand(t, 100)
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for n := range 20 {
				all.Go(func() {
					c := t.Context()
					if n%2 == 0 {
						c = ctx
					}
					l, err := s.acquire(c, Ask{Until: time.Now().Add(time.Second), Crashes: n % 3})
					if err == nil {
						l.Release()
					} else if n%2 == 1 || !errors.Is(err, context.Canceled) {
						t.Errorf("request %d: %v", n, err)
					}
				})
			}
			synctest.Wait()
			all.Go(cancel)
			all.Go(func() { s.offer(s.inst) })
			all.Wait()
			s.leases(0)
			if s.held() != 0 || s.broker.trial != nil {
				t.Errorf("%d wait, trial %v", s.held(), s.broker.trial)
			}
			s.hold()
			if err := s.inst.drained(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGrantedAtTheLastMoment: a lease that is granted when the hold time ends is
// either used or given back.
func TestGrantedAtTheLastMoment(t *testing.T) {
	for range 100 {
		bubble(t, func(t *testing.T) {
			s := newStand(t, 1)
			go func() {
				<-time.After(time.Second)
				s.offer(s.inst)
			}()
			l, err := s.acquire(t.Context(), Ask{Until: time.Now().Add(time.Second)})
			if err == nil {
				s.leases(1)
				l.Release()
			}
			synctest.Wait()
			s.leases(0)
		})
	}
}

// TestRefuseWakesAll: whoever waits is told at once, and so is whoever comes.
func TestRefuseWakesAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 100)
		got := make(chan result, 100)
		for range 50 {
			s.request("a", 0, got)
			s.request("b", SuspectAfter, got)
		}
		s.refuse(&Unavailable{Code: CodeFailed})
		s.request("late", 0, got)
		for range 101 {
			var u *Unavailable
			if r := <-got; !errors.As(r.err, &u) || u.Code != CodeFailed {
				t.Fatalf("%s got %v", r.who, r.err)
			}
		}
		if s.held() != 0 {
			t.Errorf("%d still wait", s.held())
		}
		s.hold()
		s.request("later", 0, got)
		s.nothing(got)
		s.offer(s.inst)
		s.granted(got, "later").Release()
	})
}

// TestReopen: an instance that was closed for a check is opened again with its
// count of leases, and a drain still sees all of them.
func TestReopen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 10)
		got := make(chan result, 10)
		s.offer(s.inst)
		s.request("a", 0, got)
		a := s.granted(got, "a")
		s.hold()
		s.request("b", 0, got)
		s.nothing(got)
		s.offer(s.inst)
		b := s.granted(got, "b")
		s.leases(2)
		s.hold()
		drained := make(chan error, 1)
		go func() { drained <- s.inst.drained(t.Context()) }()
		a.Release()
		synctest.Wait()
		if len(drained) != 0 {
			t.Error("drained with a lease held")
		}
		b.Release()
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestOneReport: of many who cannot connect one reports, and the instance is
// closed by then. One that has ended is not reported at all.
func TestOneReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 10)
		s.offer(s.inst)
		var leases []*Lease
		got := make(chan result, 10)
		for range 5 {
			s.request("a", 0, got)
			leases = append(leases, s.granted(got, "a"))
		}
		for _, l := range leases {
			l.Unreachable()
		}
		s.request("b", 0, got)
		s.nothing(got)
		if len(s.reports) != 1 || s.reports[0] != 1 {
			t.Errorf("reports %v", s.reports)
		}
		s.offer(s.inst)
		s.granted(got, "b").Release()
		close(s.done)
		leases[0].Unreachable()
		if len(s.reports) != 1 {
			t.Error("a dead instance was reported")
		}
		s.offer(s.inst)
		s.request("c", 0, got)
		s.nothing(got)
		s.refuse(&Unavailable{})
		<-got
	})
}

// TestConcurrentLeases: the count is right whatever opens and closes meanwhile.
func TestConcurrentLeases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 1000)
		var users, owner sync.WaitGroup
		stop := make(chan struct{})
		owner.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s.offer(s.inst)
				s.hold()
				if err := s.inst.drained(t.Context()); err != nil {
					t.Error(err)
				}
				if n := s.inst.leases.Load(); n < 0 {
					t.Errorf("%d leases", n)
				}
			}
		})
		for n := range 50 {
			users.Go(func() {
				for k := range 40 {
					crashes := 0
					if (n+k)%20 == 0 {
						crashes = SuspectAfter
					}
					l, err := s.acquire(t.Context(), Ask{Until: time.Now().Add(time.Hour), Crashes: crashes})
					if err != nil {
						t.Error(err)
						return
					}
					l.Begun()
					l.Release()
				}
			})
		}
		users.Wait()
		close(stop)
		owner.Wait()
		s.leases(0)
	})
}

// TestFate: what decides first how an instance ended is right.
func TestFate(t *testing.T) {
	for _, c := range []struct {
		first, then int32
		crashed     bool
	}{{askedToEnd, crashed, false}, {crashed, askedToEnd, true}} {
		i := newInstance(1, "", nil)
		i.decide(c.first)
		i.decide(c.then)
		if l := (Lease{inst: i}); l.Crashed() != c.crashed {
			t.Errorf("crashed %v, want %v", l.Crashed(), c.crashed)
		}
	}
}

// TestZeroLease: it holds nothing, and giving it back is of no effect.
func TestZeroLease(t *testing.T) {
	var l Lease
	l.Release()
	if l.OnTrial() {
		t.Error("on trial")
	}
}

// TestRetryAfter: at least a second, and the time of the next start if known.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		u    Unavailable
		want time.Duration
	}{
		{Unavailable{}, time.Second},
		{Unavailable{RetryAfter: 5 * time.Second}, 5 * time.Second},
		{Unavailable{RetryAfter: 5 * time.Second, Next: t0.Add(time.Minute)}, time.Minute},
		{Unavailable{RetryAfter: 5 * time.Second, Next: t0.Add(-time.Minute)}, time.Second},
	} {
		if got := c.u.Wait(t0); got != c.want {
			t.Errorf("%+v: wait %v, want %v", c.u, got, c.want)
		}
	}
}
