package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSuspectGoesAlone: it is served first, and the others wait until its answer
// has begun, until it is released, or until its time alone is over.
func TestSuspectGoesAlone(t *testing.T) {
	for name, end := range map[string]func(l *Lease){
		"begun":      func(l *Lease) { l.Begun() },
		"released":   func(l *Lease) { l.Release() },
		"trialLimit": func(*Lease) { pass(trialLimit) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStand(t, 10)
				got := make(chan result, 10)
				s.request("innocent", SuspectAfter-1, got)
				s.request("suspect", SuspectAfter, got)
				s.offer(s.inst)
				suspect := s.granted(got, "suspect")
				s.request("newcomer", 0, got)
				pass(trialLimit - time.Millisecond)
				s.nothing(got)
				if !suspect.OnTrial() {
					t.Error("the suspect is not on trial")
				}
				end(suspect)
				synctest.Wait()
				for range 2 { // in either order: they were granted in one go
					r := <-got
					if r.err != nil || r.who == "suspect" || r.lease.OnTrial() {
						t.Errorf("%s got %v, on trial: %v", r.who, r.err, r.lease.OnTrial())
					}
					r.lease.Release()
				}
				suspect.Release()
				s.leases(0)
				s.request("later", 0, got)
				s.granted(got, "later").Release()
			})
		})
	}
}

// TestSuspectsOneByOne: first come, first served, and each has its own time.
func TestSuspectsOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 10)
		got := make(chan result, 10)
		for _, who := range []string{"first", "second", "third"} {
			s.request(who, SuspectAfter, got)
		}
		s.request("innocent", 0, got)
		s.offer(s.inst)
		first := s.granted(got, "first")
		s.nothing(got)
		first.Begun()
		second := s.granted(got, "second")
		s.nothing(got)
		pass(trialLimit)
		s.granted(got, "innocent").Release() // does not wait for suspects that have aged
		s.nothing(got)
		second.Release()
		third := s.granted(got, "third")
		first.Release() // its trial is over long since
		s.request("newcomer", 0, got)
		s.nothing(got)
		third.Release()
		s.granted(got, "newcomer").Release()
		s.leases(0)
	})
}

// TestLateSuspect: one that comes while the instance is open stops the others
// from then on.
func TestLateSuspect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 10)
		got := make(chan result, 10)
		s.offer(s.inst)
		s.request("early", 0, got)
		early := s.granted(got, "early")
		s.request("suspect", SuspectAfter, got)
		suspect := s.granted(got, "suspect")
		s.request("innocent", 0, got)
		s.nothing(got)
		early.Release()
		s.nothing(got)
		suspect.Begun()
		s.granted(got, "innocent").Release()
		suspect.Release()
		s.leases(0)
	})
}

// TestCrashInATrial: the trial ends with the instance, and a new one begins with
// the next.
func TestCrashInATrial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStand(t, 10)
		got := make(chan result, 10)
		s.request("suspect", SuspectAfter, got)
		s.offer(s.inst)
		old := s.granted(got, "suspect")
		close(s.done)
		if !s.lost(s.inst) {
			t.Error("not on offer")
		}
		s.request("innocent", 0, got)
		s.request("second suspect", SuspectAfter, got)
		pass(2 * trialLimit) // the old trial's timer is of no effect
		s.nothing(got)
		s.offer(newInstance(2, "127.0.0.1:2", make(chan struct{})))
		l := s.granted(got, "second suspect")
		old.Release() // nor is its end
		s.nothing(got)
		l.Begun()
		s.granted(got, "innocent").Release()
		l.Release()
	})
}
