package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"creel/internal/gateway"
	"creel/internal/replay"
	"creel/internal/upstream"
)

// dialPause is between two attempts to connect that the gateway is not to
// blame for, such as when creel is out of file descriptors. It doubles, up to
// maxDialPause: those who wait for descriptors are many.
const (
	dialPause    = 20 * time.Millisecond
	maxDialPause = 500 * time.Millisecond
)

// attempt sends the request to the lease's instance and passes the answer on.
// It returns nil once the client has got an answer, or is gone.
func (x *passage) attempt(l *gateway.Lease) *failure {
	ctx := x.req.Context()
	pool := x.proxy.pools.of(l)
	if x.awaitFate(l, pool) {
		return &failure{err: errOver, evidence: replay.NotDialled, ended: true}
	}
	conn, err := pool.Get(ctx, x.reuse())
	if err != nil {
		return x.notDialled(l, err)
	}
	if over(l) {
		// The next instance may be the one that took the connection, and need
		// not be ready. It is started only after this one is known to have
		// ended, so a connection made before that is this one's (I3).
		conn.Discard()
		return &failure{err: errOver, evidence: replay.NotDialled, ended: true}
	}
	if x.sent++; x.sent > 1 {
		x.proxy.opts.Recorder.Replay()
	}
	if x.kept != nil {
		x.out.Body = x.kept.reader()
	}
	x.sentAt = time.Now()
	ex, err := conn.Send(ctx, &x.out)
	var resp *http.Response
	if err == nil {
		resp, err = ex.Receive(&x.out)
	}
	if err != nil {
		f := &failure{err: err, evidence: ex.Evidence(), onTrial: l.OnTrial(), after: time.Since(x.sentAt)}
		ex.End(false)
		if mayBeDead(err) {
			if ctx.Err() == nil {
				pool.doubt.raise()
			}
			f.ended = x.ended(l)
			f.crashed = f.ended && l.Crashed()
			f.outside = f.crashed && l.FromOutside()
		}
		return f
	}
	if f := x.heldBack(l, resp); f != nil {
		ex.End(false)
		return f
	}
	l.Begun()
	return x.pass(l, ex, resp)
}

// reuse says which connections will do. A body that streams is not worth the risk:
// beside it a new connection costs nothing.
func (x *passage) reuse() upstream.Reuse {
	switch {
	case x.broken > 0:
		return upstream.ReuseNone
	case x.rule.Idempotent():
		return upstream.ReuseAny
	case x.out.Body == nil:
		return upstream.ReuseWarm
	}
	return upstream.ReuseNone
}

// notDialled deals with a connection that could not be made. Nobody has seen
// anything of the request.
func (x *passage) notDialled(l *gateway.Lease, err error) *failure {
	var dial *upstream.DialError
	if errors.As(err, &dial) {
		if dial.Blameless() {
			if told := x.proxy.opts.NoDial; told != nil {
				told(err)
			}
			x.paused = min(max(dialPause, 2*x.paused), maxDialPause)
			pause(x.req.Context(), x.paused)
		} else {
			l.Unreachable()
		}
	}
	return &failure{err: err, evidence: replay.NotDialled}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// mayBeDead tells whether an error leaves the question open whether the
// gateway is dead.
func mayBeDead(err error) bool {
	var client *upstream.BodyError
	return !errors.As(err, &client) && !errors.Is(err, upstream.ErrNoAnswer)
}

// ended waits, no longer than the crash window, for the instance to end.
func (x *passage) ended(l *gateway.Lease) bool {
	t := time.NewTimer(x.set.Replay.CrashWindow)
	defer t.Stop()
	select {
	case <-l.Ended():
		return true
	case <-t.C:
	case <-x.req.Context().Done():
	}
	return false
}

// heldBack keeps an answer with a 5xx status to itself until it is known
// whether it was the instance's last breath. If so, and the request may be sent
// again, nobody needs to have seen it.
func (x *passage) heldBack(l *gateway.Lease, resp *http.Response) *failure {
	if resp.StatusCode/100 != 5 || x.set.Replay.CrashWindow <= 0 || x.decide(replay.AllWritten) != replay.Repeat {
		return nil
	}
	if !x.ended(l) || !l.Crashed() {
		return nil
	}
	return &failure{err: errLastBreath, evidence: replay.AllWritten, ended: true, crashed: true, outside: l.FromOutside(), onTrial: l.OnTrial(), after: time.Since(x.sentAt)}
}

// over tells whether a lease's instance has ended.
func over(l *gateway.Lease) bool {
	select {
	case <-l.Ended():
		return true
	default:
		return false
	}
}

// errOver says that an instance ended before the request was sent to it.
var errOver = errors.New("the gateway ended before the request was sent")

// errLastBreath says that an answer was held back: see heldBack.
var errLastBreath = errors.New("the gateway answered with an error and ended")
