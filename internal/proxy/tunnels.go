package proxy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// tunnels are all that are open.
type tunnels struct {
	recorder Recorder
	leaving  atomic.Bool // see Proxy.Leave
	mu       sync.Mutex
	open     map[*tunnel]struct{}
	closed   bool
	empty    chan struct{} // closed when closed is set and open is empty
}

func (ts *tunnels) init(r Recorder) {
	ts.recorder, ts.open, ts.empty = r, map[*tunnel]struct{}{}, make(chan struct{})
}

// refuses tells whether no more tunnels are to be opened.
func (ts *tunnels) refuses() bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.closed
}

func (ts *tunnels) add(t *tunnel) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return false
	}
	ts.open[t] = struct{}{}
	return true
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
	ts.recorder.WebSockets(-1)
	if ts.closed && len(ts.open) == 0 {
		close(ts.empty)
	}
}

func (ts *tunnels) close(ctx context.Context, code int, reason string) error {
	ts.mu.Lock()
	if !ts.closed {
		ts.closed = true
		if len(ts.open) == 0 {
			close(ts.empty)
		}
	}
	for t := range ts.open {
		go t.goAway(uint16(code), reason) // ends with the tunnel, within lingerFor
	}
	ts.mu.Unlock()
	select {
	case <-ts.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot close all upgraded connections: %w", context.Cause(ctx))
	}
}
