package gateway

import (
	"context"
	"time"
)

// Fate is how an instance ended, as far as those need to know who had requests with
// it: see Lease.Crashed and Lease.FromOutside.
type Fate struct {
	Crashed     bool `json:"crashed"`
	FromOutside bool `json:"from_outside"`
}

// Foreign is an instance that another creel is in charge of: the one that has taken
// over from this one, which still has requests to finish. Nobody here hears of its
// end but from that one.
type Foreign struct{ inst *instance }

// NewForeign makes one of what the other creel says.
func NewForeign(generation uint64, addr string) *Foreign {
	return &Foreign{newInstance(generation, addr, nil)}
}

// Lease gives a lease on it. It is to be had at any time: that the other creel knows of
// it (Supervisor.Lend) is the caller's to see to. given, which may be nil, is called when
// it is given back.
func (f *Foreign) Lease(given func()) Lease {
	f.inst.enter() // it is never closed
	return Lease{inst: f.inst, given: given}
}

// Refused tells whether a holder of one of its leases could not connect within the
// last d. No supervisor here looks into that.
func (f *Foreign) Refused(d time.Duration) bool {
	at := f.inst.refused.Load()
	return at != nil && time.Since(*at) < d
}

// End tells the holders of its leases that it has ended. It must be called once at
// the most.
func (f *Foreign) End(fate Fate) { f.inst.endAs(fate) }

// AwaitEnd waits for the end of an instance, on behalf of another creel, and says
// how it came about. Of one that this creel has not seen end, since it ended before
// or was replaced, it is not known, and taken for somebody else's doing.
func (s *Supervisor) AwaitEnd(ctx context.Context, generation uint64) (Fate, error) {
	var face *instance
	var ended <-chan struct{} // nil: not the present one yet
	for {
		changed := s.watch.Next()
		st := s.status.Load() // before shown, which is never behind it
		if now := s.shown.Load(); now != nil && now.number == generation {
			face, ended = now, now.ended
		}
		select {
		case <-ended:
			return Fate{Crashed: face.fate.Load() != askedToEnd, FromOutside: face.outside.Load()}, nil
		default:
		}
		if st.without(generation) {
			return Fate{Crashed: true, FromOutside: true}, nil
		}
		select {
		case <-ended:
		case <-changed:
		case <-s.done:
			return Fate{}, errClosed
		case <-ctx.Done():
			return Fate{}, context.Cause(ctx)
		}
	}
}

// without tells whether the status is proof that an instance that was once the
// present one has ended. A later one runs, and would not if this one did (I1); or
// none does, and it was looked. A launch that is under way proves nothing: it may yet
// find this one.
func (st *Status) without(generation uint64) bool {
	switch st.State {
	case Stopped, Backoff, Failed:
		return st.certain && st.Generation >= generation
	case Starting, Restoring, Ready, Suspect, Draining, Stopping:
	}
	return st.runs && st.Generation > generation
}
