package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"creel/internal/api"
	"creel/internal/gateway"
)

// stake is what a creel that drains has with one instance: as long as it is held, the
// creel in charge does not end that instance in good order before its drain time is over
// (gateway.Supervisor.Lend). It is one request for all that this creel has there, open for
// as long as there is anything. The end of this creel ends it, whatever that is like; that
// of the other one does not: the one in charge is asked again, before the other ends if
// that has the time to say so.
//
// A creel that knows nothing of stakes, being older, ends the instance without regard to
// them, as it always did.
type stake struct {
	r          *remote
	generation uint64

	mu   sync.Mutex
	held int    // by requests
	now  *claim // nil: none of them
}

// claim is a stake from its first holder to its last.
type claim struct {
	settled chan struct{} // closed when the other creel has answered
	refused bool          // that it will not have it; read after settled
	end     context.CancelFunc
}

// declare tells the other creel of requests that are with an instance already, until
// drained says that there are no more. It returns when that one knows, or ctx ends: it is
// told on, then.
func (r *remote) declare(ctx context.Context, generation uint64, drained func(context.Context) error) error {
	s := r.newStake(generation)
	known := make(chan error, 1)
	r.watches.Go(func() {
		err := s.hold(r.ctx, true)
		known <- err
		if err == nil {
			_ = drained(r.ctx) // or the instance has ended, or the drain has
			s.giveBack()
		}
	})
	select {
	case err := <-known:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *remote) newStake(generation uint64) *stake { return &stake{r: r, generation: generation} }

// take holds the stake for one request more, and returns when the other creel knows. The
// error is gateway.ErrNotLent, or says that ctx has ended; then nothing is held.
func (s *stake) take(ctx context.Context) error { return s.hold(ctx, false) }

// hold is take, or, with underWay, says that the request is with the instance already.
func (s *stake) hold(ctx context.Context, underWay bool) error {
	s.mu.Lock()
	s.held++
	c := s.now
	if c == nil {
		c = s.begin(underWay)
		s.now = c
	}
	s.mu.Unlock()
	select {
	case <-c.settled:
		if !c.refused {
			return nil
		}
		s.giveBack()
		return gateway.ErrNotLent
	case <-ctx.Done():
		s.giveBack()
		return context.Cause(ctx)
	}
}

// giveBack ends what take has begun.
func (s *stake) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held--; s.held == 0 {
		s.now.end()
		s.now = nil
	}
}

func (s *stake) begin(underWay bool) *claim {
	ctx, end := context.WithCancel(s.r.ctx)
	c := &claim{settled: make(chan struct{}), end: end}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if ctx.Err() != nil { // the drain is over, and nobody is told anything any more
		close(c.settled)
		return c
	}
	s.r.watches.Go(func() { s.keep(ctx, c, underWay) })
	return c
}

// keep holds the claim until ctx ends, or it is of no use any more.
func (s *stake) keep(ctx context.Context, c *claim, underWay bool) {
	settle := sync.OnceFunc(func() { close(c.settled) })
	defer settle()
	var last io.Closer // the answer of a creel that ends, and waits until the next one knows
	giveUp := func() {
		if last != nil {
			_ = last.Close() // nothing more is expected of it
			last = nil
		}
	}
	defer giveUp()
	for {
		ending, err := s.claim(ctx, underWay, func() {
			underWay = true // from now on, should it have to be said again
			settle()
			giveUp()
		})
		var no *refusedError
		switch {
		case ending != nil:
			last = ending
			continue
		case ctx.Err() != nil:
			return
		case errors.As(err, &no) && no.status == http.StatusConflict:
			if !underWay { // else it has ended, and whoever has a request there knows
				c.refused = true
			}
			return
		case errors.As(err, &no) && no.status == http.StatusNotFound: // it is older than this one
			return
		}
		if rest(ctx) != nil {
			return
		}
	}
}

// claim asks once. held is called if the other creel agrees; then it returns when that is
// over. If that one ends and is still held to it, its answer is returned, to be closed when
// another one has been asked.
func (s *stake) claim(ctx context.Context, underWay bool, held func()) (ending io.Closer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.ControlURL(fmt.Sprintf("place/lease?generation=%d&under_way=%t", s.generation, underWay)), nil)
	if err != nil {
		return nil, err
	}
	resp, err := api.Client(s.r.dataDir).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() {
		if ending == nil {
			_ = resp.Body.Close() // however it ends, it is over
		}
	}()
	if resp.StatusCode != http.StatusOK {
		return nil, &refusedError{resp.StatusCode}
	}
	held()
	var place api.Place
	said := json.NewDecoder(resp.Body)
	for range 2 { // the second one says that it ends
		if err := said.Decode(&place); err != nil {
			return nil, err
		}
	}
	return resp.Body, nil
}
