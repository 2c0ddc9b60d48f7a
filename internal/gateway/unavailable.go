package gateway

import (
	"fmt"
	"time"
)

// Code is the stable word for why a gateway is not to be had. It stands in
// problem documents and metrics.
type Code string

// The codes of Unavailable.
const (
	CodeStopped        Code = "gateway_stopped"         // it was asked to stop
	CodeStopping       Code = "gateway_stopping"        // it is being stopped
	CodeFailed         Code = "gateway_failed_to_start" // it cannot be started
	CodeCrashLoop      Code = "crash_loop"              // it ends again and again
	CodeConfigRefused  Code = "config_refused"          // it refuses its own configuration
	CodePortTaken      Code = "port_taken"              // a stranger holds its port
	CodeRestoreFailed  Code = "restore_failed"          // its state could not be put in place
	CodeOwnedElsewhere Code = "owned_elsewhere"         // another machine runs it, or may
	CodeOwnerUnknown   Code = "owner_unknown"           // it could not be shown that no other machine runs it
	CodeHoldTimeout    Code = "hold_timeout"            // it was not ready within the request's hold time
	CodeHoldQueueFull  Code = "hold_queue_full"         // too many requests wait already
	CodeShuttingDown   Code = "creel_stopping"          // creel itself ends
)

// Unavailable says that no lease can be had, why, and when to try again. A
// request that gets it has not reached the gateway.
type Unavailable struct {
	Code       Code
	Message    string        // a sentence for strangers: no log lines, no paths
	Hint       string        // what the owner can do
	RetryAfter time.Duration // when to try again, unless Next says better
	Next       time.Time     // when the next start is due; zero: not known
	End        *End          // how the last instance ended, for those who may know; may be nil
}

func (u *Unavailable) Error() string { return u.Message }

// Wait is how long to wait before trying again: at least a second.
func (u *Unavailable) Wait(now time.Time) time.Duration {
	d := u.RetryAfter
	if !u.Next.IsZero() {
		d = u.Next.Sub(now)
	}
	return max(d, time.Second)
}

func queueFull(limit int) *Unavailable {
	return &Unavailable{
		Code:       CodeHoldQueueFull,
		Message:    fmt.Sprintf("%d requests are waiting for the gateway already", limit),
		Hint:       "Try again later, or raise proxy.hold.requests.",
		RetryAfter: 5 * time.Second,
	}
}

func shuttingDown() *Unavailable {
	return &Unavailable{Code: CodeShuttingDown, Message: "creel is stopping", Hint: "Try again in a moment.", RetryAfter: 2 * time.Second}
}

// unavailable says why the gateway is not to be had in the state that m is in.
// It returns nil where waiting makes sense.
func (m *Machine) unavailable() *Unavailable {
	switch {
	case m.State == Failed:
		return m.failure()
	case (m.State == Draining || m.State == Stopping) && m.Then == ThenYield:
		return m.elsewhere(m.Yield)
	case m.State == Stopped && m.Asked:
		return &Unavailable{Code: CodeStopped, Message: "the gateway is stopped", Hint: "Start it with `creel start`.", RetryAfter: 30 * time.Second}
	case (m.State == Restoring || m.State == Draining || m.State == Stopping) && m.Then == ThenStop && m.Asked:
		return &Unavailable{Code: CodeStopping, Message: "the gateway is being stopped", Hint: "Start it again with `creel start`.", RetryAfter: 10 * time.Second}
	}
	return nil
}

// elsewhere is for a gateway that must not run here.
func (m *Machine) elsewhere(end End) *Unavailable {
	u := &Unavailable{Code: CodeOwnedElsewhere, Message: "the gateway runs on another machine, or may", Hint: end.Hint, RetryAfter: 30 * time.Second, End: &end}
	if end.Cause == CauseOwnerUnknown {
		u.Code, u.Message = CodeOwnerUnknown, "it cannot be told whether the gateway runs on another machine, so it does not run here"
	}
	return u
}

func (m *Machine) failure() *Unavailable {
	end := m.Last
	if end.Cause.Unowned() {
		return m.elsewhere(end)
	}
	u := &Unavailable{Code: CodeFailed, Message: "the gateway cannot be started", Hint: end.Hint, RetryAfter: time.Minute, Next: m.NextStart, End: &end}
	switch {
	case end.Cause == CauseConfigRefused:
		u.Code, u.Message = CodeConfigRefused, "the gateway refuses its configuration"
	case end.Cause == CausePortTaken:
		u.Code, u.Message = CodePortTaken, "another program holds the gateway's port"
	case end.Cause == CauseRestore:
		u.Code, u.Message = CodeRestoreFailed, "the gateway's state could not be put in place, and it is not started without it"
	case !end.Permanent && end.Cause != CauseCommand && end.Cause != CauseLaunch:
		u.Code, u.Message = CodeCrashLoop, fmt.Sprintf("the gateway ended %d times running before it had answered a request", m.Fruitless)
	}
	if u.Hint == "" {
		u.Hint = "See `creel logs` and `creel events`; then `creel restart`."
	}
	return u
}
