package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// used notes that a session or token was used.
func (g *Gate) used(seen *atomic.Int64, now time.Time) {
	if now.Unix() > seen.Load() {
		seen.Store(now.Unix())
		g.state.dirty.Store(true)
	}
}

// checkEvery is how often it is looked whether what stays open still may: what
// this creel itself ends, it ends at once.
const checkEvery = 2 * time.Second

// maintain writes now and then when sessions were last used, and ends what stays
// open of sessions that have ended, until ctx ends.
func (g *Gate) maintain(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	written := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		g.endStreams()
		if now := time.Now(); now.Sub(written) >= flushEvery {
			written = now
			if err := g.state.flush(); err != nil {
				g.log.Warn("when sessions were last used is not kept", "error", err)
			}
		}
	}
}

// errEnded ends what a session has open when it has ended.
var errEnded = errors.New("the session has ended")

// streams are requests that stay open, by session.
type streams struct {
	mu   sync.Mutex
	open map[*stream]bool
}

type stream struct {
	session string
	end     func()
}

// until gives a context that ends with the session of a request that stays open
// (an event stream, a handshake that waits), and what to call when the request has
// ended.
func (g *Gate) until(ctx context.Context, r *http.Request, p Principal) (context.Context, func()) {
	if p.Kind != KindSession || !upgrades(r) && !strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	forget := g.watch(p, func() { end(errEnded) })
	return ctx, func() {
		forget()
		end(context.Canceled)
	}
}

// Watch has end called when the session ends that a request came with, for what
// outlives the request: an upgraded connection. end must not block. forget is to be
// called when the connection has ended by itself. Of requests without a session
// nothing is watched.
func (g *Gate) Watch(ctx context.Context, end func()) (forget func()) {
	p := From(ctx)
	if p.Kind != KindSession {
		return func() {}
	}
	return g.watch(p, end)
}

func (g *Gate) watch(p Principal, end func()) (forget func()) {
	s := &stream{p.Session, end}
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	if g.streams.open == nil {
		g.streams.open = map[*stream]bool{}
	}
	g.streams.open[s] = true
	return func() {
		g.streams.mu.Lock()
		defer g.streams.mu.Unlock()
		delete(g.streams.open, s)
	}
}

// endStreams ends what is open of sessions that are not.
func (g *Gate) endStreams() {
	g.streams.mu.Lock()
	open := len(g.streams.open)
	g.streams.mu.Unlock()
	if open == 0 {
		return
	}
	alive := map[string]bool{}
	for _, s := range g.state.sessions(time.Now()) {
		alive[s.ID] = true
	}
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	for s := range g.streams.open {
		if !alive[s.session] {
			delete(g.streams.open, s)
			s.end()
		}
	}
}
