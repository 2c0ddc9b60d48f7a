package proxy

import (
	"sync"
	"sync/atomic"

	"creel/internal/gateway"
	"creel/internal/upstream"
)

// pools keeps the connections to the present instance. Those to an earlier one
// are given up as soon as a lease on a later one shows up, so that no request
// ever reaches an instance that its lease is not for (I3).
type pools struct {
	present atomic.Pointer[generationPool]
	mu      sync.Mutex
	last    uint64
	closed  bool
	retired sync.WaitGroup // each ends when its connections are closed
}

type generationPool struct {
	generation uint64
	*upstream.Pool
}

// of gives the pool of a lease's instance.
func (p *pools) of(l *gateway.Lease) *upstream.Pool {
	if g := p.present.Load(); g != nil && g.generation == l.Generation() {
		return g.Pool
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.present.Load(); g != nil && g.generation == l.Generation() {
		return g.Pool
	}
	fresh := &generationPool{l.Generation(), upstream.NewPool(upstream.Options{Addr: l.Addr()})}
	if l.Generation() < p.last || p.closed {
		// A straggler on an instance that has been replaced: nothing is kept.
		fresh.Retire()
		return fresh.Pool
	}
	p.last = l.Generation()
	if old := p.present.Swap(fresh); old != nil {
		p.retired.Go(old.Retire) // the first request of a new instance need not wait for it
	}
	return fresh.Pool
}

// close gives up all connections.
func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired.Wait()
	p.closed = true
	if old := p.present.Swap(nil); old != nil {
		old.Retire()
	}
}
