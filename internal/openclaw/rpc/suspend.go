package rpc

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Phase is the state of a gateway's suspension.
type Phase string

// The phases.
const (
	PhaseAccepting Phase = "accepting" // not suspended
	PhasePreparing Phase = "preparing"
	PhaseDraining  Phase = "draining" // no new work; what is under way goes on
	PhasePrepared  Phase = "prepared" // no work at all
)

// Status words of a suspension.
const (
	suspendReady    = "ready"
	suspendDraining = "draining"
	suspendRunning  = "running" // there is none
)

// Blocker is a kind of work that stands in the way of a suspension.
type Blocker struct {
	Kind    string `json:"kind"` // such as "embedded-run"
	Count   int    `json:"count"`
	Message string `json:"message"`
}

// Suspension is the gateway's answer about a lease.
type Suspension struct {
	Status       string    `json:"status"`
	ID           string    `json:"suspensionId"`
	ExpiresAt    Millis    `json:"expiresAtMs"` // two minutes after the last prepare
	Active       int       `json:"activeCount"`
	Blockers     []Blocker `json:"blockers"`
	RetryAfterMs int64     `json:"retryAfterMs"`
}

// suspendParams are what a lease is made with. Asking again with the same ones
// renews it and tells its id; the same RequestID with others is a conflict.
type suspendParams struct {
	RequestID      string `json:"requestId"`
	Drain          bool   `json:"drain,omitempty"`
	TerminalPolicy string `json:"terminalPolicy,omitempty"`
}

// stopLease is the lease that creel makes. Its name is fixed, so that a creel that
// finds one which an earlier creel has left behind can end it. Open terminals do not
// outlive a stop anyhow.
var stopLease = suspendParams{RequestID: "creel-stop", Drain: true, TerminalPolicy: "terminate"}

func (c *Client) prepare(ctx context.Context, p suspendParams) (Suspension, error) {
	var s Suspension
	err := c.Call(ctx, "gateway.suspend.prepare", p, &s)
	return s, err
}

type suspensionRef struct {
	ID string `json:"suspensionId"`
}

// status asks for a lease of ours; its answer does not tell the id again.
func (c *Client) suspension(ctx context.Context, id string) (Suspension, error) {
	var s Suspension
	err := c.Call(ctx, "gateway.suspend.status", suspensionRef{id}, &s)
	s.ID = id
	return s, err
}

func (c *Client) resume(ctx context.Context, id string) error {
	return c.Call(ctx, "gateway.suspend.resume", suspensionRef{id}, nil)
}

// WorkError says that the gateway's work did not end in time.
type WorkError struct {
	After    time.Duration
	Blockers []Blocker
}

func (e *WorkError) Error() string {
	return fmt.Sprintf("OpenClaw was still at work after %v: %s", e.After.Round(time.Millisecond), InWords(e.Blockers))
}

// InWords lists what is under way, in the gateway's words.
func InWords(blockers []Blocker) string {
	if len(blockers) == 0 {
		return "it does not say at what"
	}
	words := make([]string, len(blockers))
	for i, b := range blockers {
		if words[i] = b.Message; words[i] == "" {
			words[i] = fmt.Sprintf("%d %s", b.Count, b.Kind)
		}
	}
	return strings.Join(words, ", ")
}

const (
	// drainPoll is how often a drain is looked at. The gateway proposes 20 s, made
	// for turns of minutes; a look costs it a millisecond.
	drainPoll = 250 * time.Millisecond
	// drainRenew is how often its lease is renewed, which runs out after two minutes;
	// looking does not renew it, and of renewals 30 a minute are allowed.
	drainRenew = 30 * time.Second
)

// Drain closes the gateway to new work for a stop that follows, and waits until
// what is under way has ended, or ctx. nil: nothing is under way any more, and what
// was at the beginning is told. *WorkError: ctx ended first; the gateway stays closed
// all the same, until it is stopped or the lease has run out (two minutes).
func (c *Client) Drain(ctx context.Context) (was []Blocker, err error) {
	began := time.Now()
	c.draining.Store(true)
	s, err := c.prepare(ctx, stopLease)
	was = s.Blockers
	renewed := began
	for err == nil && s.Status == suspendDraining {
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return was, &WorkError{time.Since(began), s.Blockers}
		}
		blockers := s.Blockers
		if time.Since(renewed) >= c.drainRenew {
			renewed = time.Now()
			s, err = c.prepare(ctx, stopLease)
		} else {
			s, err = c.suspension(ctx, s.ID)
		}
		if err != nil && ctx.Err() != nil {
			return was, &WorkError{time.Since(began), blockers}
		}
	}
	if err == nil && s.Status != suspendReady {
		err = fmt.Errorf("cannot let OpenClaw's work end: its suspension is %q", s.Status)
	}
	return was, err
}
