package daemon

import "sync"

// remains is what goes on beside serve and has to end before it does: what is left of
// engines that were left, and what clients have set going. A WaitGroup alone does not do:
// a WebSocket that does not close in time may still begin something when serve waits
// already.
type remains struct {
	mu      sync.Mutex // held while one begins
	over    bool
	running sync.WaitGroup
}

// Go has f run in a goroutine, unless Wait was called. f must have an end.
func (r *remains) Go(f func()) (begun bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.running.Go(f)
	return true
}

// Wait waits for all that was begun. Nothing is any more.
func (r *remains) Wait() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.running.Wait()
}
