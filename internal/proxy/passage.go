package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"creel/internal/gateway"
	"creel/internal/replay"
	"creel/internal/telemetry"
	"creel/internal/upstream"
)

const (
	// brokenAfter is how often a living gateway may close the connection without
	// an answer before the request is given up. Once happens when an idle
	// connection is closed in the moment of its use.
	brokenAfter = 3
	// smallBody is the size in bytes up to which the body of a request that may
	// not be repeated is read before the request is sent. Then it goes out with
	// the head, in one write and without a goroutine of its own, and a client that
	// is slow to send it does not keep a connection of the gateway's meanwhile. It
	// is what usually comes from the client in one piece with the head.
	smallBody = 4 << 10
)

// passage is one request's way through the proxy.
type passage struct {
	proxy    *Proxy
	set      *settings
	w        http.ResponseWriter
	req      *http.Request
	ctl      *http.ResponseController
	out      upstream.Request
	sending  sync.WaitGroup
	body     *clientBody // nil: the request has none
	kept     *keptBody   // nil: body is not kept
	small    bool        // body is to be read first: see smallBody
	upgrade  string      // protocol that the client wants to change to
	trailers string      // fields that the client announced for after the body
	named    string      // request id that was made up

	rule    replay.Request
	until   time.Time // end of the hold time
	sent    int       // times that something may have reached an instance
	reached bool      // part of it was written to one
	crashes crashRecord
	sentAt  time.Time     // when the last attempt was sent
	paused  time.Duration // the last pause for want of descriptors
	broken  int           // times that a living instance closed the connection
	lastGen uint64
}

// failure is an attempt that brought no answer.
type failure struct {
	err      error
	evidence replay.Evidence
	ended    bool          // the instance has ended
	crashed  bool          // and nobody had asked it to
	outside  bool          // and it looks like somebody else's doing
	onTrial  bool          // the request was alone with it
	after    time.Duration // from sending to failing
}

func newPassage(p *Proxy, w http.ResponseWriter, r *http.Request) *passage {
	set := p.present.Load()
	x := &passage{proxy: p, set: set, w: w, req: r, ctl: http.NewResponseController(w)}
	x.rule = replay.Request{Method: r.Method, Keyed: set.keyed(r)}
	x.until = time.Now().Add(set.Hold.Time)
	x.out = upstream.Request{Method: r.Method, Client: x, Length: r.ContentLength, AnswerWithin: set.Timeouts.Response, Sending: &x.sending}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		x.upgrade = upgradeOf(r)
		return x
	}
	// An upgrade behind a body is not offered to the gateway: whether the bytes
	// that follow were the body's or the new protocol's would be open.
	x.trailers = announced(r.Trailer)
	x.body = &clientBody{x: x, idle: set.Timeouts.BodyIdle}
	if x.rule.Idempotent() {
		x.kept = newKeptBody(x.body, set.Replay.BodyMemory, set.Replay.BodyMax, &p.budget, p.opts.BodyDir)
	} else if x.small = 0 < r.ContentLength && r.ContentLength <= smallBody && x.trailers == ""; x.small {
		return x
	} else {
		x.out.Body = x.body // once a byte of it is out, the request is not sent again
	}
	if r.ProtoMajor == 1 {
		// Without this the server would read the body to its end before it
		// writes an answer. Where it cannot be had, that is how it stays.
		_ = x.ctl.EnableFullDuplex()
	}
	return x
}

// keyed tells whether a request carries an idempotency key at a route where the
// gateway is known to honour it.
func (s *settings) keyed(r *http.Request) bool {
	if r.Method != http.MethodPost && r.Method != http.MethodPatch {
		return false
	}
	for _, route := range s.Replay.IdempotentRoutes {
		prefix, wild := strings.CutSuffix(route.Path, "*")
		if r.URL.Path == route.Path || wild && strings.HasPrefix(r.URL.Path, prefix) {
			if r.Header.Get(route.Header) != "" {
				return true
			}
		}
	}
	return false
}

// run takes the request to its end: an answer of the gateway's, or a problem.
func (x *passage) run() {
	defer x.finish()
	switch {
	case x.req.Method == http.MethodConnect:
		x.problem(problemMethod, "CONNECT asks for a tunnel to another host", nil)
		return
	case unsound(x.req) != "":
		x.problem(problemRequest, unsound(x.req), nil)
		return
	case !soundTarget(requestTarget(x.req)):
		x.problem(problemTarget, "it is no path, or has a space or a control character in it", nil)
		return
	case !x.admitted():
		x.problem(problemProxy, "it came from "+peerAddr(x.req).String()+" with fields such as X-Forwarded-For", nil)
		return
	}
	if x.answeredInPlace() {
		x.proxy.opts.Recorder.Request(Refused)
		return
	}
	if x.upgrade != "" { // the hook may have had it wait, and not for the gateway
		x.until = time.Now().Add(x.set.Hold.Time)
	}
	if x.small && !x.readSmall() {
		return
	}
	for x.once() {
	}
}

// answeredInPlace asks the hook that may answer in the gateway's place.
func (x *passage) answeredInPlace() bool {
	answer := x.proxy.opts.Waiting
	if answer == nil {
		return false
	}
	w := x.clientWriter()
	if !w.perPipe { // the page fits into the connection's buffers
		return answer(x.w, x.req)
	}
	_ = w.before() // what has become of the stream, the hook finds out
	if answer(x.w, x.req) {
		_ = w.last() // the client may be gone: nobody is left to tell
		return true
	}
	_ = w.after() // likewise
	return false
}

// readSmall reads a small body, and answers where that fails.
func (x *passage) readSmall() bool {
	whole := make([]byte, x.req.ContentLength)
	_, err := io.ReadFull(x.body, whole)
	if err == nil && !x.body.whole() {
		// The server tells the end of a body with its last byte, or after it.
		_, err = x.body.Read(make([]byte, 1))
	}
	switch {
	case err == nil, err == io.EOF && x.body.whole():
		x.out.Whole = whole
		return true
	case x.req.Context().Err() != nil, errors.Is(err, errClientGone):
		x.left()
	default:
		x.badBody(&upstream.BodyError{Err: err})
	}
	return false
}

func (x *passage) admitted() bool {
	admit, f := x.proxy.opts.Admit, &x.set.forwarding
	return admit == nil || admit(f.client(x.req), f.claimed(x.req))
}

// once makes one attempt, and tells whether another is to follow.
func (x *passage) once() bool {
	lease, err := x.acquire()
	if err != nil {
		x.refused(err)
		return false
	}
	x.lastGen = lease.Generation()
	f := func() *failure {
		defer lease.Release() // an answer that is cut ends in a panic
		return x.attempt(&lease)
	}()
	return f != nil && x.again(f)
}

// acquire gets a lease, and measures the wait.
func (x *passage) acquire() (gateway.Lease, error) {
	begun := time.Now()
	lease, err := x.proxy.opts.Gateway.Acquire(x.req.Context(), gateway.Ask{Until: x.until, Crashes: x.crashes.n})
	if waited := time.Since(begun); waited > time.Millisecond {
		x.proxy.opts.Recorder.HeldFor(waited)
	}
	return lease, err
}

func (x *passage) decide(e replay.Evidence) replay.Verdict {
	x.rule.BodyLost = x.kept != nil && x.kept.notKept()
	return replay.Decide(x.rule, e)
}

// again decides whether to go round once more. If not, it answers.
func (x *passage) again(f *failure) bool {
	if x.req.Context().Err() != nil {
		x.left()
		return false
	}
	x.count(f)
	verdict := x.decide(f.evidence)
	switch {
	case x.answerForClient(f):
		return false
	case verdict != replay.Repeat:
		x.proxy.opts.Recorder.NotReplayable(verdict.String())
		x.lost(f, verdict)
		return false
	case x.crashes.convicted():
		x.poisoned()
		return false
	case f.evidence == replay.NotDialled && time.Now().After(x.until):
		x.refused(&gateway.Unavailable{Code: gateway.CodeHoldTimeout, Message: "no connection to the gateway could be made in time", Hint: "Try again later; the owner sees with `creel status` why.", RetryAfter: 5 * time.Second})
		return false
	case x.broken >= brokenAfter:
		x.problem(problemNoAnswer, f.err.Error(), nil)
		return false
	}
	x.proxy.log.Debug("sending a request again", "request_id", x.id(), "method", x.req.Method, "path", x.req.URL.Path,
		"evidence", f.evidence.String(), "crashes", x.crashes.n, "error", f.err)
	return true
}

// count counts what the request has gone through.
func (x *passage) count(f *failure) {
	x.reached = x.reached || f.evidence > replay.Dialled
	switch {
	case f.crashed && f.evidence > replay.Dialled:
		x.crashes.add(f)
	case !f.ended && f.evidence > replay.NotDialled:
		x.broken++
	}
}

// left deals with the end of the request's context. It ends with the client's
// connection, but also when the server cannot read the body any further: then
// the client is told what is wrong with it.
func (x *passage) left() {
	x.stopSending()
	if x.body != nil {
		if fault := x.body.fault(); fault != nil {
			x.badBody(fault)
			return
		}
	}
	x.proxy.opts.Recorder.Request(Canceled)
	x.abortClient()
}

// answerForClient answers failures that are no question of replaying: those of
// the client itself, and of a gateway that lives.
func (x *passage) answerForClient(f *failure) bool {
	var (
		client *upstream.BodyError
		bad    *upstream.BadResponseError
	)
	switch {
	case errors.Is(f.err, errNotKept):
		x.proxy.opts.Recorder.NotReplayable(replay.BodyLost.String())
		x.lost(f, replay.BodyLost)
	case errors.Is(f.err, errClientGone):
		x.left()
	case errors.As(f.err, &client):
		x.badBody(client)
	case errors.Is(f.err, upstream.ErrNoAnswer):
		x.problem(problemTimeout, "it had "+x.out.AnswerWithin.String()+", and may still be at work", nil)
	case errors.As(f.err, &bad) && !f.crashed:
		x.problem(problemBadAnswer, bad.Error(), nil)
	default:
		return false
	}
	return true
}

// id gives the request's id: the client's own if it has a sound one, else a new
// one. It is made only where it is told to somebody.
func (x *passage) id() string {
	if x.named != "" {
		return x.named
	}
	if id := x.req.Header.Get("X-Request-Id"); telemetry.ValidRequestID(id) {
		return id
	}
	x.named = telemetry.RequestID()
	return x.named
}
