package probe

import (
	"context"
	"errors"

	"creel/internal/config"
)

// Pulse asks whether an instance answers at all, be it to say no.
type Pulse struct {
	// Path is asked for; empty: a TCP connection has to do, which the kernel may
	// take on the instance's behalf.
	Path string
}

// PulseFromConfig asks for the path that any live app answers, else for that of
// its readiness.
func PulseFromConfig(alive config.Alive, ready config.Ready) Pulse {
	if alive.Path != "" {
		return Pulse{alive.Path}
	}
	return Pulse{ready.Path}
}

// Weak tells whether an answer may be the kernel's.
func (p Pulse) Weak() bool { return p.Path == "" }

// Ask asks once, for as long as ctx lasts. It returns the beginning of the
// answer's body; nil and a *Failure if there was no answer, Unchecked if the
// question could not be asked.
func (p Pulse) Ask(ctx context.Context, t Target) (body []byte, err error) {
	if p.Weak() {
		return nil, bounded(ctx, TCP{Timeout: forever}, t)
	}
	err = bounded(ctx, HTTP{Path: p.Path, AnyStatus: true, Timeout: forever, Keep: func(b []byte) { body = b }}, t)
	return body, err
}

// forever is longer than any context lasts that bounds a question.
const forever = 1 << 62

// bounded is Check with ctx as the only bound: its end means that there was no
// answer.
func bounded(ctx context.Context, p Probe, t Target) error {
	err := p.Check(ctx, t)
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return &Failure{Verdict: Unanswered, Seen: "it did not answer", Err: err}
	}
	return err
}
