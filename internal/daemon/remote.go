package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"creel/internal/api"
	"creel/internal/gateway"
)

// remote asks the creel that has taken over for the instance to send a request
// to, and for its end, and tells it what this one has with which instance (stake).
// Only the requests of a creel that drains go this way.
type remote struct {
	dataDir string
	ctx     context.Context // ends with the drain
	stop    context.CancelFunc
	watches sync.WaitGroup // each ends with its instance, or with ctx

	mu    sync.Mutex
	known map[uint64]*foreign // by generation
}

// foreign is an instance that the other creel is in charge of.
type foreign struct {
	*gateway.Foreign
	stake *stake
}

// newRemote makes one. close must be called in the end.
func newRemote(dataDir string) *remote {
	r := &remote{dataDir: dataDir, known: map[uint64]*foreign{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// close ends the watches: nobody hears of the end of an instance any more.
func (r *remote) close() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.watches.Wait()
}

// againAfter is the pause before a question that could not be answered is asked
// again: the successor may itself be upgraded, or may have crashed and be started
// again by its service manager.
const againAfter = 50 * time.Millisecond

// Acquire implements proxy.Gateway.
func (r *remote) Acquire(ctx context.Context, ask gateway.Ask) (gateway.Lease, error) {
	ctx, cancel := context.WithDeadline(ctx, ask.Until)
	defer cancel()
	f, err := r.present(ctx)
	// The successor may not know yet: asked again at once it would say the same, and so on.
	if err == nil && f.Refused(againAfter) {
		if err = rest(ctx); err == nil {
			f, err = r.present(ctx)
		}
	}
	for err == nil {
		if err = f.stake.take(ctx); err == nil {
			return f.Lease(f.stake.giveBack), nil
		}
		if errors.Is(err, gateway.ErrNotLent) { // it is about to end, and another one follows
			if err = rest(ctx); err == nil {
				f, err = r.present(ctx)
			}
		}
	}
	return gateway.Lease{}, &gateway.Unavailable{
		Code: gateway.CodeHoldTimeout, Message: "the gateway did not get ready in time", Hint: "Try again.", RetryAfter: time.Second,
	}
}

// present is the instance that serves. The error says that ctx has ended.
func (r *remote) present(ctx context.Context) (*foreign, error) {
	var place api.Place
	if err := r.insist(ctx, "place", &place); err != nil {
		return nil, err
	}
	return r.instance(place), nil
}

// instance gives the instance at a place. Its end is told to all who have leases.
func (r *remote) instance(at api.Place) *foreign {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.known[at.Generation]
	if f == nil {
		f = &foreign{gateway.NewForeign(at.Generation, at.Address), r.newStake(at.Generation)}
	}
	if r.known[at.Generation] == nil && r.ctx.Err() == nil {
		r.known[at.Generation] = f
		r.watches.Go(func() {
			if fate, err := r.fate(r.ctx, at.Generation); err == nil {
				f.End(fate)
			}
		})
	}
	return f
}

// fate is how an instance ended, once it has. The error says that ctx has ended.
func (r *remote) fate(ctx context.Context, generation uint64) (f gateway.Fate, err error) {
	err = r.insist(ctx, fmt.Sprintf("place/end?generation=%d", generation), &f)
	return f, err
}

// insist asks until there is an answer. The error says that ctx has ended.
func (r *remote) insist(ctx context.Context, what string, answer any) error {
	for {
		if r.ask(ctx, what, answer) == nil {
			return nil
		}
		if err := rest(ctx); err != nil {
			return err
		}
	}
}

// rest waits for againAfter. The error says that ctx has ended.
func rest(ctx context.Context) error {
	again := time.NewTimer(againAfter)
	defer again.Stop()
	select {
	case <-again.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *remote) ask(ctx context.Context, what string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.ControlURL(what), nil)
	if err != nil {
		return err
	}
	resp, err := api.Client(r.dataDir).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &refusedError{resp.StatusCode}
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// refusedError is an answer of the other creel that is none.
type refusedError struct{ status int }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the other creel answered %d %s", e.status, http.StatusText(e.status))
}
