// Package liveness decides whether a process that does not answer hangs.
//
// It is pure: signals go in, a verdict comes out (Judge). What is known of an
// instance over time is kept by a Record, which is told what happened and when,
// on a clock that its owner advances: time in which creel itself did not run, or
// in which the instance was held still, is no time here.
//
// # What it guarantees
//
//   - Never one signal alone. That the probe goes unanswered is where suspicion
//     begins, and it needs a second sign: requests that wait without an answer, a
//     process that does nothing, or the app's own word that it is stuck.
//   - Any sign of life ends it: an answer to the probe, whatever it says, and any
//     byte of any answer, stream or WebSocket. A request that takes ten minutes
//     is no sign of anything as long as others, or the probe, get through.
//   - A process that works is busy, not hung, and has Policy.Busy instead of
//     Policy.Restart: it uses the processor, or waits for one, reads or writes, or
//     starts and ends processes, as one does that waits for a child.
//   - One that a debugger holds, or that somebody else has frozen, is left alone:
//     its owner does not advance the clock.
//
// # What was rejected
//
//   - Deciding by how long requests take. What is long, only the app knows.
//   - Counting failed probes. Their number says how often was asked; what matters
//     is for how long there was no answer.
//   - Wall-clock time, or even the monotonic clock by itself: neither knows that
//     creel was stopped, or that the whole machine stood still.
package liveness

import (
	"fmt"
	"strings"
	"time"
)

// Policy says how long silence may last.
type Policy struct {
	Suspect time.Duration // without a sign of life: suspected, if a second sign says so too
	Restart time.Duration // and idle all the while: hung
	Busy    time.Duration // and working: hung
}

// Signals are what is known at one moment.
type Signals struct {
	// Silent is for how long the probe was asked in vain and no byte came. 0: the
	// last probe was answered, or it is not known yet.
	Silent time.Duration
	// Waiting is for how long requests have been waiting of which none was
	// answered, and Requests how many they are. 0: none wait.
	Waiting  time.Duration
	Requests int
	// Idle is for how long the process was seen to do nothing. Seen: it could be
	// looked at at all.
	Idle time.Duration
	Seen bool
	// Stuck is the app's own last word, if that was that it is stuck; empty: not.
	Stuck string
}

// Verdict is what to think of an instance.
type Verdict string

// The verdicts, from best to worst.
const (
	Alive   Verdict = "alive"
	Busy    Verdict = "busy"    // it does not answer, but works; or nothing but the probe speaks against it
	Suspect Verdict = "suspect" // it does not answer, and a second sign agrees
	Hung    Verdict = "hung"    // and it has had its time
)

// Judge says what signals mean.
func Judge(s Signals, p Policy) Verdict {
	if s.Silent < p.Suspect {
		return Alive
	}
	if len(s.second(p)) == 0 {
		return Busy
	}
	limit := p.Restart
	if s.working(p) {
		limit = p.Busy
	}
	switch {
	case s.Silent >= limit:
		return Hung
	case s.working(p):
		return Busy
	}
	return Suspect
}

// working tells whether the process was seen to work of late. One that could not
// be looked at is given the benefit of the doubt.
func (s Signals) working(p Policy) bool { return !s.Seen || s.Idle < p.Suspect }

// second are the signs beside the probe.
func (s Signals) second(p Policy) []string {
	var signs []string
	if s.Requests > 0 && s.Waiting >= p.Suspect {
		signs = append(signs, fmt.Sprintf("requests have been waiting for an answer for %v (%d now)", s.Waiting.Round(time.Second), s.Requests))
	}
	if !s.working(p) {
		signs = append(signs, fmt.Sprintf("its processes have done nothing for %v", s.Idle.Round(time.Second)))
	}
	if s.Stuck != "" {
		signs = append(signs, "its own last word was "+s.Stuck)
	}
	return signs
}

// Explain puts signals in words.
func (s Signals) Explain(p Policy) string {
	text := fmt.Sprintf("it has not answered for %v", s.Silent.Round(time.Second))
	if signs := s.second(p); len(signs) > 0 {
		text += "; " + strings.Join(signs, "; ")
	}
	if s.Seen && s.working(p) {
		text += "; its processes work"
	}
	return text
}
