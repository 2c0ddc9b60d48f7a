// Package census counts the connections of a server, so that somebody who wants it to
// end, or to take no more, can wait for the right moment. net/http counts too, and tells
// nobody.
package census

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Census counts connections. The zero value counts none.
type Census struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed with each change; nil: nobody waits
}

// Add counts delta more, as of connections that were hijacked.
func (c *Census) Add(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += delta
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// ConnState is the hook of an http.Server. What is hijacked is not counted any more.
func (c *Census) ConnState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}

// Count is how many there are.
func (c *Census) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// AwaitNone waits until no connection is left, or ctx ends. It returns how many
// are left.
func (c *Census) AwaitNone(ctx context.Context) int {
	c.AwaitBelow(1, ctx.Done())
	return c.Count()
}

// AwaitBelow waits until fewer than n connections are left, and tells whether
// they are; false: stop was closed before.
func (c *Census) AwaitBelow(n int, stop <-chan struct{}) bool {
	for {
		c.mu.Lock()
		below := c.n < n
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		if below {
			return true
		}
		select {
		case <-changed:
		case <-stop:
			return false
		}
	}
}
