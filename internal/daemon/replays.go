package daemon

import (
	"fmt"
	"sync"
	"time"

	"creel/internal/event"
)

// burstTime is for how long requests that are sent again are gathered into one
// event: after a crash they come at once, by the hundred.
const burstTime = 2 * time.Second

// replays writes bursts of requests that were sent again into the journal.
type replays struct {
	journal interface{ Record(event.Event) }
	gateway string

	mu    sync.Mutex
	n     int         // since the last event
	timer *time.Timer // fires at the end of the burst; nil: there is none
	ended bool
}

// add notes one more.
func (r *replays) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if r.timer == nil && !r.ended {
		r.timer = time.AfterFunc(burstTime, r.tell)
	}
}

// tell tells of the burst. It names no generation: by now there may be the next.
func (r *replays) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = nil
	if r.n == 0 {
		return
	}
	message := fmt.Sprintf("%d requests that a crash had cut off were sent again", r.n)
	if r.n == 1 {
		message = "a request that a crash had cut off was sent again"
	}
	r.journal.Record(event.Event{Kind: event.Replayed, Gateway: r.gateway, Message: message, Fields: map[string]any{"requests": r.n}})
	r.n = 0
}

// end tells what has not been told, and no more after that.
func (r *replays) end() {
	r.mu.Lock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.tell()
}
