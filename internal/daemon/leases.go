package daemon

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"creel/internal/gateway"
	"creel/internal/proxy"
	"creel/internal/ui"
)

// leases hands out leases on behalf of whoever is in charge of the gateway: an
// engine of this creel, or the creel that has taken over from it. Requests that
// ask while nobody is, wait.
type leases struct {
	mu      sync.Mutex
	now     *source
	changed chan struct{} // closed when now is replaced
	final   bool          // nobody will follow
}

// source is one who is in charge.
type source struct {
	gateway proxy.Gateway
	loading *ui.Loading
	public  http.Handler
}

func newLeases() *leases { return &leases{changed: make(chan struct{})} }

// set puts another one in charge.
func (l *leases) set(g proxy.Gateway, loading *ui.Loading, public http.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = &source{g, loading, public}
	close(l.changed)
	l.changed = make(chan struct{})
}

// last says that creel itself ends: who is turned away now, is told so.
func (l *leases) last() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.final = true
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leases) present() *source {
	s, _, _ := l.look()
	return s
}

func (l *leases) look() (now *source, changed <-chan struct{}, final bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.changed, l.final
}

// Acquire implements proxy.Gateway. A supervisor that is being left turns
// requests away; they are not told so, but wait for the next in charge.
func (l *leases) Acquire(ctx context.Context, ask gateway.Ask) (gateway.Lease, error) {
	for {
		s, changed, final := l.look()
		lease, err := s.gateway.Acquire(ctx, ask)
		var u *gateway.Unavailable
		if !errors.As(err, &u) || u.Code != gateway.CodeShuttingDown || final {
			return lease, err
		}
		waiting, cancel := context.WithDeadline(ctx, ask.Until)
		select {
		case <-changed:
			cancel()
		case <-waiting.Done():
			cancel()
			if ctx.Err() != nil {
				return gateway.Lease{}, context.Cause(ctx)
			}
			return gateway.Lease{}, u
		}
	}
}
