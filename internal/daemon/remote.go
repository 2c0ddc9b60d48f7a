package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"creel/internal/api"
	"creel/internal/gateway"
)

// remote asks the creel that has taken over for the instance to send a request
// to. Only the requests of a creel that drains go this way.
type remote struct{ dataDir string }

// Acquire implements proxy.Gateway.
func (r *remote) Acquire(ctx context.Context, ask gateway.Ask) (gateway.Lease, error) {
	ctx, cancel := context.WithDeadline(ctx, ask.Until)
	defer cancel()
	var last error
	for {
		var place api.Place
		if last = r.ask(ctx, &place); last == nil {
			return gateway.Foreign(place.Generation, place.Address), nil
		}
		// The successor may itself be upgraded, or may have crashed and be
		// started again by its service manager.
		again := time.NewTimer(50 * time.Millisecond)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return gateway.Lease{}, &gateway.Unavailable{
				Code: gateway.CodeHoldTimeout, Message: "the gateway did not get ready in time", Hint: "Try again.", RetryAfter: time.Second,
			}
		}
	}
}

func (r *remote) ask(ctx context.Context, place *api.Place) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.ControlURL("place"), nil)
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
	return json.NewDecoder(resp.Body).Decode(place)
}
