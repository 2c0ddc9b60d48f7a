package gateway

import (
	"context"
	"errors"
)

// After an upgrade two creels have requests with one instance: this one, which is in
// charge of it, and the one that has handed it over and drains. Whoever ends the
// instance in good order waits for the requests of both (Policy.Drain):
//
//	the creel that drains             this one
//	leaves its supervisor             finds the instance, and counts it as in use
//	                                  elsewhere, since it does not know better yet
//	has a lease lent (Lend), for all
//	that it has under way (UnderWay)  counts that one
//	lets go of its successor     ──>  counts only what was lent
//	has one lent for as long as it
//	has requests with an instance
//	that it has asked for
//
// A lease that is lent stands for all that the other creel has with that instance, so
// one is what is counted as cut if the drain's time is over. It does not count as a
// request that waits for its answer: of those that this creel does not pass on, it
// cannot tell a hang.

// ErrNotLent says that an instance takes no more requests of other creels: it has ended,
// or is about to.
var ErrNotLent = errors.New("this instance takes no more requests")

// Lend gives a lease on an instance for another creel's requests, until that one gives
// it back. underWay says that they are with the instance already: then it is had even if
// the instance is about to end. It is not bound to this Supervisor's life: after Leave
// it is of those that UnderWay tells of.
//
// If the instance is not known it is waited for, as this creel may yet find it. Errors:
// ErrNotLent, errClosed, or the cause of ctx's end.
func (s *Supervisor) Lend(ctx context.Context, generation uint64, underWay bool) (Lease, error) {
	for {
		changed := s.watch.Next()
		st := s.status.Load() // before shown, which is never behind it
		if i := s.shown.Load(); i != nil && i.number == generation {
			l, err := i.lend(underWay)
			if s.left() { // UnderWay may have counted before
				l.Release()
				return Lease{}, errClosed
			}
			return l, err
		}
		if st.without(generation) {
			return Lease{}, ErrNotLent
		}
		select {
		case <-changed:
		case <-s.done:
			return Lease{}, errClosed
		case <-ctx.Done():
			return Lease{}, context.Cause(ctx)
		}
	}
}

// left tells whether run has ended.
func (s *Supervisor) left() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (i *instance) lend(underWay bool) (Lease, error) {
	switch {
	case i.hasEnded():
		return Lease{}, ErrNotLent
	case underWay:
		i.leases.Add(1)
	case !i.enter():
		return Lease{}, ErrNotLent
	}
	i.begun.Add(1)
	return Lease{inst: i, begun: true}, nil
}

// holdElsewhere counts an instance that was found as in use by the creel that has handed
// it over, until that one has said what it has with it.
func (s *Supervisor) holdElsewhere(i *instance) {
	l, err := i.lend(true)
	if err != nil {
		return // it has ended
	}
	s.task(func() {
		defer l.Release()
		select {
		case <-s.opts.Elsewhere:
		case <-i.ended:
		case <-s.ctx.Done():
		}
	})
}

// UnderWay tells, after Leave, which instance requests of this creel are still with.
// drained waits for the last of them; its error says that the instance or ctx ended
// first. It is nil if there are none, and must be called by one at a time.
func (s *Supervisor) UnderWay() (generation uint64, drained func(ctx context.Context) error) {
	<-s.done
	if s.face == nil || s.face.hasEnded() {
		return 0, nil
	}
	s.face.closed.Store(true) // it may never have been on offer
	if s.face.leases.Load() == 0 {
		return 0, nil
	}
	return s.face.number, s.face.drained
}
