package rpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Codes of Error, as OpenClaw 2026.9.6 gives them.
const (
	CodeInvalidRequest = "INVALID_REQUEST" // unknown method, unknown id, wrong parameters
	CodeUnavailable    = "UNAVAILABLE"     // not now: starting, suspended, rate limited
	CodeForbidden      = "FORBIDDEN"       // a scope is missing
)

// Reasons of Error with CodeUnavailable.
const (
	ReasonStarting           = "startup-sidecars"            // connect: its sidecars are not up yet
	ReasonSuspending         = "gateway-suspending"          // suspended: nothing but gateway.suspend.* is answered
	ReasonSuspensionConflict = "gateway-suspension-conflict" // somebody else holds the lease
)

// Error is the gateway's refusal of a call.
type Error struct {
	Method     string
	Code       string // a stable word of the gateway's, such as CodeUnavailable
	Reason     string // a finer one, from its details; may be empty
	Message    string // the gateway's sentence
	Retryable  bool   // the same call may succeed later
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	s := fmt.Sprintf("OpenClaw refuses %s: %s (%s)", e.Method, e.Message, e.Code)
	if e.Retryable && e.RetryAfter > 0 {
		s += fmt.Sprintf("; try again in %v", e.RetryAfter)
	}
	return s
}

func refusal(method string, w *wireError) *Error {
	e := &Error{Method: method, Code: w.Code, Message: w.Message, Retryable: w.Retryable, RetryAfter: milliseconds(w.RetryAfterMs)}
	var details struct{ Reason, Code string }
	if json.Unmarshal(w.Details, &details) == nil { // else it has none, or of another shape
		e.Reason = details.Reason
		if e.Reason == "" {
			e.Reason = details.Code
		}
	}
	return e
}

// NotConnectedError says that there is no connection to call on.
type NotConnectedError struct {
	Generation uint64 // the instance that is tried; 0: none is to be talked to
	Err        error  // why the last attempt failed; nil: the first one is under way, or there is none
}

func (e *NotConnectedError) Error() string {
	switch {
	case e.Generation == 0:
		return "no OpenClaw runs that could be asked"
	case e.Err == nil:
		return "creel is connecting to OpenClaw"
	default:
		return "creel is not connected to OpenClaw: " + e.Err.Error()
	}
}

func (e *NotConnectedError) Unwrap() error { return e.Err }

// LostError says that the connection ended, or that time ran out, before the
// gateway had answered: it may or may not have done what was asked.
type LostError struct {
	Method string
	Err    error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("OpenClaw did not answer %s; it may have done it nevertheless: %v", e.Method, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// BusyError says that too many calls are under way, or that the gateway does not
// take them off the connection.
type BusyError struct{ Method string }

func (e *BusyError) Error() string {
	return "cannot ask OpenClaw for " + e.Method + ": too many calls wait already; try again in a second"
}

// ScopeError says that the gateway let creel in and gave it nothing to do, as it
// does with clients that it does not take for local.
type ScopeError struct{ Granted []string }

func (e *ScopeError) Error() string {
	return fmt.Sprintf("OpenClaw does not take creel for a local client (scopes granted: %v); something on this machine stands between creel and the gateway's port", e.Granted)
}

// ErrClosed is returned once the client is closed.
var ErrClosed = errors.New("creel no longer talks to OpenClaw: creel is stopping")
