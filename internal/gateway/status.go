package gateway

import (
	"context"
	"fmt"
	"time"

	"creel/internal/runtime"
)

// Status is what is known of a gateway at one moment.
type Status struct {
	Name       string    `json:"gateway"`
	State      State     `json:"state"`
	Reason     string    `json:"reason"` // the state in words, and why
	Since      time.Time `json:"since"`
	Generation uint64    `json:"generation"`
	PID        int       `json:"pid,omitempty"`     // main process; 0: none runs
	Addr       string    `json:"address,omitempty"` // where it serves
	StartedAt  time.Time `json:"started_at,omitzero"`
	Adopted    bool      `json:"adopted,omitempty"`     // taken over from an earlier creel
	ConfigHash string    `json:"config_hash,omitempty"` // of the configuration that it runs with
	Restarts   uint64    `json:"restarts"`              // instances that ended by themselves since creel started
	Fruitless  int       `json:"fruitless"`             // in a row
	NextStart  time.Time `json:"next_start,omitzero"`
	LastEnd    *End      `json:"last_end,omitempty"`
	StopAsked  bool      `json:"stop_asked,omitempty"`
	// Strays run in the gateway's name beside the instance that is recorded.
	Strays []runtime.Stray `json:"strays,omitempty"`
	// UsualStart is how long the last start took; 0: not known yet.
	UsualStart time.Duration `json:"usual_start_ns,omitempty"`

	certain bool // a look for an instance has succeeded, and what it found is told here
	runs    bool // there is an instance, of number Generation
}

// Ready tells whether requests are passed on.
func (st Status) Ready() bool { return st.State == Ready }

// Status gives the present status.
func (s *Supervisor) Status() Status {
	st := *s.status.Load()
	st.Strays = s.presentStrays()
	return st
}

// Held is how many requests wait.
func (s *Supervisor) Held() int { return s.broker.held() }

// WaitFor waits until the status fulfils a condition, and returns it. Statuses
// that follow one another quickly may be seen as the last of them only.
func (s *Supervisor) WaitFor(ctx context.Context, holds func(Status) bool) (Status, error) {
	for {
		changed := s.watch.Next()
		st := s.Status()
		if holds(st) {
			return st, nil
		}
		select {
		case <-changed:
		case <-s.done:
			return s.Status(), errClosed
		case <-ctx.Done():
			return st, context.Cause(ctx)
		}
	}
}

// publish makes the present status known.
func (s *Supervisor) publish() {
	m := &s.machine
	st := &Status{
		Name: s.opts.Name, State: m.State, Since: m.Since, Generation: m.Generation, Adopted: s.adopted,
		Restarts: s.restarts, Fruitless: m.Fruitless, NextStart: m.NextStart, StopAsked: m.Asked, UsualStart: s.spent,
		certain: s.certain.Load(),
	}
	if m.Last.Cause != "" {
		last := m.Last
		st.LastEnd = &last
	}
	if inst := s.running(); inst != nil {
		r := inst.Record()
		st.runs = true
		st.PID, st.Addr, st.StartedAt, st.ConfigHash = r.PID, inst.Addr(), r.StartedAt, r.ConfigHash
	}
	st.Reason = m.reason()
	if m.State == Stopping && s.notGone != "" {
		st.Reason += "; something of it could not be ended or cleared away, and is tried again: " + s.notGone
	}
	s.status.Store(st)
	s.opts.Recorder.State(string(m.State))
	s.opts.Recorder.Generation(m.Generation)
	s.watch.Tell()
}

// reason puts the state in words.
func (m *Machine) reason() string {
	last := ""
	if m.Last.Message != "" && m.Last.Cause != CauseAsked {
		last = fmt.Sprintf(" (generation %d: %s)", m.Last.Generation, m.Last.Message)
	}
	switch m.State {
	case Stopped:
		if m.Asked {
			return "stopped because it was asked to"
		}
		return "nobody has asked for it yet"
	case Starting:
		if !m.Launched {
			return "being launched" + last
		}
		return "running, but not ready yet" + last
	case Restoring:
		return "its state is being put in place" + last
	case Ready:
		return "ready"
	case Suspect:
		return "suspected, and watched: " + m.Suspicion
	case Draining:
		if m.Then == ThenYield {
			return "requests under way may end, then it stops: " + m.Yield.Message
		}
		return "requests under way may end, then it stops"
	case Stopping:
		return "being cleared away" + last
	case Backoff:
		return "waiting before the next start" + last
	case Failed:
		if m.Last.Cause.Unowned() {
			return "it must not run here: " + m.Last.Message
		}
		if m.Last.Permanent {
			return "given up, since starting it again cannot help" + last
		}
		return fmt.Sprintf("given up after %d fruitless starts%s", m.Fruitless, last)
	}
	return string(m.State)
}

// holdTimeout is what a request gets whose hold time is over.
func (s *Supervisor) holdTimeout() *Unavailable {
	st := s.Status()
	return &Unavailable{
		Code:       CodeHoldTimeout,
		Message:    fmt.Sprintf("the gateway did not get ready in time; it is %s", st.State),
		Hint:       "Try again later; the owner sees with `creel status` why.",
		RetryAfter: max(5*time.Second, st.UsualStart),
		Next:       st.NextStart,
		End:        st.LastEnd,
	}
}
