package proxy

import (
	"sync/atomic"
	"time"

	"creel/internal/gateway"
)

// doubtFor is how long an instance is in doubt once it has broken off a connection.
// A process that is killed closes its connections some milliseconds before its end
// is known, and its listener last: it takes connections that it will never read from,
// and nobody can tell afterwards that it has not.
const doubtFor = 25 * time.Millisecond

// doubt is whether an instance may be about to end. The zero value is none.
type doubt struct {
	since atomic.Int64 // time since begin; 0: none
	// waited, if not nil, is called when a request waits; for tests.
	waited func()
}

// raise says that the instance has broken off a connection in the middle of a
// request, or of its answer.
func (d *doubt) raise() { d.since.Store(int64(time.Since(begin))) }

// left is for how long it is in doubt still.
func (d *doubt) left(period time.Duration) time.Duration {
	since := d.since.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(since) + period - time.Since(begin)
}

// awaitFate lets a request that must not be sent twice wait while its instance is in
// doubt, no longer than the doubt that it has met: sent to an instance that dies it
// would be lost. The others go on, as nothing is lost with them. It tells whether the
// instance has ended.
func (x *passage) awaitFate(l *gateway.Lease, g *generationPool) bool {
	if x.rule.Idempotent() {
		return false
	}
	left := g.doubt.left(x.proxy.doubtFor)
	if left <= 0 {
		return false
	}
	if g.doubt.waited != nil {
		g.doubt.waited()
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-l.Ended():
		return true
	case <-t.C:
	case <-x.req.Context().Done():
	}
	return false
}
