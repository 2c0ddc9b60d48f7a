package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/telemetry"
)

// Prefix is what all of creel's own paths begin with, but for names that a preset
// adds.
const Prefix = "/_creel/"

// Paths of the gate's own.
const (
	LoginPath  = Prefix + "login"
	LogoutPath = Prefix + "logout"
	OpenPath   = Prefix + "open"
)

// Errors that callers tell apart.
var (
	// ErrUnknown says that there is no session, token or code like that.
	ErrUnknown = errors.New("there is none with that id")
	// ErrFull says that there are as many as there may be.
	ErrFull = errors.New("there are too many already")
	// ErrInvalid says that what was asked for makes no sense.
	ErrInvalid = errors.New("that is not possible")
)

// Sender is what is known of where a request came from, trusted proxies heard.
type Sender struct {
	Addr      netip.Addr // the client's
	Host      string     // the name that the client asks for, with its port
	HTTPS     bool       // the client speaks TLS, to creel or to a trusted proxy
	Forwarded bool       // somebody in between says that they speak for others, trusted or not
}

// Journal takes events.
type Journal interface{ Record(event.Event) }

// Options are what a Gate needs. Dir must be set.
type Options struct {
	Name   string // the gateway's, for events
	Dir    string // folder of sessions and tokens; it is made when there are some
	Config config.Auth
	// Open says that nobody is asked: every request is its owner's.
	Open bool
	// Listen is the address that clients connect to, as host:port.
	Listen string
	// Sender tells where a request came from; nil: from its peer.
	Sender func(*http.Request) Sender
	// Home is where a person goes after signing in; "": Prefix.
	Home string
	// OpenGateway is the place, on this host, that opens the gateway for a person
	// who is let in, with whatever it takes; nil: "/".
	OpenGateway func() string
	// GatewayToken is the gateway's own token, if it has one; may be nil.
	GatewayToken func() string
	// Absolute makes an address to click of a path; nil: the path itself.
	Absolute func(path string) string
	HTTP     *http.Client // asks providers; nil: one of its own
	Journal  Journal      // may be nil
	Logger   *slog.Logger // may be nil
}

// Gate is who is asked at the door. Its methods may be called from any goroutine.
type Gate struct {
	opts      Options
	log       *slog.Logger
	journal   Journal
	state     *state
	cookies   cookieNames
	local     principalBox // everybody, with auth off
	hosts     map[string]bool
	crossSite *http.CrossOriginProtection
	origins   map[string]bool
	attempts  *attempts
	traffic   *traffic
	methods   []method   // beside links
	password  *password  // one of methods; nil: nobody is asked
	identify  []identity // those that are asked with every request
	access    bool       // Cloudflare Access is among them
	header    *header    // the one of identify that believes a field; nil: there is none
	standing  standing
	streams   streams
	untaken   time.Duration // untakenTime, but in tests

	closing context.CancelFunc
	work    sync.WaitGroup // what runs beside requests
}

// principalBox is a principal that was put into an interface once, so that it
// costs no request anything.
type principalBox struct {
	Principal
	boxed any
}

func box(p Principal) principalBox { return principalBox{p, p} }

// method is a way to sign in beside links.
type method interface {
	// routes are its own.
	routes(g *Gate) []Route
	// offer is how the page to sign in at shows it; false: not now.
	offer() (offer, bool)
}

// identity is a way to tell who somebody is that comes with each request.
type identity interface {
	// identify tells who asks; found is false where the request says nothing. An
	// error says that it claims something that is not so.
	identify(r *http.Request, from Sender) (p Principal, found bool, err error)
}

// New makes a gate. What is wrong with its configuration, or with what is kept in
// Dir, is the error.
func New(o Options) (*Gate, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Journal == nil {
		o.Journal = nobody{}
	}
	if o.Sender == nil {
		o.Sender = peer
	}
	if o.Home == "" {
		o.Home = Prefix
	}
	if o.Absolute == nil {
		o.Absolute = func(path string) string { return path }
	}
	g := &Gate{
		opts: o, log: o.Logger, journal: o.Journal,
		cookies: cookieNamesFor(o.Listen), local: box(Principal{Name: "owner", Kind: KindLocal, Scopes: OwnerScopes}),
		attempts: newAttempts(), traffic: newTraffic(), crossSite: http.NewCrossOriginProtection(), origins: map[string]bool{}, untaken: untakenTime,
	}
	for _, origin := range o.Config.Origins {
		g.origins[origin] = true
		if err := g.crossSite.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	g.hosts = hostsOf(o)
	var err error
	if g.state, err = openState(o.Dir, o.Config.Session, o.Logger); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.closing = cancel
	if !o.Open {
		if err := g.addMethods(); err != nil {
			cancel()
			return nil, err
		}
	}
	g.work.Go(func() { g.maintain(ctx) })
	return g, nil
}

// Open tells whether nobody is asked.
func (g *Gate) Open() bool { return g.opts.Open }

// Context is what the requests of a server are to be under: with auth off it says
// for all of them who is asking, which then costs none of them anything.
func (g *Gate) Context(ctx context.Context) context.Context {
	if g.opts.Open {
		return context.WithValue(ctx, principalKey{}, g.local.boxed)
	}
	return ctx
}

// Asking says who is asking for the gateway, as Handler has found out. With auth off
// it looks anew whether somebody is in between, which not every request pays for:
// what comes through a proxy is a stranger's.
func (g *Gate) Asking(r *http.Request) Principal {
	if g.opts.Open && g.opts.Sender(r).Forwarded {
		return anonymous.Principal
	}
	return From(r.Context())
}

// Close ends what runs beside requests, and keeps when sessions were last used.
func (g *Gate) Close() error {
	g.closing()
	g.work.Wait()
	return g.state.flush()
}

// Methods lists how people sign in now, in the configuration's words.
func (g *Gate) Methods() []string {
	if g.opts.Open {
		return []string{config.AuthNone}
	}
	list := []string{config.AuthLink}
	if p := g.Password(); p.Set && !p.File {
		list = append(list, methodPassword)
	}
	return append(list, g.opts.Config.Methods()...)
}

// Sessions lists who is signed in, the one seen last first.
func (g *Gate) Sessions() []Session {
	list := g.state.sessions(time.Now())
	slices.SortFunc(list, func(a, b Session) int { return b.LastSeen.Compare(a.LastSeen) })
	return list
}

// RevokeSession ends a session: its next request is a stranger's, and what it has open
// is closed. The error wraps ErrUnknown if there is none with that id.
func (g *Gate) RevokeSession(id string) error {
	s, err := g.state.removeSession(id)
	if errors.Is(err, ErrUnknown) {
		return err
	}
	g.endStreams()
	g.record(event.SessionRevoked, "the session of "+s.Name+" was ended", map[string]any{"session": s.ID, "method": s.Method, "address": s.Address})
	return lasting(err)
}

// lasting says of what was done here, and could not be written, what that means.
func lasting(err error) error {
	if err != nil {
		err = fmt.Errorf("it is done for this creel, and may come undone with the next: %w", err)
	}
	return err
}

// Tokens lists the API tokens, the newest first.
func (g *Gate) Tokens() []Token {
	list := g.state.tokens()
	slices.SortFunc(list, func(a, b Token) int { return b.Created.Compare(a.Created) })
	return list
}

// tokenPrefix begins every API token: secret scanners know one by it, and the
// gate tells it from tokens of the gateway's.
const tokenPrefix = "creel_"

const maxTokenName = 100

// CreateToken makes an API token, and shows its secret this once. expires may be
// zero: never. The error wraps ErrInvalid or ErrFull if it is the caller's.
func (g *Gate) CreateToken(name string, scopes []Scope, expires time.Time) (telemetry.Secret, Token, error) {
	name = printable(strings.TrimSpace(name))
	switch {
	case name == "" || len(name) > maxTokenName:
		return "", Token{}, invalid("a token needs a name of 1 to %d bytes", maxTokenName)
	case len(scopes) == 0:
		return "", Token{}, invalid("a token needs scopes, of %s", joinScopes(OwnerScopes))
	case !expires.IsZero() && !expires.After(time.Now()):
		return "", Token{}, invalid("the token would have expired at %s already", expires.Format(time.RFC3339))
	}
	scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	for _, s := range scopes {
		if !slices.Contains(OwnerScopes, s) {
			return "", Token{}, invalid("%q is no scope; those are %s", string(s), joinScopes(OwnerScopes))
		}
	}
	secret := tokenPrefix + newSecret()
	t := Token{ID: newID(), Name: name, Scopes: scopes, Created: now(), Expires: expires}
	if err := g.state.addToken(secret, t); err != nil {
		return "", Token{}, err
	}
	g.record(event.TokenCreated, "an API token was made: "+name, map[string]any{"token_id": t.ID, "scopes": scopes})
	return telemetry.Secret(secret), t, nil
}

// RevokeToken ends an API token, and closes what it has open. The error wraps
// ErrUnknown if there is none with that id.
func (g *Gate) RevokeToken(id string) error {
	t, err := g.state.removeToken(id)
	if errors.Is(err, ErrUnknown) {
		return err
	}
	g.endStreams()
	g.record(event.TokenRevoked, "the API token "+t.Name+" was ended", map[string]any{"token_id": t.ID})
	return lasting(err)
}

// record writes into the journal.
func (g *Gate) record(kind event.Kind, message string, fields map[string]any) {
	g.journal.Record(event.Event{Kind: kind, Gateway: g.opts.Name, Message: message, Fields: fields})
}

type nobody struct{}

func (nobody) Record(event.Event) {}

// newSecret has 256 random bits, in characters that need no quoting anywhere.
func newSecret() string { return rand.Text() + rand.Text() }

// newID names something; it grants nothing.
func newID() string { return strings.ToLower(rand.Text()[:16]) }

// now is the present as it is kept: the fraction of a second matters to nobody.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
