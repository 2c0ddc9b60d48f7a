package rpc

import (
	"context"
	"time"
)

// resumeTimeout bounds the ending of a suspension. The gateway ends it by itself two
// minutes after it began.
const resumeTimeout = 10 * time.Second

// endLeft ends what an earlier creel has left suspended: it has died during a stop. A
// lease of somebody else's is a conflict with creel's, and stays.
func (c *Client) endLeft() {
	if c.endLease(stopLease) {
		c.log.Info("OpenClaw was suspended by an earlier creel; it goes on")
		return
	}
	c.log.Warn("OpenClaw is suspended, not by creel; it goes on when whoever did it says so, or within two minutes")
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
