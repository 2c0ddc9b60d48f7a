package auth

import (
	"context"
	"errors"
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

// errEnded ends what somebody has open who is let in no longer.
var errEnded = errors.New("what let it in has ended: a session or a token")

// streams are requests, and upgraded connections, of those whose way in can end.
type streams struct {
	mu   sync.Mutex
	open map[*stream]bool
}

type stream struct {
	of         *streams
	credential string    // see Principal.credential
	until      time.Time // see Principal.Until
	end        context.CancelCauseFunc
}

// until gives a context that ends, with the cause errEnded, when what lets the
// request's sender in does; done is to be called when the request has ended. All
// requests are watched, since none says of itself that it will take long: a
// handshake that waits for the gateway, an answer of a model's, a download.
func (g *Gate) until(ctx context.Context, p *Principal) (context.Context, *stream) {
	if !p.ends() {
		return ctx, nil
	}
	ctx, end := context.WithCancelCause(ctx)
	return ctx, g.watch(p, end)
}

// done forgets a request that has ended.
func (s *stream) done() {
	if s != nil {
		s.forget()
		s.end(context.Canceled)
	}
}

// Watch has end called when what a request came with ends (its session, its token,
// what Cloudflare Access vouched with), for what outlives the request: an upgraded
// connection. end must not block. forget is to be called when the connection has
// ended by itself. Of requests whose way in has no end that creel hears of, nothing
// is watched.
func (g *Gate) Watch(ctx context.Context, end func()) (forget func()) {
	p := From(ctx)
	if !p.ends() {
		return func() {}
	}
	return g.watch(&p, func(error) { end() }).forget
}

func (g *Gate) watch(p *Principal, end context.CancelCauseFunc) *stream {
	s := &stream{&g.streams, p.credential(), p.Until, end}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.open == nil {
		s.of.open = map[*stream]bool{}
	}
	s.of.open[s] = true
	return s
}

func (s *stream) forget() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.open, s)
}

// endStreams ends what is open of those whose way in has ended. A request that was let
// in a moment before, and is not in the list yet, ends the next time.
func (g *Gate) endStreams() {
	g.streams.mu.Lock()
	open := len(g.streams.open)
	g.streams.mu.Unlock()
	if open == 0 {
		return
	}
	now := time.Now()
	alive := map[string]bool{}
	for _, s := range g.state.sessions(now) {
		alive[s.ID] = true
	}
	for _, t := range g.state.tokens() {
		alive[t.ID] = t.Expires.IsZero() || t.Expires.After(now)
	}
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	for s := range g.streams.open {
		if s.credential != "" && !alive[s.credential] || !s.until.IsZero() && !s.until.After(now) {
			delete(g.streams.open, s)
			s.end(errEnded)
		}
	}
}

// ends tells whether creel hears of it when what lets somebody in ends.
func (p *Principal) ends() bool { return p.credential() != "" || !p.Until.IsZero() }

// credential is the id of the session or the token that lets somebody in, or "". They
// are random: a session's is no token's.
func (p *Principal) credential() string { return p.Session + p.Token }
