package gateway

import (
	"slices"
	"time"
)

// Machine is the pure part of a supervisor: what is known of a gateway, and by
// the rules below what follows from an event. It has no clock, no randomness
// and no input or output; events bring the time and the dice.
type Machine struct {
	Policy Policy

	State      State
	Since      time.Time // when State was entered
	Epoch      uint64    // grows with each change of state; results of an older epoch are dropped
	Generation uint64    // number of the present or last instance
	Begun      uint64    // highest number ever given to a launch; no number is given twice
	Asked      bool      // someone asked for it to be stopped, and demand alone must not start it
	Launched   bool      // Starting: the command runs
	WasReady   bool      // the present instance has been ready
	Shared     bool      // the present instance was found, and a creel that drains may have requests with it
	Renewed    bool      // the configuration changed after the present launch began
	Killing    bool      // Stopping: a Kill is under way
	Then       Then      // Draining, Stopping: what follows
	Yield      End       // Then is ThenYield: why it must not run here
	Fruitless  int       // instances in a row that ended before they answered a request
	Hasty      int       // instances in a row that meant to end, soon after they were ready
	Silent     bool      // Suspect: it fell silent; else it refused a connection
	Suspicion  string    // Suspect: why, in words
	Last       End       // how the last instance ended
	NextStart  time.Time // Backoff, Failed: when the next start is due; zero: never
}

// Next takes an event and says what is to be done. It reports false, and
// changes nothing, if the event is stale or of no consequence in this state.
func (m *Machine) Next(e Event) ([]Effect, bool) {
	if m.stale(e) {
		return nil, false
	}
	i := m.fitting(e)
	if i < 0 {
		return nil, false
	}
	r := rules[i]
	if r.to != m.State {
		m.Epoch++
		m.Since = e.At
		m.State = r.to
		m.NextStart = time.Time{}
	}
	return r.do(m, e), true
}

// fitting is the index of the first rule that fits, or -1.
func (m *Machine) fitting(e Event) int {
	return slices.IndexFunc(rules, func(r rule) bool {
		return r.from == m.State && r.on == e.Kind && (r.when.holds == nil || r.when.holds(m, e))
	})
}

// stale tells whether an event belongs to the past: another instance, or a
// wait that was begun in another state (I3).
func (m *Machine) stale(e Event) bool {
	switch e.Kind {
	case RestoreBegun, RestoreEnded, Launched, LaunchFailed, Reported, Exited, Gone, NotGone:
		return e.Generation != m.Generation
	case Silent, Answered, Unanswered, Drained, TimeUp:
		return e.Epoch != m.Epoch
	case Found, FoundDead, Demand, LeaseLost, LeaseHeld, AskStart, AskStop, AskRestart, ConfigNew:
		return false
	}
	return true
}

// pauseAfter is how long to wait before the next start, once e is counted in.
func (m *Machine) pauseAfter(e Event) time.Duration {
	return max(m.Policy.Pause(m.fruitlessAfter(e), e.Roll), m.Policy.Pause(m.Hasty, e.Roll))
}

// fruitlessAfter is the count of fruitless instances in a row once e, a failed
// launch, is counted in; ends of running instances are counted by lost.
func (m *Machine) fruitlessAfter(e Event) int {
	if e.Kind == LaunchFailed {
		return m.Fruitless + 1
	}
	return m.Fruitless
}
