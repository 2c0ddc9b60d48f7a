package openclaw

import (
	"sync"
	"time"
)

// Phase is a step of an installation; a stable word.
type Phase string

// The phases, in order.
const (
	PhaseWait     Phase = "wait"     // for another installation
	PhaseCheck    Phase = "check"    // npm, disk
	PhaseNode     Phase = "node"     // Node.js is downloaded
	PhaseOpenClaw Phase = "openclaw" // OpenClaw is downloaded
	PhaseVerify   Phase = "verify"   // OpenClaw is run for the first time
	PhaseCommit   Phase = "commit"   // it is made durable and put into its place
	PhaseDone     Phase = "done"
	PhasePlugin   Phase = "plugin" // after that, before a start: a channel's plugin is installed
)

// Progress is how far an installation is.
type Progress struct {
	Phase   Phase
	Message string        // for a person
	Elapsed time.Duration // since the phase began
	Total   time.Duration // since the installation began
}

// heartbeat is how often a person sees that an installation goes on.
const heartbeat = time.Second

// reporter calls a progress function at each step and each heartbeat.
type reporter struct {
	fn   func(Progress)
	end  chan struct{}
	done chan struct{}

	mu    sync.Mutex // held during fn, so that calls do not overlap
	began time.Time
	now   Progress
	since time.Time // when now.Phase began
}

// startReporter starts the heartbeat. stop ends it.
func startReporter(fn func(Progress)) *reporter {
	r := &reporter{fn: fn, end: make(chan struct{}), done: make(chan struct{}), began: time.Now()}
	if fn == nil {
		close(r.done)
		return r
	}
	go r.beat()
	return r
}

func (r *reporter) beat() {
	defer close(r.done)
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-r.end:
			return
		case <-ticker.C:
			r.mu.Lock()
			if r.now.Phase != "" {
				r.tell()
			}
			r.mu.Unlock()
		}
	}
}

// step says what is being done from now on.
func (r *reporter) step(phase Phase, message string) {
	if r.fn == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if phase != r.now.Phase {
		r.since = time.Now()
	}
	r.now.Phase, r.now.Message = phase, message
	r.tell()
}

// download begins the phase of a download. The returned function says that it
// failed and is tried again.
func (r *reporter) download(phase Phase, message string) (again func(*InstallError)) {
	r.step(phase, message)
	return func(failure *InstallError) {
		r.step(phase, message+", again: "+failure.Detail)
	}
}

func (r *reporter) tell() {
	now := time.Now()
	r.now.Elapsed, r.now.Total = now.Sub(r.since), now.Sub(r.began)
	r.fn(r.now)
}

// stop ends the heartbeat; fn is not called afterwards.
func (r *reporter) stop() {
	close(r.end)
	<-r.done
}
