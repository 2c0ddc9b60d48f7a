package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"creel/internal/problem"
)

// DefaultMaxBody is the largest body of a request for creel's own paths. What
// creel is told in one request fits into less.
const DefaultMaxBody = 1 << 20

// Codes of the problem documents of the gate.
const (
	CodeUnauthenticated = "unauthenticated" // 401
	CodeForbidden       = "forbidden"       // 403
	CodeCrossOrigin     = "cross_origin"    // 403
	CodeForeignHost     = "foreign_host"    // 421
	CodeTooMany         = "too_many"        // 429
	CodeNotFound        = "not_found"       // 404
)

// handler is the gate in front of one set of routes.
type handler struct {
	g     *Gate
	own   *http.ServeMux
	heads map[string]bool // first segments of paths that own may know
	rest  http.Handler
}

// Handler puts the gate in front of creel's own routes, the gate's among them, and
// in front of rest, which is the gateway and needs Use. What is under Prefix and in
// no route is not found, and is nothing of the gateway's. A route whose pattern the
// gate has too takes its place.
func (g *Gate) Handler(routes []Route, rest http.Handler) http.Handler {
	h := &handler{g: g, own: http.NewServeMux(), heads: map[string]bool{}, rest: rest}
	all := slices.Clone(routes)
	for _, r := range append(g.Routes(), Route{Pattern: Prefix, Needs: Read, Handler: http.HandlerFunc(notFound)}) {
		if !slices.ContainsFunc(routes, func(other Route) bool { return other.Pattern == r.Pattern }) {
			all = append(all, r)
		}
	}
	for _, r := range all {
		h.own.Handle(r.Pattern, &door{g, r})
		h.heads[head(pathOf(r.Pattern))] = true
	}
	return h
}

func notFound(w http.ResponseWriter, r *http.Request) {
	d := problem.Document{
		Status: http.StatusNotFound, Code: CodeNotFound, Title: "No such page of creel's",
		Detail: r.Method + " " + r.URL.Path, Hint: "Paths under " + Prefix + " are creel's own; the gateway has all others.",
	}
	d.Write(w)
}

// pathOf is the path of a pattern of http.ServeMux, which may begin with a method.
func pathOf(pattern string) string {
	if _, path, found := strings.Cut(pattern, " "); found {
		return strings.TrimLeft(path, " \t")
	}
	return pattern
}

// head is the first segment of a path.
func head(path string) string {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return path
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.heads[head(r.URL.Path)] && r.Method != http.MethodConnect {
		if _, pattern := h.own.Handler(r); pattern != "" || strings.HasPrefix(r.URL.Path, Prefix) {
			h.own.ServeHTTP(w, r)
			return
		}
	}
	h.g.serveGateway(w, r, h.rest)
}

// serveGateway lets a request through to the gateway, without what is creel's.
func (g *Gate) serveGateway(w http.ResponseWriter, r *http.Request, rest http.Handler) {
	if g.opts.Open {
		g.strip(r.Header)
		rest.ServeHTTP(w, r)
		return
	}
	who, err := g.who(r, true)
	switch {
	case err != nil || !who.May(Use) && who.Kind == KindAnonymous:
		out, done := g.refusing(w, r)
		defer done()
		g.stranger(out, r, err, true)
		return
	case !who.May(Use):
		out, done := g.refusing(w, r)
		defer done()
		forbidden(out, who.Principal, Use)
		return
	case !g.notLured(w, r, who.Principal):
		return
	}
	g.strip(r.Header)
	g.header.strip(r)
	ctx, open := g.until(context.WithValue(r.Context(), principalKey{}, who.boxed), &who.Principal)
	defer open.done()
	rest.ServeHTTP(w, r.WithContext(ctx))
}

// bodyTime is how long the body of a request for creel's own pages may take, or of
// one that is refused: a few kilobytes, or what nobody reads.
const bodyTime = 30 * time.Second

// boundBody bounds the time that a body takes, for a server that waits for it before
// it writes an answer: nobody is to hold a connection with a body that never comes.
// The server sets the deadline anew for the next request.
func boundBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // fails only where the connection is gone
	}
}

// door is the gate in front of one route.
type door struct {
	g *Gate
	Route
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := d.g
	boundBody(w, r)
	plain, out := w, newPaced(w, r, g.untaken)
	defer out.last()
	w = out
	Guard(w.Header())
	from := g.opts.Sender(r)
	if g.opts.Open && !g.ownHost(r.Host) {
		foreignHost(w, r)
		return
	}
	who, err := g.who(r, d.Needs != Public)
	if g.opts.Open && !from.Forwarded {
		who, err = g.local, nil
	}
	switch {
	case d.Needs == Public:
		if !g.notLured(w, r, who.Principal) {
			return
		}
	case err != nil || who.Kind == KindAnonymous:
		g.stranger(w, r, err, d.Page)
		return
	case !who.May(d.Needs):
		forbidden(w, who.Principal, d.Needs)
		return
	case d.Person && who.Kind == KindToken:
		notAPerson(w)
		return
	case !g.notLured(w, r, who.Principal):
		return
	}
	if who.Kind != KindLocal && !g.traffic.allows(from.Addr, safe(r.Method), time.Now()) {
		tooMany(w, time.Second, "more requests came from this address than creel's own pages need")
		return
	}
	most := d.MaxBody
	if most == 0 {
		most = DefaultMaxBody
	}
	r.Body = http.MaxBytesReader(plain, r.Body, most) // which tells the server by a method that no other writer has
	ctx, open := g.until(context.WithValue(r.Context(), principalKey{}, who.boxed), &who.Principal)
	defer open.done()
	d.Handler.ServeHTTP(w, r.WithContext(ctx))
}

var anonymous = box(Principal{Name: "anonymous", Kind: KindAnonymous})

// errWrong says that a request shows something that is not, or no longer, good.
var errWrong = errors.New("what the request shows is not known here")

// who tells who asks. An error says that the request shows something that is not
// good; whoever shows nothing is anonymous. With strict a failure counts against
// the address.
func (g *Gate) who(r *http.Request, strict bool) (principalBox, error) {
	now := time.Now()
	var from Sender
	known := false
	sender := func() Sender {
		if !known {
			from, known = g.opts.Sender(r), true
		}
		return from
	}
	if secret, byBrowser := bearer(r.Header); secret != "" {
		if t := g.state.findToken(secret, now); t != nil {
			g.used(t.seen, now)
			if byBrowser {
				return t.byBrowser, nil
			}
			return t.principal, nil
		}
		if strict {
			return anonymous, g.failedToken(sender(), now)
		}
		return anonymous, nil
	}
	var wrong error
	if len(r.Header["Cookie"]) > 0 {
		secure := r.TLS != nil || sender().HTTPS
		for secret := range cookieValues(r.Header, g.cookies.of(secure)) {
			if secret == "" {
				continue
			}
			if s := g.state.findSession(secret, now); s != nil {
				g.used(s.seen, now)
				return s.principal, nil
			}
			wrong = fmt.Errorf("%w: the session has ended; sign in again", errWrong)
		}
	}
	for _, i := range g.identify {
		p, found, err := i.identify(r, sender())
		switch {
		case err != nil:
			wrong = fmt.Errorf("%w: %w", errWrong, err)
		case found:
			return box(p), nil
		}
	}
	if g.gatewayTokenCounts(r) {
		if wait := g.attempts.wait(sender().Addr, now); wait > 0 {
			return anonymous, &slowedError{wait}
		}
		if g.withGatewayToken(r) {
			return gatewayUser, nil
		}
		if strict {
			return anonymous, g.failedToken(sender(), now)
		}
	}
	return anonymous, wrong
}

var gatewayUser = box(Principal{Name: "gateway token", Kind: KindToken, Scopes: []Scope{Use}})

// gatewayTokenCounts tells whether a request shows what may be the gateway's own
// token, where that is let in.
func (g *Gate) gatewayTokenCounts(r *http.Request) bool {
	return g.opts.Config.GatewayToken == "on" && g.opts.GatewayToken != nil && gatewayBearer(r.Header) != ""
}

func (g *Gate) withGatewayToken(r *http.Request) bool {
	token := g.opts.GatewayToken()
	return token != "" && subtle.ConstantTimeCompare([]byte(gatewayBearer(r.Header)), []byte(token)) == 1
}

// ambient tells whether a browser shows by itself who is in front of it, whichever
// page has it ask. Of tokens that holds for those in Basic: a browser that was given one
// for a host, in an address or a dialogue, sends it with whatever goes there (RFC 7617
// §2.2).
func ambient(p Principal) bool { return p.Kind != KindToken || p.byBrowser }

// notLured refuses what another site's page makes a browser do.
func (g *Gate) notLured(w http.ResponseWriter, r *http.Request, p Principal) bool {
	if !ambient(p) {
		return true
	}
	if upgrades(r) && safe(r.Method) {
		if g.sameOrigin(r) {
			return true
		}
	} else if g.crossSite.Check(r) == nil {
		return true
	} else if r.Header.Get("Sec-Fetch-Site") == "" && g.ownOrigin(r, r.Header.Get("Origin")) {
		return true // behind a proxy that asks for another host than its clients
	}
	out, done := g.refusing(w, r)
	defer done()
	d := problem.Document{
		Status: http.StatusForbidden, Code: CodeCrossOrigin, Title: "A page of another site may not do that",
		Detail: "the request came from a page of " + printable(cut(origin(r), 200)), Hint: "If that page is yours, add its origin to auth.origins.",
	}
	d.Write(out)
	return false
}

func origin(r *http.Request) string {
	if o := r.Header.Get("Origin"); o != "" {
		return o
	}
	return "another site"
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// stranger turns somebody away who has not shown who they are: a person to the
// page to sign in at, a program with a problem document. A WebSocket is refused
// before it is one.
func (g *Gate) stranger(w http.ResponseWriter, r *http.Request, why error, page bool) {
	var slow *slowedError
	if errors.As(why, &slow) {
		tooMany(w, slow.wait, "too many attempts with a wrong token came from this address")
		return
	}
	if page && !g.opts.Open && asksForPage(r) {
		target := LoginPath
		if next := safeNext(r.URL.RequestURI(), ""); next != "" && next != "/" {
			target += "?next=" + url.QueryEscape(next)
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Location", target)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	d := problem.Document{
		Status: http.StatusUnauthorized, Code: CodeUnauthenticated, Title: "Not signed in",
		Detail: "this needs somebody who is signed in, or an API token",
		Hint:   "Sign in at " + LoginPath + " (the command `creel login` prints a link), or send Authorization: Bearer with a token that `creel tokens create` has made.",
	}
	switch {
	case errors.Is(why, errWrong):
		d.Detail = why.Error()
	case g.opts.Open:
		d.Detail = "nobody is asked to sign in at this creel, which holds for this machine alone, and the request came through a proxy"
		d.Hint = "Have people sign in: set auth.mode to link."
	}
	write401(w, &d)
}

func write401(w http.ResponseWriter, d *problem.Document) {
	d.Write(&challenging{w})
}

// challenging adds the field that RFC 9110 §11.6.1 wants of a 401; a problem
// document drops what was set before.
type challenging struct{ http.ResponseWriter }

func (c *challenging) WriteHeader(status int) {
	c.Header().Set("WWW-Authenticate", `Bearer realm="creel"`)
	c.ResponseWriter.WriteHeader(status)
}

func notAPerson(w http.ResponseWriter) {
	d := problem.Document{
		Status: http.StatusForbidden, Code: CodeForbidden, Title: "Not allowed",
		Detail: "this takes a person who is signed in; an API token does not do, since what is made here outlives it",
		Hint:   "Sign in at " + LoginPath + ".",
	}
	d.Write(w)
}

func forbidden(w http.ResponseWriter, p Principal, needs Scope) {
	have := "no scope"
	if len(p.Scopes) > 0 {
		have = joinScopes(p.Scopes)
	}
	d := problem.Document{
		Status: http.StatusForbidden, Code: CodeForbidden, Title: "Not allowed",
		Detail: fmt.Sprintf("this needs the scope %q; %s has %s", string(needs), printable(cut(p.Name, 200)), have),
		Hint:   "Ask an owner of this creel for it.",
	}
	d.Write(w)
}

func foreignHost(w http.ResponseWriter, r *http.Request) {
	d := problem.Document{
		Status: http.StatusMisdirectedRequest, Code: CodeForeignHost, Title: "This creel is not known by that name",
		Detail: "the request is for " + printable(cut(r.Host, 200)) + "; since nobody has to sign in here, creel's own pages are for localhost and for names in auth.hosts alone",
		Hint:   "Use http://127.0.0.1 with creel's port, or add the name to auth.hosts.",
	}
	d.Write(w)
}

func tooMany(w http.ResponseWriter, wait time.Duration, why string) {
	d := problem.Document{
		Status: http.StatusTooManyRequests, Code: CodeTooMany, Title: "Too many requests", Detail: why,
		Hint: "Wait, and try again.", RetryAfter: max(wait, time.Second),
	}
	d.Write(w)
}
