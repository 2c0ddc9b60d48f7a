package auth

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"creel/internal/config"
	"creel/internal/durable"
	"creel/internal/event"
)

const (
	passkeyPath = LoginPath + "/passkey"
	// ceremonyTime is how long a person may take with their authenticator.
	ceremonyTime = 5 * time.Minute
	// ceremonySize is the most that an authenticator says.
	ceremonySize   = 64 << 10
	maxPasskeyName = 60
)

//go:embed passkey.js
var passkeyJS []byte

var passkeysPage = page("passkeys")

// passkeyRecord is a passkey that an owner has registered. It holds no secret: that
// stays with the authenticator.
type passkeyRecord struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Created    time.Time           `json:"created"`
	LastUsed   time.Time           `json:"last_used,omitzero"`
	Credential webauthn.Credential `json:"credential"`
}

// passkeys is signing in with passkeys (W3C Web Authentication), of which all are
// the owner's. One is registered by somebody who has signed in already.
type passkeys struct {
	host string

	mu      sync.Mutex
	pending map[sum]ceremony // by the cookie of the browser
}

// ceremony is a question to an authenticator that is not answered yet.
type ceremony struct {
	began  time.Time
	data   webauthn.SessionData
	origin string
}

func newPasskeys(cfg config.AuthPasskeys) *passkeys {
	return &passkeys{host: strings.ToLower(cfg.Host), pending: map[sum]ceremony{}}
}

func (p *passkeys) offer() (offer, bool) {
	return offer{Kind: "passkey", Path: passkeyPath, Text: "Sign in with a passkey"}, true
}

func (p *passkeys) routes(g *Gate) []Route {
	on := func(do func(*Gate, http.ResponseWriter, *http.Request)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { do(g, w, r) })
	}
	return []Route{
		{Pattern: "GET " + passkeyPath + "/passkey.js", Handler: http.HandlerFunc(script)},
		{Pattern: "POST " + passkeyPath + "/begin", Handler: on(p.begin), MaxBody: ceremonySize},
		{Pattern: "POST " + passkeyPath + "/finish", Handler: on(p.finish), MaxBody: ceremonySize},
		{Pattern: "GET " + passkeyPath, Needs: Admin, Handler: on(p.show), Page: true},
		{Pattern: "POST " + passkeyPath + "/register", Needs: Admin, Person: true, Handler: on(p.register), MaxBody: ceremonySize},
		{Pattern: "POST " + passkeyPath + "/registered", Needs: Admin, Person: true, Handler: on(p.registered), MaxBody: ceremonySize},
		{Pattern: "POST " + passkeyPath + "/remove", Needs: Admin, Person: true, Handler: on(p.remove), MaxBody: ceremonySize},
	}
}

func script(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(passkeyJS) // the client may be gone: nobody is left to tell
}

// owner is the one user that all passkeys are of. It implements webauthn.User.
type owner struct{ passkeys []passkeyRecord }

func (o *owner) WebAuthnID() []byte          { return []byte("creel-owner") }
func (o *owner) WebAuthnName() string        { return "owner" }
func (o *owner) WebAuthnDisplayName() string { return "Owner of this creel" }
func (o *owner) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, len(o.passkeys))
	for i, k := range o.passkeys {
		list[i] = k.Credential
	}
	return list
}

// party is the relying party for a page at an origin: the host that passkeys are
// bound to, at whichever port; over https, or this machine's own.
func (p *passkeys) party(origin string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(origin)
	if err != nil || strings.ToLower(u.Hostname()) != p.host || u.Scheme != "https" && !(u.Scheme == "http" && isLocal(p.host)) {
		return nil, invalid("passkeys are for pages of https://%s, and this one is of %q", p.host, cut(printable(origin), 200))
	}
	return webauthn.New(&webauthn.Config{
		RPID: p.host, RPDisplayName: "creel", RPOrigins: []string{origin},
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired},
		AttestationPreference:  protocol.PreferNoAttestation,
	})
}

func isLocal(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// ask keeps a question until it is answered, for this browser alone.
func (p *passkeys) ask(g *Gate, w http.ResponseWriter, r *http.Request, data *webauthn.SessionData, question any) {
	browser, now := newSecret(), time.Now()
	p.mu.Lock()
	for s, c := range p.pending {
		if now.Sub(c.began) > ceremonyTime || len(p.pending) >= maxPending {
			delete(p.pending, s)
		}
	}
	p.pending[sumOf(browser)] = ceremony{now, *data, r.Header.Get("Origin")}
	p.mu.Unlock()
	http.SetCookie(w, &http.Cookie{
		Name: g.cookies.plain + "-passkey", Value: browser, Path: passkeyPath, MaxAge: int(ceremonyTime.Seconds()),
		HttpOnly: true, Secure: g.opts.Sender(r).HTTPS, SameSite: http.SameSiteStrictMode,
	})
	answerJSON(w, http.StatusOK, question)
}

// take gives the question that a browser answers, once. The browser may have several
// cookies of the name, of which somebody else may have set some.
func (p *passkeys) take(g *Gate, r *http.Request) (ceremony, *webauthn.WebAuthn, error) {
	origin, now := r.Header.Get("Origin"), time.Now()
	var c ceremony
	found := false
	p.mu.Lock()
	for browser := range cookieValues(r.Header, g.cookies.plain+"-passkey") {
		key := sumOf(browser)
		if c, found = p.pending[key]; found {
			delete(p.pending, key)
			if found = now.Sub(c.began) <= ceremonyTime && c.origin == origin; found {
				break
			}
		}
	}
	p.mu.Unlock()
	if !found {
		return c, nil, invalid("nobody has asked this browser for a passkey, or too long ago; try again")
	}
	party, err := p.party(origin)
	return c, party, err
}

// begin asks for a passkey, whichever the person has.
func (p *passkeys) begin(g *Gate, w http.ResponseWriter, r *http.Request) {
	party, err := p.party(r.Header.Get("Origin"))
	if err != nil {
		refused(w, err)
		return
	}
	question, data, err := party.BeginDiscoverableLogin()
	if err != nil {
		refused(w, fmt.Errorf("cannot ask for a passkey: %w", err))
		return
	}
	p.ask(g, w, r, data, question)
}

// finish signs in with the answer.
func (p *passkeys) finish(g *Gate, w http.ResponseWriter, r *http.Request) {
	from, now := g.opts.Sender(r), time.Now()
	if wait := g.attempts.wait(from.Addr, now); wait > 0 {
		tooMany(w, wait, "too many attempts have failed from this address")
		return
	}
	c, party, err := p.take(g, r)
	if err == nil {
		err = p.verify(g, party, c, r)
	}
	if err != nil {
		g.failed(from, "passkey", now)
		var reason *protocol.Error
		if errors.As(err, &reason) {
			err = fmt.Errorf("%s: %s", reason.Details, reason.DevInfo)
		}
		g.log.Warn("a passkey was not good", "error", err)
		refused(w, invalid("this passkey is not known here, or its answer was not good"))
		return
	}
	g.begin(w, r, from, Session{Name: "owner", Method: "passkey", Scopes: OwnerScopes})
	answerJSON(w, http.StatusOK, map[string]string{"next": safeNext(r.URL.Query().Get("next"), g.opts.Home)})
}

// verify checks the answer, and keeps the authenticator's count of signatures.
func (p *passkeys) verify(g *Gate, party *webauthn.WebAuthn, c ceremony, r *http.Request) error {
	answer, err := protocol.ParseCredentialRequestResponseBody(r.Body)
	if err != nil {
		return err
	}
	known := &owner{g.state.look().copy().Passkeys}
	find := func(_, handle []byte) (webauthn.User, error) {
		if !bytes.Equal(handle, known.WebAuthnID()) {
			return nil, errors.New("it is another user's")
		}
		return known, nil
	}
	credential, err := party.ValidateDiscoverableLogin(find, c.data, answer)
	if err != nil {
		return err
	}
	if credential.Authenticator.CloneWarning {
		return errors.New("its count of signatures has gone back: there may be a copy of it")
	}
	err = g.state.change(true, durable.Synced, func(rec *record) error {
		i := slices.IndexFunc(rec.Passkeys, func(k passkeyRecord) bool { return bytes.Equal(k.Credential.ID, credential.ID) })
		if i < 0 {
			return fmt.Errorf("%w: it was removed a moment ago", ErrUnknown)
		}
		rec.Passkeys[i].Credential, rec.Passkeys[i].LastUsed = *credential, now()
		return nil
	})
	if errors.Is(err, ErrUnknown) {
		return err
	}
	if err != nil {
		g.log.Warn("when a passkey was last used is known to this creel alone", "error", err)
	}
	return nil
}

// register asks an authenticator for a new passkey.
func (p *passkeys) register(g *Gate, w http.ResponseWriter, r *http.Request) {
	party, err := p.party(r.Header.Get("Origin"))
	if err != nil {
		refused(w, err)
		return
	}
	known := &owner{g.state.look().copy().Passkeys}
	question, data, err := party.BeginRegistration(known, webauthn.WithExclusions(webauthn.Credentials(known.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		refused(w, fmt.Errorf("cannot ask for a new passkey: %w", err))
		return
	}
	p.ask(g, w, r, data, question)
}

// registered keeps the new passkey.
func (p *passkeys) registered(g *Gate, w http.ResponseWriter, r *http.Request) {
	name := printable(cut(strings.TrimSpace(r.URL.Query().Get("name")), maxPasskeyName))
	if name == "" {
		name = "passkey"
	}
	c, party, err := p.take(g, r)
	if err != nil {
		refused(w, err)
		return
	}
	answer, err := protocol.ParseCredentialCreationResponseBody(r.Body)
	if err != nil {
		refused(w, invalid("the authenticator's answer cannot be understood"))
		return
	}
	credential, err := party.CreateCredential(&owner{}, c.data, answer)
	if err != nil {
		refused(w, invalid("the authenticator's answer is not good: %v", err))
		return
	}
	k := passkeyRecord{ID: newID(), Name: name, Created: now(), Credential: *credential}
	err = g.state.change(false, durable.Synced, func(rec *record) error {
		if len(rec.Passkeys) >= maxPasskeys {
			return fmt.Errorf("%w: %d passkeys; remove some", ErrFull, len(rec.Passkeys))
		}
		rec.Passkeys = append(rec.Passkeys, k)
		return nil
	})
	if err != nil {
		refused(w, err)
		return
	}
	g.record(event.PasskeyAdded, "a passkey was registered: "+name, map[string]any{"passkey": k.ID, "by": From(r.Context()).Name})
	answerJSON(w, http.StatusCreated, map[string]string{"id": k.ID, "name": k.Name})
}

// remove forgets a passkey.
func (p *passkeys) remove(g *Gate, w http.ResponseWriter, r *http.Request) {
	if err := g.RemovePasskey(r.Context(), r.PostFormValue("id")); err != nil {
		refused(w, err)
		return
	}
	g.redirect(w, passkeyPath)
}

// show is the page on which passkeys are registered and removed.
func (p *passkeys) show(g *Gate, w http.ResponseWriter, _ *http.Request) {
	var page strings.Builder
	nonce := Nonce()
	err := passkeysPage.Execute(&page, struct {
		Nonce, Path, Host string
		Passkeys          []passkeyRecord
	}{nonce, passkeyPath, p.host, g.state.look().copy().Passkeys})
	if err != nil {
		panic(err) // a template of this package's own with a value of its own
	}
	SecurityHeaders(w.Header(), nonce)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(page.String())) // the client may be gone: nobody is left to tell
}
