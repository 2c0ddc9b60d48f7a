package auth

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"creel/internal/event"
	"creel/internal/problem"
	"creel/internal/telemetry"
)

// codeLife is how long a link from `creel login` is good.
const codeLife = 10 * time.Minute

// codeLength is a generous bound on what a code looks like.
const codeLength = 200

//go:embed look.html login.html passkeys.html
var pages embed.FS

// page is one of the gate's own pages, which look alike.
func page(name string) *template.Template {
	return template.Must(template.New(name+".html").ParseFS(pages, "look.html", name+".html"))
}

var loginPage = page("login")

// loginView is what the page to sign in at shows.
type loginView struct {
	Nonce   string
	Code    string // a link was followed: the form that uses it up
	Next    string
	Trouble string // why signing in has failed
	Offers  []offer
	Command string // that prints a link
}

// offer is a way to sign in, as the page shows it.
type offer struct {
	Kind string // "password", "link" (to Path) or "passkey"
	Path string
	Text string
}

// Routes are the gate's own: signing in and out, and opening the gateway.
func (g *Gate) Routes() []Route {
	routes := []Route{
		{Pattern: "GET " + LoginPath, Handler: http.HandlerFunc(g.showLogin)},
		{Pattern: "POST " + LoginPath, Handler: http.HandlerFunc(g.login), MaxBody: 16 << 10},
		{Pattern: "POST " + LogoutPath, Handler: http.HandlerFunc(g.logout), MaxBody: 16 << 10},
		{Pattern: "GET " + OpenPath, Needs: Use, Handler: http.HandlerFunc(g.open), Page: true},
	}
	for _, m := range g.methods {
		routes = append(routes, m.routes(g)...)
	}
	return routes
}

// standing is the link that is printed at the start: good until it was used, or
// creel ends. creel alone knows it.
type standing struct {
	mu   sync.Mutex
	code string
	made bool
}

// LoginLink gives the path of a fresh link that signs the owner in, once, and when
// it expires. With auth off it leads to the first page, and does not expire.
func (g *Gate) LoginLink(context.Context) (path string, expires time.Time, err error) {
	if g.opts.Open {
		return g.opts.Home, time.Time{}, nil
	}
	code := newSecret()
	expires = now().Add(codeLife)
	if err := g.state.addCode(code, expires); err != nil {
		g.log.Warn("the link is good for this creel alone", "error", err)
	}
	return linkTo(code), expires, nil
}

func linkTo(code string) string { return LoginPath + "?code=" + code }

// FirstLink is the path of the link to print at the start. It signs the owner in
// once; when it was used, it is the path of the first page.
func (g *Gate) FirstLink() string {
	if g.opts.Open {
		return g.opts.Home
	}
	g.standing.mu.Lock()
	defer g.standing.mu.Unlock()
	if !g.standing.made {
		g.standing.made, g.standing.code = true, newSecret()
		if err := telemetry.Register(g.standing.code); err != nil {
			g.log.Warn("the first link may show up in logs", "error", err)
		}
	}
	if g.standing.code == "" {
		return g.opts.Home
	}
	return linkTo(g.standing.code)
}

// useCode uses a link up.
func (g *Gate) useCode(code string, now time.Time) error {
	g.standing.mu.Lock()
	first := g.standing.code != "" && same(sumOf(code), sumOf(g.standing.code))
	if first {
		g.standing.code = ""
	}
	g.standing.mu.Unlock()
	if first {
		return nil
	}
	return g.state.useCode(code, now)
}

// showLogin shows the page to sign in at. With a code it is a form that a script
// sends off: a GET must not use the code up, since whatever previews links, or
// fetches them in advance, sends one too.
func (g *Gate) showLogin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := q.Get("code")
	if g.opts.Open || code == "" && From(r.Context()).Kind != KindAnonymous {
		g.redirect(w, safeNext(q.Get("next"), g.opts.Home))
		return
	}
	g.writeLogin(w, http.StatusOK, loginView{Code: cut(printable(code), codeLength), Next: safeNext(q.Get("next"), "")})
}

func (g *Gate) writeLogin(w http.ResponseWriter, status int, v loginView) {
	v.Nonce, v.Command = Nonce(), "creel login"
	for _, m := range g.methods {
		if o, ok := m.offer(); ok {
			v.Offers = append(v.Offers, o)
		}
	}
	var page strings.Builder
	if err := loginPage.Execute(&page, v); err != nil {
		panic(err) // a template of this package's own with a value of its own
	}
	SecurityHeaders(w.Header(), v.Nonce)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page.String())) // the client may be gone: nobody is left to tell
}

// login uses a link, or tries a password.
func (g *Gate) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		g.writeLogin(w, http.StatusBadRequest, loginView{Trouble: "That could not be understood. Try again."})
		return
	}
	next := safeNext(r.PostForm.Get("next"), "")
	from, now := g.opts.Sender(r), time.Now()
	if code := r.PostForm.Get("code"); code != "" {
		err := g.useCode(code, now)
		if errors.Is(err, ErrUnknown) {
			g.refuse(w, from, "link", next, "This link was used already, has expired, or is from before creel was restarted.", now)
			return
		}
		if err != nil {
			g.log.Warn("that a link was used is known to this creel alone", "error", err)
		}
		g.signIn(w, r, from, Session{Name: "owner", Method: "link", Scopes: OwnerScopes}, next)
		return
	}
	if g.password != nil && r.PostForm.Has("password") && g.password.login(g, w, r, from, next) {
		return
	}
	g.writeLogin(w, http.StatusBadRequest, loginView{Next: next, Trouble: "Nothing was filled in."})
}

// refuse shows the page again after a failure, which counts against the address.
func (g *Gate) refuse(w http.ResponseWriter, from Sender, what, next, trouble string, now time.Time) {
	g.failed(from, what, now)
	if wait := g.attempts.wait(from.Addr, now); wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
	}
	g.writeLogin(w, http.StatusForbidden, loginView{Next: next, Trouble: trouble})
}

// slowed shows the page to somebody who tries too often.
func (g *Gate) slowed(w http.ResponseWriter, wait time.Duration, next string) {
	w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
	g.writeLogin(w, http.StatusTooManyRequests, loginView{Next: next, Trouble: fmt.Sprintf("Too many attempts have failed. Try again in %d s; a link from `creel login` works at once.", int(wait.Seconds())+1)})
}

// signIn begins a session and sends the person on.
func (g *Gate) signIn(w http.ResponseWriter, r *http.Request, from Sender, s Session, next string) {
	g.begin(w, r, from, s)
	if next == "" || next == "/" {
		next = g.opts.Home
	}
	g.redirect(w, next)
}

// begin begins a session: its cookie goes with the answer.
func (g *Gate) begin(w http.ResponseWriter, r *http.Request, from Sender, s Session) {
	secret := newSecret()
	s.ID, s.Created, s.LastSeen = newID(), now(), now()
	s.Expires = s.Created.Add(g.opts.Config.Session.Life)
	s.Address, s.Agent = from.Addr.String(), cut(printable(r.UserAgent()), maxAgent)
	for old := range cookieValues(r.Header, g.cookies.of(from.HTTPS)) {
		if known := g.state.findSession(old, time.Now()); known != nil { // nobody would use it any more
			_, _ = g.state.removeSession(known.ID) // it expires by itself
		}
	}
	if err := g.state.addSession(secret, s); err != nil {
		g.log.Warn("a session will not outlive this creel", "error", err)
	}
	g.attempts.succeeded(from.Addr, time.Now())
	g.record(event.Login, s.Name+" has signed in ("+s.Method+")", map[string]any{"session": s.ID, "method": s.Method, "address": s.Address, "agent": s.Agent})
	g.setCookie(w, from, secret, int(g.opts.Config.Session.Life.Seconds()))
}

func (g *Gate) setCookie(w http.ResponseWriter, from Sender, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: g.cookies.of(from.HTTPS), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: from.HTTPS, SameSite: http.SameSiteLaxMode,
	})
}

// logout ends the session that asks for it.
func (g *Gate) logout(w http.ResponseWriter, r *http.Request) {
	if p := From(r.Context()); p.Kind == KindSession {
		s, err := g.state.removeSession(p.Session)
		if err != nil && !errors.Is(err, ErrUnknown) {
			g.log.Error("a session may come back with the next creel", "error", err)
		}
		g.endStreams()
		g.record(event.Logout, s.Name+" has signed out", map[string]any{"session": p.Session, "method": s.Method})
	}
	g.setCookie(w, g.opts.Sender(r), "", -1)
	g.redirect(w, LoginPath)
}

// open sends a person who is let in to the gateway, with what it takes: in the
// fragment, which browsers send to no server, put into no Referer, and the
// gateway's page takes out of the address.
func (g *Gate) open(w http.ResponseWriter, _ *http.Request) {
	to := "/"
	if g.opts.OpenGateway != nil {
		to = g.opts.OpenGateway()
	}
	g.redirect(w, to)
}

// redirect sends a browser to a place on this host; the place is not checked here.
func (g *Gate) redirect(w http.ResponseWriter, to string) {
	h := w.Header()
	Guard(h)
	h.Set("Cache-Control", "no-store")
	h.Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// unavailable says that a method does not work now.
func unavailable(w http.ResponseWriter, detail string) {
	d := problem.Document{
		Status: http.StatusBadGateway, Code: "login_unavailable", Title: "Signing in that way does not work now", Detail: detail,
		Hint: "A link works: `creel login` prints one.",
	}
	d.Write(w)
}
