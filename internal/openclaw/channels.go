package openclaw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"creel/internal/openclaw/rpc"
)

// After three boots in five minutes that were not ended in good order OpenClaw
// comes up with its channels (Telegram, Discord, …) off: ready, and deaf. It means
// to protect itself from a channel that crashes it; it cannot tell that from a
// process that was killed. creel can, as a rule, and starts them again.

// suppressedTimeout bounds the question for what is off: the gateway has just
// said that it is ready.
const suppressedTimeout = 5 * time.Second

// Suppressed asks the gateway at addr which channels its crash-loop breaker has
// left off. Only a direct client on loopback is told: the request carries no
// header of a proxy.
func Suppressed(ctx context.Context, addr string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, suppressedTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: new(net.Dialer).DialContext}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("cannot ask OpenClaw which channels are off: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	var body struct {
		Ready      *bool    `json:"ready"`
		Suppressed []string `json:"suppressed"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body); err != nil {
		return nil, fmt.Errorf("cannot ask OpenClaw which channels are off: it answers %s, and no JSON: %w", resp.Status, err)
	}
	if body.Ready == nil {
		return nil, fmt.Errorf("cannot ask OpenClaw which channels are off: it answers %s without details, as to a client that is not local", resp.Status)
	}
	return body.Suppressed, nil
}

// Revived is one account of a channel that was off.
type Revived struct {
	Channel string
	Account string // empty: the channel's default one
	Err     error  // nil: it runs
}

func (r Revived) String() string {
	if r.Account == "" || r.Account == "default" {
		return r.Channel
	}
	return r.Channel + "/" + r.Account
}

// Revive starts the accounts of the channels in off that are enabled, configured
// and not running. It goes on after one that fails; the error is for what kept it
// from going through the list.
func Revive(ctx context.Context, client *rpc.Client, off []string) ([]Revived, error) {
	accounts, err := client.Channels(ctx)
	if err != nil {
		return nil, err
	}
	var list []Revived
	for _, channel := range off {
		known := false
		for _, a := range accounts {
			if a.Channel != channel {
				continue
			}
			known = true
			if a.Enabled && a.Configured && !a.Running {
				list = append(list, Revived{Channel: channel, Account: a.ID})
			}
		}
		if !known {
			list = append(list, Revived{Channel: channel})
		}
	}
	for i := range list {
		r := &list[i]
		start, err := client.StartChannel(ctx, r.Channel, r.Account)
		switch {
		case errors.As(err, new(*rpc.NotConnectedError)), errors.As(err, new(*rpc.LostError)), errors.Is(err, rpc.ErrClosed):
			return list[:i], err
		case err != nil:
			r.Err = err
		case !start.Started:
			r.Err = fmt.Errorf("OpenClaw did not start it: %s", strings.TrimSuffix(start.Outcome.Status+": "+start.Outcome.Reason, ": "))
		}
	}
	return list, nil
}

// Reviver decides whether channels that are off are started again. It is the
// guard against the one case in which OpenClaw's breaker is right: a channel that
// brings the gateway down as soon as it runs.
//
// It counts instances in a row that brought themselves to an end within Culprit
// after creel had started their channels. After Patience of them the channels
// stay off, until an instance has lived for Amends without them.
type Reviver struct {
	started uint64 // the generation whose channels were started last; 0: none
	at      time.Time
	strikes int
}

// The Reviver's measures.
const (
	Culprit  = time.Minute
	Patience = 2
	// Amends is the time in which OpenClaw itself forgives.
	Amends = 5 * time.Minute
)

// Ended takes note of how an instance ended.
func (r *Reviver) Ended(generation uint64, at time.Time, cause string) {
	if r.started == 0 || generation < r.started {
		return
	}
	itself := slices.Contains([]string{CauseExitCode, CauseHeapExhausted, CauseOOM}, cause)
	if generation == r.started && itself && at.Sub(r.at) < Culprit {
		r.strikes++
	} else {
		r.strikes = 0
	}
	r.started = 0
}

// Allowed tells whether channels are to be started now.
func (r *Reviver) Allowed() bool { return r.strikes < Patience }

// Forgive gives it one more try.
func (r *Reviver) Forgive() { r.strikes = min(r.strikes, Patience-1) }

// Started takes note that an instance's channels were started.
func (r *Reviver) Started(generation uint64, at time.Time) { r.started, r.at = generation, at }
