package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"
)

// View is what is known of the connection at one moment.
type View struct {
	Generation uint64 // the instance that is attended; 0: none
	Connected  bool
	Hello      Hello    // of the last login to this instance; zero before
	Boots      int      // boot ids seen of this instance; more than 1: it restarted within its process
	Farewell   Farewell // what it said before it ended; zero: nothing so far
	Err        error    // why there is no connection; nil while there is one, or while the first is being made
}

// Ended tells whether the instance that is attended has ended.
func (v View) Ended() bool { return errors.Is(v.Err, errEnded) }

// Farewell is a gateway's word that it is about to end (event "shutdown").
type Farewell struct {
	Reason string // the gateway's words
	// Back is when it expects to serve again, counted from then; 0: it does not
	// mean to. OpenClaw sets it for a restart and leaves it out for a stop.
	Back time.Duration
	At   time.Time
}

// Restarts tells whether the gateway said that it means to be started again.
func (f Farewell) Restarts() bool { return f.Back > 0 }

// Said tells whether there was a word at all.
func (f Farewell) Said() bool { return !f.At.IsZero() }

// View gives what is known now.
func (c *Client) View() View { return *c.view.Load() }

// WaitFor waits until the view fulfils a condition, and returns it. Views that
// follow one another quickly may be seen as the last of them only.
func (c *Client) WaitFor(ctx context.Context, holds func(View) bool) (View, error) {
	for {
		changed := c.watch.Next()
		v := c.View()
		if holds(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-c.done:
			return c.View(), ErrClosed
		case <-ctx.Done():
			return v, context.Cause(ctx)
		}
	}
}

func (c *Client) publish() {
	v := c.now
	c.view.Store(&v)
	c.watch.Tell()
}

// note keeps what an event says of the gateway itself.
func (c *Client) note(f frame) {
	switch f.Event {
	case "shutdown":
		var p struct {
			Reason            string `json:"reason"`
			RestartExpectedMs int64  `json:"restartExpectedMs"`
		}
		if json.Unmarshal(f.Payload, &p) != nil { // of another shape: it ends all the same
			p.Reason = "gateway ends"
		}
		c.now.Farewell = Farewell{Reason: p.Reason, Back: milliseconds(p.RestartExpectedMs), At: time.Now()}
		c.publish()
	case "gateway.suspension":
		var p struct {
			Phase Phase `json:"phase"`
		}
		if json.Unmarshal(f.Payload, &p) == nil {
			c.now.Hello.Phase = p.Phase
			c.publish()
		}
	}
}

// Event is something that the gateway tells of by itself.
type Event struct {
	Name       string // such as "device.pair.requested"
	Payload    json.RawMessage
	Generation uint64
	Missed     int // events before this one that came faster than they were taken
}

// subscriber is a reader of events.
type subscriber struct {
	events chan Event
	missed int // owned by run
}

// spread gives an event to all subscribers, without waiting for any.
func (c *Client) spread(e Event) {
	for r := range c.readers {
		e.Missed = r.missed
		select {
		case r.events <- e:
			r.missed = 0
		default:
			r.missed++
		}
	}
}

// Pauses between attempts. The first is short: the usual loss is a restart within
// the process, whose port is closed for seconds, and the usual refusal tells its
// own pause.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// backoff grows by half with each attempt, with jitter of a fifth.
type backoff struct{ pause time.Duration }

func newBackoff() backoff { return backoff{firstPause} }

func (b *backoff) next() time.Duration {
	p := b.pause
	b.pause = min(p+p/2, longestPause)
	return p - time.Duration(rand.Float64()*float64(p)/5)
}
