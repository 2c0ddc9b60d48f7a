// Package proxy passes HTTP and WebSocket on to a gateway that may crash.
//
// It guarantees (invariant I2): a request whose gateway dies is held until the
// gateway is back, within its hold time, and then sent again if package replay
// says that it may be; otherwise the client gets a problem document that says
// truthfully what is known. An answer that has begun is never mended: the
// client's connection is aborted, so that a part cannot pass for the whole. No
// request is executed twice unless that is as good as once.
//
// It refuses: CONNECT, upgrades over HTTP/2, requests beyond the hold limits.
//
// A request's way is a passage: Acquire a lease, one attempt on the lease's
// instance, and on failure the decision whether to go round again. Bodies
// stream at once; those that may be needed again are kept on the way.
// Rejected: httputil.ReverseProxy on http.Transport, since the Transport repeats
// some requests by itself and does not say exactly how far one got (see package
// upstream); buffering before the first attempt; retry counts in place of a
// hold time.
package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/problem"
	"creel/internal/telemetry"
)

// Gateway gives leases on the instance that a request is for.
type Gateway interface {
	Acquire(ctx context.Context, ask gateway.Ask) (gateway.Lease, error)
}

// Outcome is how a request ended, for the client.
type Outcome = telemetry.Outcome

// The outcomes, as telemetry describes them.
const (
	Forwarded = telemetry.Forwarded
	Replayed  = telemetry.Replayed
	Failed    = telemetry.Failed
	Refused   = telemetry.Refused
	Canceled  = telemetry.Canceled
)

// Recorder takes measurements. It is called on the hot path.
type Recorder interface {
	Request(Outcome)
	Problem(code string)
	HeldFor(d time.Duration)
	Replay()
	NotReplayable(reason string)
	KeptBytes(delta int64)
	InFlight(delta int)
	WebSockets(delta int)
}

// Journal takes events.
type Journal interface{ Record(event.Event) }

// Options are what a Proxy needs. Name and Gateway must be set.
type Options struct {
	Name    string
	Gateway Gateway
	Config  config.Proxy
	// Attribute tells whether the gateway is told of a client at that address;
	// nil: as Config.ForwardedHeaders says.
	Attribute func(client netip.Addr) bool
	// Admit tells whether a request may pass at all: client is the address that it
	// came from; claimed says that its sender, who is not trusted to, speaks for
	// others in forwarding fields. nil: all may.
	Admit func(client netip.Addr, claimed bool) bool
	// Waiting, if not nil, may answer a browser's request for a page in place of
	// letting it wait; it returns false where it does not. A handshake it may let wait
	// for something of its own; the time to wait for the gateway begins afterwards.
	Waiting func(w http.ResponseWriter, r *http.Request) bool
	// Page, if not nil, may answer with a page in place of a problem document; it
	// returns false where it does not.
	Page func(w http.ResponseWriter, r *http.Request, d *problem.Document) bool
	// Watch, if not nil, has end called when the client of an upgraded connection may
	// no longer have it; forget is called when that has ended. ctx is the request's.
	Watch func(ctx context.Context, end func()) (forget func())
	// OwnCookie, if not nil, tells whether a cookie is creel's: the gateway may not set
	// it.
	OwnCookie func(name string) bool
	// Wording, if not nil, gives the words in which the client of a WebSocket, whose
	// handshake r is, hears why the gateway refuses it; it may return nil.
	Wording func(r *http.Request) Wording
	// Pause, if not nil, may keep what the client of an upgraded connection sends from
	// the gateway for a while, which goes on talking to the client: it returns nil
	// where it does not, else what returns when the while is over. The connection has
	// ended, when over is closed.
	Pause func(r *http.Request) func(over <-chan struct{})
	// BodyDir is where bodies go that are too large for memory; "": the
	// system's folder for temporary files.
	BodyDir string
	// Disk is told of each attempt at keeping a body there: why it failed, or nil.
	// It must not block; may be nil.
	Disk func(error)
	// NoDial is told why creel, and not the gateway, is to blame for a connection
	// that could not be made; may be nil.
	NoDial   func(error)
	Journal  Journal  // may be nil
	Recorder Recorder // may be nil
	Logger   *slog.Logger
}

// Proxy is an http.Handler, to be served by a Server of this package. Close must
// be called once that has been shut down.
type Proxy struct {
	opts    Options
	log     *slog.Logger
	present atomic.Pointer[settings]
	budget  budget
	pools   pools
	tunnels tunnels

	doubtFor time.Duration // the constant, but in tests
}

// settings are what a configuration comes to. A request keeps to its end those
// that it came under.
type settings struct {
	config.Proxy
	forwarding forwarding
}

// New makes a proxy. The error says which trusted address cannot be read.
func New(o Options) (*Proxy, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Recorder == nil {
		o.Recorder = nobody{}
	}
	if o.Journal == nil {
		o.Journal = nobody{}
	}
	p := &Proxy{opts: o, log: o.Logger, doubtFor: doubtFor}
	p.budget.note, p.budget.disk = o.Recorder.KeptBytes, o.Disk
	apply, err := p.Configure(o.Config)
	if err != nil {
		return nil, err
	}
	apply()
	p.tunnels.init(o.Recorder)
	return p, nil
}

// Configure checks a configuration and gives what makes requests that come from
// then on obey it; those under way keep to theirs. The error says which trusted
// address cannot be read. What is the Server's stays as it is: MaxHeaderBytes,
// Timeouts.RequestHeader and Timeouts.Idle.
func (p *Proxy) Configure(c config.Proxy) (apply func(), err error) {
	trusted, err := parsePrefixes(c.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("cannot use proxy.trusted_proxies: %w", err)
	}
	set := &settings{Proxy: c, forwarding: forwarding{trusted: trusted, attribute: p.opts.Attribute}}
	if c.ForwardedHeaders == config.ForwardedStrip {
		set.forwarding.attribute = func(netip.Addr) bool { return false }
	}
	return func() {
		p.budget.bound(c.Replay.Budget)
		p.present.Store(set)
	}, nil
}

// ServeHTTP passes a request on. It implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.opts.Recorder.InFlight(1)
	defer p.opts.Recorder.InFlight(-1)
	newPassage(p, w, r).run()
}

// CloseTunnels ends all WebSockets and other upgraded connections with a close
// frame that says why, and waits until they have ended or ctx has.
func (p *Proxy) CloseTunnels(ctx context.Context, code int, reason string) error {
	return p.tunnels.close(ctx, code, reason)
}

// Leave says that another creel is in charge of the gateway. A WebSocket whose
// gateway side breaks off is closed as at a restart then: its client is to connect
// anew, which leads it to whoever knows more.
func (p *Proxy) Leave() { p.tunnels.leaving.Store(true) }

// Close gives up the connections to the gateway.
func (p *Proxy) Close() { p.pools.close() }

// nobody takes no notice.
type nobody struct{}

func (nobody) Record(event.Event)    {}
func (nobody) Request(Outcome)       {}
func (nobody) Problem(string)        {}
func (nobody) HeldFor(time.Duration) {}
func (nobody) Replay()               {}
func (nobody) NotReplayable(string)  {}
func (nobody) KeptBytes(int64)       {}
func (nobody) InFlight(int)          {}
func (nobody) WebSockets(int)        {}
