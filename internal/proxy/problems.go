package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"creel/internal/gateway"
	"creel/internal/problem"
	"creel/internal/replay"
	"creel/internal/upstream"
)

// sort is what all problems with one code have in common. docs/replay.md lists
// them.
type sort struct {
	status int
	code   string
	title  string
	hint   string
}

var (
	problemMethod    = sort{http.StatusNotImplemented, "method_not_supported", "Method not supported", "creel passes on requests to its gateway only."}
	problemRequest   = sort{http.StatusBadRequest, "bad_request", "Bad request", "Send what HTTP/1 can say as well."}
	problemTarget    = sort{http.StatusBadRequest, "bad_request_target", "Bad request target", "Escape such characters."}
	problemLeaving   = sort{http.StatusServiceUnavailable, string(gateway.CodeShuttingDown), "The gateway is not available", "Try again in a moment."}
	problemProxy     = sort{http.StatusForbidden, "proxy_not_trusted", "The proxy in front of creel is not trusted", "List its address in proxy.trusted_proxies, if it sets X-Forwarded-For itself."}
	problemUpgrade   = sort{http.StatusBadGateway, "upgrade_failed", "Upgrade failed", "Use HTTP/1.1 for WebSocket."}
	problemBadBody   = sort{http.StatusBadRequest, "bad_request_body", "Bad request body", "Send the whole body, as long as announced."}
	problemSlowBody  = sort{http.StatusRequestTimeout, "request_body_timeout", "Request body too slow", "Send the body without long pauses."}
	problemTimeout   = sort{http.StatusGatewayTimeout, "response_timeout", "The gateway did not answer in time", "It may have acted on the request: look before you repeat it. The time is proxy.timeouts.response."}
	problemBadAnswer = sort{http.StatusBadGateway, "bad_response", "The gateway's answer is not valid HTTP", "See `creel logs`."}
	problemNoAnswer  = sort{http.StatusBadGateway, "no_response", "The gateway closed the connection without an answer", "It is running, but will not answer this request: see `creel logs`."}
	problemCrashed   = sort{http.StatusBadGateway, "gateway_crashed", "The gateway crashed during this request", "It may have acted on the request: look before you repeat it. Requests that carry an idempotency key at a route that honours it are repeated for you."}
	problemStopped   = sort{http.StatusBadGateway, "gateway_restarted", "The gateway was stopped during this request", "Somebody asked for that. It may have acted on the request: look before you repeat it."}
	problemNotKept   = sort{http.StatusBadGateway, "body_not_kept", "The gateway crashed, and the request's body was too large to keep", "Send it again. The limits are proxy.replay.body_max and proxy.replay.budget."}
	problemPoison    = sort{http.StatusBadGateway, "poison_request", "This request crashes the gateway", "It was tried on three instances and is not tried again. See `creel events` and `creel logs`."}
)

// problem answers with a problem document.
func (x *passage) problem(s sort, detail string, more func(*problem.Document)) {
	d := &problem.Document{
		Status: s.status, Code: s.code, Title: s.title, Detail: detail, Hint: s.hint,
		Gateway: x.proxy.opts.Name, Generation: x.lastGen, RequestID: x.id(),
	}
	if more != nil {
		more(d)
	}
	outcome := Failed
	if d.Status < 500 || d.Status == http.StatusServiceUnavailable || d.Status == http.StatusNotImplemented {
		outcome = Refused
	}
	x.proxy.opts.Recorder.Request(outcome)
	x.proxy.opts.Recorder.Problem(d.Code)
	x.proxy.log.Info("answered with a problem", "request_id", d.RequestID, "method", x.req.Method, "path", x.req.URL.Path,
		"status", d.Status, "code", d.Code, "detail", detail)
	w := x.clientWriter()
	if w.before() == nil {
		x.closeAfter(x.w.Header())
		if page := x.proxy.opts.Page; page == nil || !page(x.w, x.req, d) {
			d.Write(x.w)
		}
		_ = w.last() // the client may be gone: nobody is left to tell
	}
}

// lost answers a request that may have been executed, or cannot be sent whole
// again.
func (x *passage) lost(f *failure, v replay.Verdict) {
	s := problemCrashed
	switch {
	case v == replay.BodyLost:
		s = problemNotKept
	case f.ended && !f.crashed:
		s = problemStopped
	case !f.ended && f.evidence > replay.Dialled:
		s = problemNoAnswer
	}
	x.problem(s, f.err.Error()+" (how far the request got: "+f.evidence.String()+")", nil)
}

func (x *passage) badBody(e *upstream.BodyError) {
	s := problemBadBody
	var large *http.MaxBytesError
	switch {
	case errors.Is(e, errSlowBody):
		s = problemSlowBody
	case errors.As(e, &large):
		s.status, s.code = http.StatusRequestEntityTooLarge, "request_body_too_large"
	}
	x.problem(s, e.Error(), nil) // finish sees to it that the connection is closed
}

// refused answers a request that got no lease. One that may be sent again may have been
// sent before, and executed.
func (x *passage) refused(err error) {
	var u *gateway.Unavailable
	unavailable := func(s sort, detail string, wait time.Duration) {
		if x.reached {
			detail += "; before that it was sent to an instance, and may have been executed"
		}
		x.problem(s, detail, func(d *problem.Document) { d.RetryAfter, d.Sent = wait, x.reached })
	}
	switch {
	case errors.As(err, &u):
		s := sort{http.StatusServiceUnavailable, string(u.Code), "The gateway is not available", u.Hint}
		unavailable(s, u.Message, u.Wait(time.Now()))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), x.req.Context().Err() != nil:
		x.left()
	default:
		s := sort{http.StatusServiceUnavailable, "unavailable", "The gateway is not available", "Try again in a moment."}
		unavailable(s, err.Error(), time.Second)
	}
}
