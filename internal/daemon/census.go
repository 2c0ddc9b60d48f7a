package daemon

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// census counts the connections of clients: those of the HTTP server, and those
// that were upgraded and are the proxy's.
type census struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed with each change; nil: nobody waits
}

func (c *census) add(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += delta
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// connState is the http.Server's hook.
func (c *census) connState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.add(1)
	case http.StateClosed, http.StateHijacked:
		c.add(-1)
	case http.StateActive, http.StateIdle:
	}
}

func (c *census) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// awaitNone waits until no connection is left, or ctx ends. It returns how many
// are left.
func (c *census) awaitNone(ctx context.Context) int {
	c.awaitBelow(1, ctx.Done())
	return c.count()
}

// awaitBelow waits until fewer than n connections are left, and tells whether
// they are; false: stop was closed before.
func (c *census) awaitBelow(n int, stop <-chan struct{}) bool {
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
