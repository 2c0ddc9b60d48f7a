// Package replay is the pure decision whether a request may be sent again after
// an attempt at it has failed.
//
// It guarantees that a request is executed at most once unless executing it
// twice is as good as once (invariant I2). It knows nothing of connections,
// processes or time; those who do bring Evidence.
//
// The rule, and its sources:
//
//   - As long as nothing was written, nobody can have acted on the request: any
//     method may be sent again.
//   - Once the answer has begun, the client has seen it: never.
//   - In between nobody can know whether the gateway acted. RFC 9110 §9.2.2 calls
//     GET, HEAD, OPTIONS, TRACE, PUT and DELETE idempotent and lets a proxy that
//     knows of a broken connection repeat them; a POST or PATCH that carries an
//     idempotency key is as good, where the app is known to remember keys.
//
// A dead process is no excuse: what it did before it died may have had effects.
package replay

import "net/http"

// Evidence says how far an attempt got, from least to most.
type Evidence int

// The ladder.
const (
	NotDialled  Evidence = iota // no connection could be made
	Dialled                     // connected, nothing written
	HeadWritten                 // at least a byte of the head written, none of the body
	BodyPart                    // at least a byte of the body written, not all
	AllWritten                  // request written whole, no answer
	AnswerBegun                 // at least a byte of the final answer was received
)

var evidenceNames = [...]string{"not dialled", "dialled", "head written", "body partly written", "all written", "answer begun"}

func (e Evidence) String() string { return evidenceNames[e] }

// Request is what the decision needs to know of a request.
type Request struct {
	Method string
	// Keyed says that it carries an idempotency key at a route where the app
	// honours it.
	Keyed bool
	// BodyLost says that bytes of its body were taken from the client and are
	// not kept, so that it cannot be sent whole again.
	BodyLost bool
}

// Idempotent tells whether executing the request twice is as good as once
// (RFC 9110 §9.2.2).
func (r Request) Idempotent() bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	case http.MethodPost, http.MethodPatch:
		return r.Keyed
	}
	return false
}

// Verdict is the decision, with its reason.
type Verdict int

// The verdicts. All but Repeat mean: do not send it again.
const (
	Repeat   Verdict = iota
	TooLate          // the answer had begun
	NotSafe          // it may have been executed, and doing it twice is not as good as once
	BodyLost         // safe, but its body was not kept
)

var verdictNames = [...]string{"repeat", "answer_begun", "not_idempotent", "body_not_kept"}

// String gives a stable word for metrics and problem documents.
func (v Verdict) String() string { return verdictNames[v] }

// Decide says whether a request may be sent again after an attempt that failed
// with the given evidence. An answer with a 5xx status that was held back, and
// whose instance ended within the crash window, counts as AllWritten: nobody
// has seen it.
func Decide(r Request, e Evidence) Verdict {
	switch {
	case e >= AnswerBegun:
		return TooLate
	case e > Dialled && !r.Idempotent():
		return NotSafe
	case r.BodyLost:
		return BodyLost
	}
	return Repeat
}
