// Package auth is the one gate in front of everything that a creel serves: who
// is asking, and may they. It denies by default; what each path needs is written
// in one table (Route), which a test walks.
//
// # What it guarantees
//
//   - A request reaches the gateway, or wakes one that sleeps, only from somebody
//     who has the scope Use; upgrades to WebSocket are no exception, and are
//     refused before they happen.
//   - What shows who somebody is, and is creel's own (its cookie, a token that
//     begins with creel_), never reaches the gateway; what is not creel's does.
//   - On disk and in memory there are only SHA-256 sums of secrets that creel has
//     made. They have 256 random bits each, so that no slower sum is needed.
//   - A link signs in once. Looking at it (previews, prefetching) does not use it up.
//   - Sessions and tokens survive creel. During an upgrade both creels know the
//     same ones: whoever changes them does so under a lock, on what is on disk;
//     whoever does not know one looks there (state.go).
//   - What somebody has open (a WebSocket, a stream, a request that waits) ends with
//     what let them in: at once when this creel ends it, within two seconds when
//     another does or its time is over (live.go).
//   - Whoever only fails (codes, passwords, tokens) is slowed down, each address by
//     itself; guessing at passwords is slowed for all together. Neither keeps the
//     owner out, whose link is always taken.
//   - Nobody is sent to another host after signing in.
//
// # What it refuses
//
//   - A request that changes something and comes from another site's page, and a
//     WebSocket of one, for everyone whose browser shows who they are by itself
//     (cookies, Access, a reverse proxy, Basic credentials that were once given, or
//     being on this machine). Those with a bearer token are exempt: a page cannot send
//     one unless it was told it.
//   - With auth off: requests for creel's own pages by a name that is not this
//     machine's (DNS rebinding), or through a proxy, whose clients are strangers.
//
// # What it costs
//
// With auth off nothing but a look at two header fields and no allocation; else
// one SHA-256 and one look into a map that nobody locks, and for sessions and tokens a
// context and an entry in the list of what is open (together 0.3 µs and 160 bytes).
//
// # Rejected
//
//   - A secret of the owner's that lasts: whoever may open the control socket can
//     have a link at any time, and so proves to be the owner.
//   - Signed cookies without a record: they cannot be taken back.
//   - Sessions in a database: there are a handful, and a file that is replaced by
//     renaming needs no second process's leave to be read.
//   - alexedwards/scs, gorilla/sessions: neither lists sessions nor shares them
//     between two processes.
package auth

import (
	"context"
	"net/http"
	"time"
)

// Scope is a right. A person or a program has a set of them.
type Scope string

// The scopes.
const (
	Public  Scope = ""        // no right is needed: it tells strangers nothing worth hiding, and changes nothing
	Read    Scope = "read"    // look at creel's own pages: status, journal, logs, snapshots, devices
	Use     Scope = "use"     // reach the gateway itself
	Operate Scope = "operate" // start, stop and restart; take snapshots; let devices in
	Admin   Scope = "admin"   // restore a state, see and end sessions, make tokens, change the configuration
)

// Roles: an owner has every scope; a reader looks and touches nothing.
var (
	OwnerScopes  = []Scope{Read, Use, Operate, Admin}
	ReaderScopes = []Scope{Read}
)

// Principal is who makes a request.
type Principal struct {
	Name    string  // for people to read: an e-mail address, a token's name, "owner"
	Kind    Kind    // how they showed who they are
	Scopes  []Scope // what they may do
	Session string  // id of the session, for KindSession; never its secret
	Token   string  // id of the API token, for KindToken; never its secret
	// Until is when what they have shown ceases to be good by itself, where it says
	// so and creel keeps no record of it; else zero.
	Until time.Time

	byBrowser bool // a token that browsers send again by themselves (Basic)
}

// Kind is the way in which a request showed whose it is.
type Kind string

// The kinds.
const (
	KindAnonymous Kind = "anonymous"
	KindSession   Kind = "session" // a cookie that a link, a password, a passkey or OpenID Connect has set
	KindToken     Kind = "token"   // an API token in Authorization
	KindAccess    Kind = "access"  // Cloudflare Access
	KindHeader    Kind = "header"  // a trusted reverse proxy's header
	KindLocal     Kind = "local"   // nobody is asked: auth is off, on loopback
)

// May tells whether the principal has a scope; everyone has Public.
func (p Principal) May(s Scope) bool {
	if s == Public {
		return true
	}
	for _, have := range p.Scopes {
		if have == s {
			return true
		}
	}
	return false
}

type principalKey struct{}

// With gives a context that says who is asking.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From says who is asking; nobody known is KindAnonymous.
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(principalKey{}).(Principal); ok {
		return p
	}
	return Principal{Name: "anonymous", Kind: KindAnonymous}
}

// Route is one line of the table of what creel serves itself.
type Route struct {
	Pattern string // as http.ServeMux takes it: "GET /_creel/api/v1/status"
	Needs   Scope
	Handler http.Handler
	// Person: an API token does not do, whatever its scopes: what is made here
	// outlives it.
	Person bool
	// Page: a stranger's browser is sent to the page to sign in at instead of
	// getting a problem document.
	Page bool
	// MaxBody is the largest request body, in bytes; 0: DefaultMaxBody.
	MaxBody int64
}

// Session is a person who is signed in, as others may see it.
type Session struct {
	ID       string    `json:"id"` // not the cookie's secret
	Name     string    `json:"name"`
	Method   string    `json:"method"` // "link", "password", "passkey", "oidc"
	Scopes   []Scope   `json:"scopes"`
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires"`
	Address  string    `json:"address"` // client's, at the last request
	Agent    string    `json:"agent"`   // its User-Agent, cut at 200 bytes
}

// Token is an API token, as others may see it.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Scopes   []Scope   `json:"scopes"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Expires  time.Time `json:"expires,omitzero"` // zero: never
}
