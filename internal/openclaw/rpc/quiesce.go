package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of Quiesce.
const (
	// HoldLimit is the longest that Quiesce keeps a gateway suspended, whatever
	// its caller does.
	HoldLimit = 20 * time.Second
	// resumeTimeout bounds the ending of a suspension. The gateway ends it by
	// itself two minutes after it began.
	resumeTimeout = 10 * time.Second
	// firstBusy is how soon a busy gateway is asked again; the pause doubles up to
	// longestBusy. It allows 30 attempts a minute. The pause that it proposes (20 s)
	// is made for turns of minutes.
	firstBusy   = 200 * time.Millisecond
	longestBusy = 2500 * time.Millisecond
)

// Quiesce suspends the gateway for a snapshot: no turn, no job and no call is
// under way when it returns without an error, and none begins until release is
// called. It is no freeze: a channel may still take in a message and store it.
//
// If the gateway is at work, Quiesce asks again until ctx ends (*WorkError then).
// Other errors: those of Call; *Error with ReasonSuspensionConflict if somebody
// else has suspended it. At most one Quiesce is in force; another one waits.
//
// The gateway goes on when release is called, when ctx ends, when HoldLimit is
// over, when the client is closed, whichever comes first; and after the death of
// creel when the next one connects, or two minutes later at the latest. release
// returns when it does, or says why that is not known; it may be called again.
func (c *Client) Quiesce(ctx context.Context) (release func() error, err error) {
	select {
	case c.quiet <- struct{}{}:
	case <-c.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("OpenClaw is suspended for something else: %w", context.Cause(ctx))
	}
	s, err := c.untilReady(ctx)
	if err != nil {
		<-c.quiet
		return nil, err
	}
	h := &holding{released: make(chan struct{}), resumed: make(chan struct{})}
	held, cancel := context.WithTimeout(ctx, HoldLimit)
	if !c.afterwards(func() {
		defer cancel()
		select {
		case <-h.released:
		case <-held.Done():
		case <-c.closing:
		}
		h.err = c.goOn(s.ID)
		<-c.quiet
		close(h.resumed)
	}) {
		cancel()
		<-c.quiet
		return nil, errors.Join(ErrClosed, c.goOn(s.ID))
	}
	return h.release, nil
}

// untilReady asks for the lease until the gateway is not at work. Whatever it
// returns an error for, no lease is left.
func (c *Client) untilReady(ctx context.Context) (Suspension, error) {
	began, wait := time.Now(), firstBusy
	for {
		s, err := c.prepare(ctx, quietLease)
		refused, isRefusal := errors.AsType[*Error](err)
		switch {
		case errors.As(err, new(*LostError)):
			// It may have been granted. If the connection is lost, the next one
			// looks for it; if this one stands, it is ended here.
			c.afterwards(func() { c.endLease(quietLease) })
			return Suspension{}, err
		case isRefusal && refused.Retryable && refused.Reason != ReasonSuspensionConflict:
			wait = max(wait, refused.RetryAfter) // too many attempts, or it goes on from one only now
		case err != nil:
			return Suspension{}, err
		case s.Status == suspendReady:
			return s, nil
		case s.Status != suspendBusy:
			return Suspension{}, fmt.Errorf("cannot suspend OpenClaw: its suspension is %q", s.Status)
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, longestBusy)
		case <-ctx.Done():
			if err != nil {
				return Suspension{}, err
			}
			return Suspension{}, &WorkError{time.Since(began), s.Blockers}
		case <-c.done:
			return Suspension{}, ErrClosed
		}
	}
}

// holding is a lease in force.
type holding struct {
	once     sync.Once
	released chan struct{} // closed by release
	resumed  chan struct{} // closed when err is set
	err      error
}

// release lets the gateway go on.
func (h *holding) release() error {
	h.once.Do(func() { close(h.released) })
	<-h.resumed // bounded by resumeTimeout
	return h.err
}

// afterwards runs f in a goroutine that Close waits for before it gives the
// connection up. It reports false, and does not run f, if Close was called.
func (c *Client) afterwards(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closing:
		return false
	default:
	}
	c.duties.Go(f)
	return true
}

// goOn ends a lease, over another connection if need be. nil: the gateway goes on,
// or the instance has ended.
func (c *Client) goOn(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), resumeTimeout)
	defer cancel()
	generation := c.View().Generation
	for {
		err := c.resume(ctx, id)
		refused, isRefusal := errors.AsType[*Error](err)
		switch {
		case err == nil, isRefusal && refused.Code == CodeInvalidRequest: // it has run out
			return nil
		case errors.Is(err, ErrClosed):
			return err
		case isRefusal:
			if err := pause(ctx, max(refused.RetryAfter, firstPause)); err != nil {
				return notResumed(refused)
			}
			continue
		}
		// Not connected, or lost: with the next connection.
		v, waited := c.WaitFor(ctx, func(v View) bool { return v.Connected || v.Ended() || v.Generation != generation })
		if waited != nil {
			return notResumed(err)
		}
		if !v.Connected || v.Generation != generation {
			return nil
		}
	}
}

func notResumed(err error) error {
	return fmt.Errorf("cannot tell OpenClaw to go on; it does so by itself within two minutes: %w", err)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// endLease ends a lease of creel's whose id is not known, if there is one: asking
// for it again tells its id. It reports whether there is none any more.
func (c *Client) endLease(p suspendParams) bool {
	ctx, cancel := context.WithTimeout(context.Background(), resumeTimeout)
	defer cancel()
	s, err := c.prepare(ctx, p)
	if err != nil || s.ID == "" {
		return err == nil
	}
	return c.resume(ctx, s.ID) == nil
}

// endLeft ends what an earlier creel has left suspended. A lease of somebody
// else's is a conflict with both of creel's, and stays.
func (c *Client) endLeft() {
	if c.endLease(quietLease) || c.endLease(stopLease) {
		c.log.Info("OpenClaw was suspended by an earlier creel; it goes on")
		return
	}
	c.log.Warn("OpenClaw is suspended, not by creel; it goes on when whoever did it says so, or within two minutes")
}
