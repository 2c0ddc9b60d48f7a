package provider

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"creel/internal/telemetry"
)

// call is one request on its way through the proxy.
type call struct {
	p          *Proxy
	to         *Provider
	rest       string // of the path, encoded
	began      time.Time
	counted    ModelUsage // day, provider and model
	body       io.Reader  // of the request, whole
	key        telemetry.Secret
	gatewayKey telemetry.Secret
	forms      [][]byte // of the keys
	answer     *answerBody
	class      string        // of the error; empty: there was none
	firstByte  time.Duration // from the beginning; 0: there was no answer
}

// callKey is a call in a context.
type callKey struct{}

func callOf(ctx context.Context) *call { c, _ := ctx.Value(callKey{}).(*call); return c }

// takeKeys gets the provider's keys.
func (c *call) takeKeys() error {
	for _, k := range []struct {
		key *Key
		to  *telemetry.Secret
	}{{c.to.Key, &c.key}, {c.to.GatewayKey, &c.gatewayKey}} {
		if k.key == nil {
			continue
		}
		value, forms, err := k.key.get()
		if err != nil {
			return err
		}
		*k.to = value
		c.forms = append(c.forms, forms...)
	}
	return nil
}

// end counts what has come of the call.
func (c *call) end() {
	u := c.counted
	if c.firstByte > 0 {
		u.Answers, u.FirstByte, u.FirstByteMax = 1, c.firstByte, c.firstByte
	}
	class := c.class
	if a := c.answer; a != nil {
		a.finish()
		told := false
		if u.InputTokens, u.OutputTokens, told = a.meter.usage.tokens(); !told && class == "" && a.whole {
			u.Unmetered = 1
		}
		switch {
		case class != "":
		case a.err != nil && a.left():
			class = ErrCanceled
		case a.err != nil:
			class = ErrCut
		case !a.whole:
			class = ErrCanceled // the gateway has stopped reading
		case a.meter.failed:
			class = ErrServer
		}
	}
	if class != "" {
		u.Errors = map[string]int64{class: 1}
	}
	c.p.opts.Ledger.Add(u)
	c.p.metrics.ended(u, class)
}

// classOf is the class of an answer's status; empty: it is good.
func classOf(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrAuth
	case status == http.StatusTooManyRequests:
		return ErrRateLimit
	case status >= 500:
		return ErrServer
	case status >= 400:
		return ErrClient
	}
	return ""
}

// answerBody is the body of an answer on its way to the gateway: searched for keys
// before it passes, and looked at for usage afterwards.
type answerBody struct {
	masker
	body    io.ReadCloser
	request context.Context // the gateway's
	trailer http.Header     // complete when the body has ended
	meter   meter
	piece   []byte // what was passed on last
	whole   bool   // it came to its end
	err     error  // what it ended with otherwise
	done    bool
}

// Read passes a piece on. The one before was written and flushed by now.
func (a *answerBody) Read(p []byte) (int, error) {
	a.look()
	n, err := a.masker.Read(p)
	a.piece = append(a.piece[:0], p[:n]...)
	switch {
	case errors.Is(err, io.EOF):
		a.whole = true
		maskFields(a.trailer, a.forms)
	case err != nil:
		a.err = err
	}
	return n, err
}

// Close ends the answer.
func (a *answerBody) Close() error { return a.body.Close() }

// look shows the meter what was passed on. What it cannot cope with must not break
// the answer.
func (a *answerBody) look() {
	if len(a.piece) == 0 {
		return
	}
	a.meter.feed(a.piece)
	a.piece = a.piece[:0]
}

// finish is called when no more is read.
func (a *answerBody) finish() {
	if !a.done {
		a.done = true
		a.look()
		a.meter.end()
	}
}

// left tells whether the gateway has gone.
func (a *answerBody) left() bool { return a.request.Err() != nil }

// isStream tells whether an answer comes in lines.
func isStream(h http.Header) bool {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "text/event-stream", "application/x-ndjson", "application/jsonl", "application/json-lines":
		return true
	}
	return false
}

// patience cancels a call whose provider lets it wait too long for the first byte.
// The body of the request is time in which it need not answer.
type patience struct {
	limit time.Duration
	timer *time.Timer
	mu    sync.Mutex
	over  bool // the answer has begun
}

func newPatience(limit time.Duration, cancel context.CancelCauseFunc) *patience {
	return &patience{limit: limit, timer: time.AfterFunc(limit, func() { cancel(errLate) })}
}

func (p *patience) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.timer.Reset(p.limit)
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// sentBody is the body of a request while it is sent. Its end is known from its
// length, where it has one: the Transport looks for more, and would look when the
// answer has begun.
type sentBody struct {
	io.Reader
	io.Closer
	patience *patience
	left     int64 // negative: not known
}

func (b *sentBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.Reader.Read(p)
	if b.left > 0 {
		b.left = max(0, b.left-int64(n))
	}
	b.patience.renew()
	return n, err
}
