package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"creel/internal/api"
	"creel/internal/gateway"
)

// remote asks the creel that has taken over for the instance to send a request
// to, and for its end. Only the requests of a creel that drains go this way.
type remote struct {
	dataDir string
	ctx     context.Context // ends with the drain
	stop    context.CancelFunc
	watches sync.WaitGroup // each ends with its instance, or with ctx

	mu    sync.Mutex
	known map[uint64]*gateway.Foreign // by generation
}

// newRemote makes one. close must be called in the end.
func newRemote(dataDir string) *remote {
	r := &remote{dataDir: dataDir, known: map[uint64]*gateway.Foreign{}}
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
	if err != nil {
		return gateway.Lease{}, &gateway.Unavailable{
			Code: gateway.CodeHoldTimeout, Message: "the gateway did not get ready in time", Hint: "Try again.", RetryAfter: time.Second,
		}
	}
	return f.Lease(), nil
}

// present is the instance that serves. The error says that ctx has ended.
func (r *remote) present(ctx context.Context) (*gateway.Foreign, error) {
	var place api.Place
	if err := r.insist(ctx, "place", &place); err != nil {
		return nil, err
	}
	return r.instance(place), nil
}

// instance gives the instance at a place. Its end is told to all who have leases.
func (r *remote) instance(at api.Place) *gateway.Foreign {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.known[at.Generation]
	if f == nil && r.ctx.Err() != nil {
		return gateway.NewForeign(at.Generation, at.Address)
	}
	if f == nil {
		f = gateway.NewForeign(at.Generation, at.Address)
		r.known[at.Generation] = f
		r.watches.Go(func() {
			var fate gateway.Fate
			if r.insist(r.ctx, fmt.Sprintf("place/end?generation=%d", at.Generation), &fate) == nil {
				f.End(fate)
			}
		})
	}
	return f
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
		return fmt.Errorf("the other creel answered %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
