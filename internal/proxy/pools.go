package proxy

import (
	"sync"
	"sync/atomic"

	"creel/internal/gateway"
	"creel/internal/upstream"
)

// pools keeps the connections to the present instance. Those to an earlier one
// are given up as soon as a lease on a later one shows up, so that no request
// ever reaches an instance that its lease is not for (I3). Nearly always they are
// given up before, with the end of the instance: once the next one is ready, the
// processor is needed for the requests that have waited for it.
type pools struct {
	present atomic.Pointer[generationPool]
	mu      sync.Mutex
	last    uint64
	closed  bool
	retired sync.WaitGroup // each ends when its connections are closed
	waited  func()         // see doubt
}

type generationPool struct {
	generation uint64
	*upstream.Pool
	replaced chan struct{} // closed when it is the present one no more
	doubt    doubt
}

// of gives the pool of a lease's instance.
func (p *pools) of(l *gateway.Lease) *generationPool {
	if g := p.present.Load(); g != nil && g.generation == l.Generation() {
		return g
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.present.Load(); g != nil && g.generation == l.Generation() {
		return g
	}
	fresh := &generationPool{generation: l.Generation(), Pool: upstream.NewPool(upstream.Options{Addr: l.Addr()}), replaced: make(chan struct{})}
	fresh.doubt.waited = p.waited
	if l.Generation() < p.last || p.closed {
		// A straggler on an instance that has been replaced: nothing is kept.
		fresh.Retire()
		return fresh
	}
	p.last = l.Generation()
	ended := l.Ended()
	p.retired.Go(func() { // the first request of a new instance need not wait for it
		select {
		case <-ended:
		case <-fresh.replaced:
		}
		fresh.Retire()
	})
	p.present.Load().replace()
	p.present.Store(fresh)
	return fresh
}

// replace says that g, if there is one, is the present one no more.
func (g *generationPool) replace() {
	if g != nil {
		close(g.replaced)
	}
}

// close gives up all connections.
func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.present.Swap(nil).replace()
	p.retired.Wait()
}
