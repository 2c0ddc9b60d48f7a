package provider

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/event"
	"creel/internal/telemetry"
)

// Options are what a Proxy needs.
type Options struct {
	Gateway    string // its name, for the journal
	Providers  []*Provider
	Budgets    []Budget
	Credential telemetry.Secret // the gateway's
	Ledger     *Ledger
	FirstByte  time.Duration
	Journal    Journal // may be nil
	Logger     *slog.Logger
	TLS        *tls.Config // towards providers; nil: the system's trust
}

// Journal takes events.
type Journal interface{ Record(event.Event) }

// Proxy is the handler of the gateway's requests to model providers. Its methods
// may be called from any goroutine.
type Proxy struct {
	opts       Options
	byName     map[string]*Provider
	credential [sha256.Size]byte
	budgets    atomic.Pointer[[]Budget]
	reverse    *httputil.ReverseProxy
	transport  *http.Transport
	metrics    *metrics
}

// The bounds of getting a connection.
const (
	dialTime = 10 * time.Second
	tlsTime  = 10 * time.Second
	// idleTime is how long a connection is kept for the next request: shorter than
	// common servers keep theirs, so that none is met while it is closed.
	idleTime = 30 * time.Second
	// pingAfter is how long nothing may come over an HTTP/2 connection before its
	// peer is asked whether it lives, and pingTime how long that may take. TCP's own
	// keep-alive (15 s) does the same for HTTP/1.1.
	pingAfter = 30 * time.Second
	pingTime  = 15 * time.Second
	// maxUnread is how much net/http's server reads of a request that was answered, to
	// use its connection again.
	maxUnread = 256 << 10
	// maxAnswerHead is the largest head of an answer.
	maxAnswerHead = 256 << 10
)

// The reasons for which a call is canceled.
var (
	errLate = errors.New("the first byte of the answer did not come in time")
	errLeft = errors.New("the gateway has gone")
)

// New makes a Proxy.
func New(o Options) *Proxy {
	p := &Proxy{opts: o, byName: map[string]*Provider{}, credential: sha256.Sum256([]byte(o.Credential.Reveal())), metrics: newMetrics()}
	for _, to := range o.Providers {
		p.byName[to.Name] = to
	}
	p.SetBudgets(o.Budgets)
	p.transport = &http.Transport{
		Proxy: proxyFor, DialContext: (&net.Dialer{Timeout: dialTime}).DialContext, TLSClientConfig: o.TLS, TLSHandshakeTimeout: tlsTime,
		ForceAttemptHTTP2: true, DisableCompression: true, IdleConnTimeout: idleTime, MaxIdleConnsPerHost: 8,
		MaxResponseHeaderBytes: maxAnswerHead, HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: roundTripper{p}, ModifyResponse: p.receive, ErrorHandler: p.fail, FlushInterval: -1,
		BufferPool: &buffers, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return p
}

// proxyFor is the proxy of the environment, for TLS alone: it sees no more than the
// provider's name then.
func proxyFor(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// Close ends connections that are kept for later.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

// SetBudgets sets the budgets that count from now on.
func (p *Proxy) SetBudgets(list []Budget) {
	list = slices.Clone(list)
	p.budgets.Store(&list)
}

// ServeHTTP passes a request on, or refuses it.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := OpenAI
	to, rest, no := p.route(r)
	if to != nil {
		api = to.API
	}
	target, said := r.RequestURI, []string(nil)
	if api == Google {
		r.URL.RawQuery, said = cutKeys(r.URL.RawQuery)
		target = r.URL.RequestURI()
	}
	switch {
	case !p.knows(r.Header, said):
		no = refuse(http.StatusUnauthorized, "bad_credential", "this is not the credential that the gateway was given; creel has written it into the gateway's configuration, as apiKey of the provider")
	case no == nil && p.holdsCredential(target):
		no = refuse(http.StatusBadRequest, "credential_in_url", "the credential does not belong into the URL")
	}
	if no != nil {
		p.metrics.refused(no.code)
		no.write(w, api)
		return
	}
	c := &call{p: p, to: to, rest: rest, began: time.Now()}
	if no := c.begin(r); no != nil {
		if no.err != nil {
			p.opts.Logger.Error("a request to a model provider was refused", "provider", to.Name, "error", no.err)
		}
		no.write(w, api)
		return
	}
	p.pass(w, r, c)
	// What is left of the request's body is read, or given up, here: net/http's server
	// would do so after it has made the connection ready for the next request, find its
	// end, begin to wait for that request a second time, and panic, since there are two
	// who read (seen with Go 1.26: "invalid concurrent Body.Read call"). The answer is
	// out by then: a client that does not end its request waits for nothing.
	_ = http.NewResponseController(w).Flush() // the gateway may be gone
	_ = r.Body.Close()                        // likewise
}

// pass passes a request on.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, c *call) {
	defer c.end()
	p.metrics.inflight.Add(1)
	defer p.metrics.inflight.Add(-1)
	// Without it net/http's server closes the body of the request when the answer
	// begins, be it whole or not; whoever still reads it, if only to find its end, gets
	// an error, and the Transport would take that for a reason to cut the answer.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		p.opts.Logger.Debug("an answer may end with the request's body", "error", err)
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// begin finds out what a request is for, and counts it.
func (c *call) begin(r *http.Request) *refusal {
	if err := c.takeKeys(); err != nil {
		no := refuse(http.StatusServiceUnavailable, "no_key", "the key for "+c.to.Name+" cannot be used; see creel's log and `creel providers`")
		no.err, no.class = err, ErrKey
		c.p.opts.Ledger.Add(ModelUsage{Day: c.p.opts.Ledger.now().Format(dayForm), Provider: c.to.Name, Errors: map[string]int64{ErrKey: 1}})
		c.p.metrics.ended(ModelUsage{Provider: c.to.Name}, ErrKey)
		return no
	}
	budgets := *c.p.budgets.Load()
	model, no := c.findModel(r, budgets)
	if no != nil {
		return no
	}
	counted, over, no, first := c.p.opts.Ledger.Begin(c.to.Name, model, budgets, func(m string) bool {
		return m == "" || slices.Contains(c.to.Models, m) || slices.ContainsFunc(budgets, func(b Budget) bool { return b.Model == m })
	})
	c.counted = counted
	if no == nil {
		return nil
	}
	c.p.metrics.ended(ModelUsage{Provider: counted.Provider, Model: counted.Model}, ErrBudget)
	if first && c.p.opts.Journal != nil {
		c.p.opts.Journal.Record(event.Event{Kind: event.BudgetExceeded, Gateway: c.p.opts.Gateway, Cause: "budget",
			Message: no.message, Fields: map[string]any{"provider": c.to.Name, "model": model, "budget": over.String(), "max_requests": over.Requests, "max_tokens": over.Tokens}})
	}
	return no
}

// findModel is the model that a request is for; empty: it is for none that can be known.
func (c *call) findModel(r *http.Request, budgets []Budget) (string, *refusal) {
	if c.to.API == Google {
		if model := googleModel(c.rest); model != "" {
			c.body = r.Body
			return model, nil
		}
	}
	model, body, read := requestedModel(r)
	if c.body = body; c.to.API == Google {
		model = bareModel(model)
	}
	return model, c.checkModel(r, model, read, budgets)
}

// checkModel refuses what does not say plainly which model it is for, where a model
// has a budget. read is what is known of the body; the rest is looked at while it is
// sent.
func (c *call) checkModel(r *http.Request, model string, read []byte, budgets []Budget) *refusal {
	switch {
	case r.Method != http.MethodPost && !hasBody(r), !slices.ContainsFunc(budgets, func(b Budget) bool { return b.Model != "" && (b.Provider == "" || b.Provider == c.to.Name) }):
	case model != "" && !(&guard{}).passes(read):
		return errTwoModels.refusal
	case model != "":
		c.body = &guard{from: c.body}
	case !c.modelless():
		return refuse(http.StatusBadRequest, "model_unknown", "there is a budget for a model, and the request does not say in its first MiB, in JSON, which model it is for")
	}
	return nil
}

// modelless tells whether a request is for no model, as far as its path shows.
func (c *call) modelless() bool {
	return strings.HasSuffix(c.rest, "/api/show") || c.to.API == Google && strings.HasPrefix(c.rest, "/upload/")
}

// rewrite makes the request for the provider.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	c := callOf(pr.In.Context())
	out := pr.Out
	out.URL = c.to.target(c.rest, pr.In.URL.RawQuery)
	out.Host = c.to.Base.Host
	p.cleanFields(out.Header)
	c.setKeys(out.Header)
	if out.Body != nil && out.Body != http.NoBody {
		out.Body = struct {
			io.Reader
			io.Closer
		}{c.body, out.Body}
	}
	out.GetBody, out.Trailer = nil, nil // nothing is sent again, and nothing unsearched
}

// roundTripper makes one call.
type roundTripper struct{ p *Proxy }

// RoundTrip sends a request, and waits for the head of its answer within bounds.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	// A context of its own: that of the request has a trace which would pass on
	// informational answers (1xx) unsearched.
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := context.AfterFunc(r.Context(), func() { cancel(errLeft) })
	patient := newPatience(t.p.opts.FirstByte, cancel)
	out := r.WithContext(ctx)
	if out.Body != nil && out.Body != http.NoBody {
		out.Body = &sentBody{Reader: out.Body, Closer: out.Body, patience: patient, left: out.ContentLength}
	}
	resp, err := t.p.transport.RoundTrip(out)
	patient.end()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		stop()
		cancel(err)
		return nil, err
	}
	resp.Request = r
	resp.Body = &callBody{resp.Body, func() {
		stop()
		cancel(errLeft)
	}}
	return resp, nil
}

// callBody ends the call's context with the body.
type callBody struct {
	io.ReadCloser
	end func()
}

func (b *callBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// answerError says why an answer is not passed on.
type answerError struct{ *refusal }

func (e answerError) Error() string { return e.message }

// receive looks at the head of an answer, and prepares its body.
func (p *Proxy) receive(resp *http.Response) error {
	c := callOf(resp.Request.Context())
	c.firstByte = max(time.Since(c.began), 1)
	c.class = classOf(resp.StatusCode)
	switch location := resp.Header.Get("Location"); {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		c.class = ErrServer
		return answerError{refuse(http.StatusBadGateway, "upgrade_refused", c.to.Name+" changes the protocol without having been asked to")}
	case resp.StatusCode >= 300 && resp.StatusCode < 400 && location != "":
		c.class = ErrServer
		return answerError{refuse(http.StatusBadGateway, "redirect_refused", c.to.Name+" redirects elsewhere, and a key does not follow; set its base_url to where it is now")}
	}
	body, err := decoded(resp)
	if err != nil {
		c.class = ErrServer
		return answerError{refuse(http.StatusBadGateway, "encoding_refused", c.to.Name+" "+err.Error())}
	}
	maskFields(resp.Header, c.forms)
	resp.Header.Del("Alt-Svc") // it would have a client look elsewhere
	c.answer = &answerBody{masker: masker{from: body, forms: c.forms}, body: resp.Body, request: resp.Request.Context(), trailer: resp.Trailer, meter: meter{lines: isStream(resp.Header)}}
	resp.Body = c.answer
	return nil
}

// decoded is the body without its encoding, which was not asked for.
func decoded(resp *http.Response) (io.Reader, error) {
	switch encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		if resp.Request.Method == http.MethodHead || resp.ContentLength == 0 {
			return resp.Body, nil
		}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		return &lateGzip{from: resp.Body}, nil
	default:
		return nil, fmt.Errorf("has answered in the encoding %s, in which a key could not be found, though none was asked for", clip(encoding))
	}
}

// lateGzip is a gzip.Reader that reads its header with the first byte.
type lateGzip struct {
	from io.Reader
	z    *gzip.Reader
}

func (g *lateGzip) Read(p []byte) (n int, err error) {
	if g.z == nil {
		if g.z, err = gzip.NewReader(g.from); err != nil {
			return 0, err
		}
	}
	return g.z.Read(p)
}

// fail answers in the provider's place.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r.Context())
	var refused answerError
	no := &refusal{status: http.StatusBadGateway, code: "provider_unreachable"}
	switch {
	case errors.As(err, &refused):
		no = refused.refusal
		if c.class == "" { // the request was at fault, not the answer
			c.class = ErrClient
		}
	case errors.Is(err, errLeft), r.Context().Err() != nil:
		c.class = ErrCanceled
		panic(http.ErrAbortHandler) // nobody is left to be told
	case errors.Is(err, errLate):
		c.class = ErrNetwork
		no.status, no.code = http.StatusGatewayTimeout, "provider_timeout"
		no.message = fmt.Sprintf("%s has not begun to answer for %v", c.to.Name, p.opts.FirstByte)
	default:
		c.class = ErrNetwork
		no.message = c.to.Name + " cannot be reached: " + telemetry.Redact(err.Error())
	}
	if r.ContentLength < 0 || r.ContentLength > maxUnread {
		w.Header().Set("Connection", "close") // net/http's server will not read that much for nothing
	}
	p.opts.Logger.Warn("a model provider did not answer", "provider", c.to.Name, "model", c.counted.Model, "error", no.message)
	no.write(w, c.to.API)
}

// buffers are those that answers are copied through.
var buffers = bufferPool{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}}

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *bufferPool) Put(p []byte) { b.pool.Put(&p) }
