package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"creel/internal/config"
	"creel/internal/telemetry"
)

const (
	oidcPath     = LoginPath + "/oidc"
	callbackPath = oidcPath + "/callback"
	// loginTime is how long a person may take at the provider.
	loginTime = 10 * time.Minute
	// maxPending bounds the logins that are under way; the oldest makes room.
	maxPending = 1000
	// providerTime bounds the questions to the provider in one login.
	providerTime = 20 * time.Second
)

// oidcLogin is signing in with an OpenID Connect provider (OpenID Connect Core 1.0,
// §3.1: authorization code), with PKCE (RFC 7636), a nonce, and a cookie that binds
// the answer to the browser that asked (RFC 9700 §4.7).
type oidcLogin struct {
	cfg    config.AuthOIDC
	secret string
	client *http.Client
	people people

	mu       sync.Mutex
	provider *oidc.Provider // nil: it has not answered yet
	pending  map[string]pendingLogin
}

// pendingLogin is a person at the provider.
type pendingLogin struct {
	began    time.Time
	browser  sum // of the cookie
	nonce    string
	verifier string // PKCE
	redirect string
	next     string
}

func newOIDC(cfg config.AuthOIDC, client *http.Client) (*oidcLogin, error) {
	o := &oidcLogin{cfg: cfg, client: client, pending: map[string]pendingLogin{}}
	owners := slices.Clone(cfg.Emails)
	for _, domain := range cfg.Domains {
		owners = append(owners, "@"+strings.TrimPrefix(domain, "@"))
	}
	// The readers' list has people and groups in one.
	o.people = people{owners: newList(owners, cfg.Groups...), readers: newList(cfg.Readers, cfg.Readers...)}
	if cfg.ClientSecretFile != "" { // a public client has none
		secret, err := readSecret("auth.oidc.client_secret_file", cfg.ClientSecretFile)
		if err != nil {
			return nil, err
		}
		if err := telemetry.Register(secret); err != nil {
			return nil, fmt.Errorf("cannot use auth.oidc.client_secret_file: %w", err)
		}
		o.secret = secret
	}
	return o, nil
}

func (o *oidcLogin) routes(g *Gate) []Route {
	return []Route{
		{Pattern: "GET " + oidcPath, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.begin(g, w, r) })},
		{Pattern: "GET " + callbackPath, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.callback(g, w, r) })},
	}
}

func (o *oidcLogin) offer() (offer, bool) {
	host := strings.TrimPrefix(strings.TrimPrefix(o.cfg.Issuer, "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	return offer{Kind: "link", Path: oidcPath, Text: "Sign in with " + host}, true
}

// find asks the provider where its endpoints are, once: it need not be reachable
// when creel starts.
func (o *oidcLogin) find(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	found := o.provider
	o.mu.Unlock()
	if found != nil {
		return found, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the provider %s cannot be asked: %w", o.cfg.Issuer, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		o.provider = p
	}
	return o.provider, nil
}

func (o *oidcLogin) oauth(p *oidc.Provider, redirect string) *oauth2.Config {
	scopes := append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(o.cfg.Scopes), func(s string) bool { return s == oidc.ScopeOpenID })...)
	return &oauth2.Config{ClientID: o.cfg.ClientID, ClientSecret: o.secret, Endpoint: p.Endpoint(), RedirectURL: redirect, Scopes: scopes}
}

// begin sends a person to the provider.
func (o *oidcLogin) begin(g *Gate, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), providerTime)
	defer cancel()
	p, err := o.find(ctx)
	if err != nil {
		g.log.Warn("signing in with OpenID Connect does not work", "error", err)
		unavailable(w, "the provider does not answer, or not as it should; creel's log says more")
		return
	}
	from := g.opts.Sender(r)
	state, browser := newSecret(), newSecret()
	l := pendingLogin{
		began: time.Now(), browser: sumOf(browser), nonce: newSecret(), verifier: oauth2.GenerateVerifier(),
		redirect: o.redirect(from), next: safeNext(r.URL.Query().Get("next"), ""),
	}
	o.keep(state, l)
	http.SetCookie(w, &http.Cookie{
		Name: g.cookies.plain + "-oidc", Value: browser, Path: oidcPath, MaxAge: int(loginTime.Seconds()),
		HttpOnly: true, Secure: from.HTTPS, SameSite: http.SameSiteLaxMode,
	})
	g.redirect(w, o.oauth(p, l.redirect).AuthCodeURL(state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier)))
}

// redirect is the address that the provider sends people back to.
func (o *oidcLogin) redirect(from Sender) string {
	if o.cfg.URL != "" {
		return strings.TrimSuffix(o.cfg.URL, "/") + callbackPath
	}
	scheme := "http"
	if from.HTTPS {
		scheme = "https"
	}
	return scheme + "://" + from.Host + callbackPath
}

func (o *oidcLogin) keep(state string, l pendingLogin) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var oldest string
	for s, p := range o.pending {
		if l.began.Sub(p.began) > loginTime {
			delete(o.pending, s)
		} else if oldest == "" || p.began.Before(o.pending[oldest].began) {
			oldest = s
		}
	}
	if len(o.pending) >= maxPending {
		delete(o.pending, oldest)
	}
	o.pending[state] = l
}

// take gives what is known of a login, once, to the browser that began it. That may
// have several cookies of the name, of which somebody else may have set some.
func (o *oidcLogin) take(state string, browsers iter.Seq[string], now time.Time) (pendingLogin, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l, ok := o.pending[state]
	if !ok {
		return pendingLogin{}, false
	}
	for browser := range browsers {
		if same(l.browser, sumOf(browser)) {
			delete(o.pending, state)
			return l, now.Sub(l.began) <= loginTime
		}
	}
	return pendingLogin{}, false // it stays for the browser that it is of
}

// callback takes the provider's answer.
func (o *oidcLogin) callback(g *Gate, w http.ResponseWriter, r *http.Request) {
	q, from, now := r.URL.Query(), g.opts.Sender(r), time.Now()
	l, ok := o.take(q.Get("state"), cookieValues(r.Header, g.cookies.plain+"-oidc"), now)
	if !ok {
		g.refuse(w, from, "oidc", "", "This sign-in was not begun in this browser, or too long ago. Begin again.", now)
		return
	}
	if code := q.Get("error"); code != "" {
		g.log.Warn("the OpenID Connect provider has refused a sign-in", "error", cut(printable(code), 100), "description", cut(printable(q.Get("error_description")), 300))
		g.refuse(w, from, "oidc", l.next, "The provider has not let you in.", now)
		return
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), o.client), providerTime)
	defer cancel()
	who, err := o.exchange(ctx, l, q.Get("code"))
	if err != nil {
		g.log.Warn("what the OpenID Connect provider says cannot be used", "error", err)
		g.refuse(w, from, "oidc", l.next, "The provider's answer could not be used; creel's log says why. Begin again.", now)
		return
	}
	scopes := o.scopesOf(who)
	if scopes == nil {
		g.log.Warn("somebody whom the OpenID Connect provider knows may not use this creel", "name", who.name(), "verified", bool(who.Verified), "groups", who.groups)
		g.refuse(w, from, "oidc", l.next, who.name()+" may not use this creel.", now)
		return
	}
	g.signIn(w, r, from, Session{Name: cut(printable(who.name()), 200), Method: "oidc", Scopes: scopes}, l.next)
}

// identityClaims are what the provider says of a person.
type identityClaims struct {
	Subject   string   `json:"sub"`
	Email     string   `json:"email"`
	Verified  laxBool  `json:"email_verified"`
	Preferred string   `json:"preferred_username"`
	groups    []string // from the claim that is configured
}

// laxBool is a boolean that some providers write as a text.
type laxBool bool

func (b *laxBool) UnmarshalJSON(text []byte) error {
	*b = string(text) == "true" || string(text) == `"true"`
	return nil
}

func (c *identityClaims) name() string {
	for _, name := range []string{c.Email, c.Preferred, c.Subject} {
		if name != "" {
			return name
		}
	}
	return "somebody"
}

// exchange has the provider say who the person is.
func (o *oidcLogin) exchange(ctx context.Context, l pendingLogin, code string) (*identityClaims, error) {
	p, err := o.find(ctx)
	if err != nil {
		return nil, err
	}
	oauth := o.oauth(p, l.redirect)
	token, err := oauth.Exchange(ctx, code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return nil, fmt.Errorf("the code cannot be exchanged: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("there is no ID token in the answer")
	}
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: o.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the ID token is not good: %w", err)
	}
	if !same(sumOf(id.Nonce), sumOf(l.nonce)) {
		return nil, errors.New("the ID token is for another sign-in")
	}
	who := &identityClaims{}
	if err := o.read(who, id.Claims); err != nil {
		return nil, err
	}
	if who.Email == "" || len(who.groups) == 0 && len(o.cfg.Groups)+len(o.cfg.Readers) > 0 {
		// Some providers keep the ID token small, and say the rest when asked.
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err == nil && info.Subject != id.Subject {
			return nil, errors.New("the provider speaks of two people (OpenID Connect Core §5.3.4)")
		}
		if err == nil {
			err = o.read(who, info.Claims)
		}
		if err != nil && who.Email == "" && len(who.groups) == 0 {
			return nil, fmt.Errorf("the provider says neither an e-mail address nor groups: %w", err)
		}
	}
	return who, nil
}

// read adds claims to those that are known.
func (o *oidcLogin) read(who *identityClaims, claims func(any) error) error {
	var all map[string]json.RawMessage
	more := *who
	if err := errors.Join(claims(&more), claims(&all)); err != nil {
		return fmt.Errorf("what the provider says of the person cannot be understood: %w", err)
	}
	if who.Email != "" {
		more.Email, more.Verified = who.Email, who.Verified
	}
	if raw, ok := all[o.cfg.GroupsClaim]; ok {
		var one string
		switch {
		case json.Unmarshal(raw, &more.groups) == nil:
		case json.Unmarshal(raw, &one) == nil:
			more.groups = []string{one}
		}
	}
	*who = more
	return nil
}

// scopesOf is what a person may do; nil: nothing at all.
func (o *oidcLogin) scopesOf(who *identityClaims) []Scope {
	email := ""
	if who.Verified { // anyone can say that an address is theirs
		email = who.Email
	}
	return o.people.scopes(email, who.groups)
}
