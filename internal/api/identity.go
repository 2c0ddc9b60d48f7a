package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"creel/internal/auth"
	"creel/internal/problem"
	"creel/internal/surface"
)

// Identity is who may come in, as package auth's gate keeps it.
type Identity = surface.Identity

// SessionInfo is a session, and whether it is the one that asks.
type SessionInfo struct {
	auth.Session
	Current bool `json:"current"`
}

// SessionList is the answer to GET sessions.
type SessionList struct {
	Sessions []SessionInfo `json:"sessions"`
}

// TokenList is the answer to GET tokens.
type TokenList struct {
	Tokens []auth.Token `json:"tokens"`
}

// TokenRequest is the body of POST tokens.
type TokenRequest struct {
	Name   string       `json:"name"`   // for people to read: 1 to 100 characters
	Scopes []auth.Scope `json:"scopes"` // what it may do: at least one, and none that whoever asks does not have
	// Expires is when it stops to be good, at most ten years from now; without it,
	// it is good until it is revoked.
	Expires time.Time `json:"expires,omitzero"`
}

// NewToken is the answer to POST tokens.
type NewToken struct {
	Token auth.Token `json:"token"`
	// Secret is what to send as "Authorization: Bearer …". It is told this once.
	Secret string `json:"secret"`
}

// Login is the answer to POST login.
type Login struct {
	Link string `json:"link"` // to be opened once, in the browser that is to be signed in
	// Expires is when it stops to be good; without it, nobody has to sign in.
	Expires time.Time `json:"expires,omitzero"`
}

func (a *API) identityRoutes() []route {
	return []route{
		handle("GET", v1("sessions"), auth.Admin, "listSessions", "Who is signed in", a.listSessions, jsonOf[SessionList]()),
		handle("DELETE", v1("sessions/{id}"), auth.Admin, "revokeSession", "Sign somebody out", a.revokeSession, jsonOf[SessionInfo]()),
		handle("GET", v1("tokens"), auth.Admin, "listTokens", "The API tokens, without their secrets", a.listTokens, jsonOf[TokenList]()),
		handle("POST", v1("tokens"), auth.Admin, "createToken", "Make an API token; its secret is in this answer and nowhere else", a.createToken, jsonOf[NewToken]().with(http.StatusCreated)).
			taking(reflect.TypeFor[TokenRequest]()),
		handle("DELETE", v1("tokens/{id}"), auth.Admin, "revokeToken", "Make an API token worthless", a.revokeToken, jsonOf[auth.Token]()),
		handle("POST", v1("login"), auth.Admin, "createLogin", "Make a link that signs in whoever opens it first", a.login, jsonOf[Login]().with(http.StatusCreated)).onSocket(),
	}
}

// identity gives who knows who may come in; nil: it has answered that nobody does.
func (a *API) identity(w http.ResponseWriter) Identity {
	if a.opts.Identity == nil {
		d := problem.Document{
			Status: http.StatusNotFound, Code: "no_auth", Title: "There are no sessions and no tokens",
			Detail: "this creel asks nobody who they are", Hint: "Sessions and tokens come with auth: see docs/configuration.md.",
		}
		d.Write(w)
	}
	return a.opts.Identity
}

func (a *API) sessions(r *http.Request, who Identity) []SessionInfo {
	list := []SessionInfo{}
	for _, s := range who.Sessions() {
		s.Scopes = append([]auth.Scope{}, s.Scopes...)
		list = append(list, SessionInfo{s, s.ID == auth.From(r.Context()).Session})
	}
	return list
}

func (a *API) listSessions(w http.ResponseWriter, r *http.Request, _ none) {
	if who := a.identity(w); who != nil {
		writeJSON(w, http.StatusOK, SessionList{a.sessions(r, who)})
	}
}

func (a *API) revokeSession(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	if who == nil {
		return
	}
	id := r.PathValue("id")
	list := a.sessions(r, who)
	i := slices.IndexFunc(list, func(s SessionInfo) bool { return s.ID == id })
	if i < 0 {
		gone(w, "session", id)
		return
	}
	if err := who.RevokeSession(id); err != nil {
		identityProblem(w, err)
		return
	}
	writeJSON(w, http.StatusOK, list[i])
}

func (a *API) listTokens(w http.ResponseWriter, _ *http.Request, _ none) {
	if who := a.identity(w); who != nil {
		writeJSON(w, http.StatusOK, TokenList{append([]auth.Token{}, who.Tokens()...)})
	}
}

func (a *API) revokeToken(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	if who == nil {
		return
	}
	id := r.PathValue("id")
	list := who.Tokens()
	i := slices.IndexFunc(list, func(t auth.Token) bool { return t.ID == id })
	if i < 0 {
		gone(w, "token", id)
		return
	}
	if err := who.RevokeToken(id); err != nil {
		identityProblem(w, err)
		return
	}
	writeJSON(w, http.StatusOK, list[i])
}

// identityProblem tells errors of a gate apart.
func identityProblem(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, auth.ErrInvalid):
		bad(w, err.Error())
	case errors.Is(err, auth.ErrFull):
		d := problem.Document{Status: http.StatusConflict, Code: "too_many", Title: "There are too many", Detail: err.Error(), Hint: "Revoke some that are not used any more."}
		d.Write(w)
	case errors.Is(err, auth.ErrUnknown):
		d := problem.Document{Status: http.StatusNotFound, Code: "not_found", Title: "There is none", Detail: err.Error(), Hint: "It has ended a moment ago."}
		d.Write(w)
	default:
		failed(w, err)
	}
}

func gone(w http.ResponseWriter, what, id string) {
	d := problem.Document{
		Status: http.StatusNotFound, Code: "no_such_" + what, Title: "No such " + what, Detail: fmt.Sprintf("no %s has the id %q", what, id),
		Hint: "It may have ended already: see GET " + v1(what+"s") + ".",
	}
	d.Write(w)
}

func (a *API) createToken(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	var q TokenRequest
	if who == nil || !decodeBody(w, r, &q) {
		return
	}
	if err := q.check(); err != nil {
		bad(w, err.Error())
		return
	}
	asks := auth.From(r.Context())
	for _, s := range q.Scopes {
		if !asks.May(s) {
			d := problem.Document{
				Status: http.StatusForbidden, Code: "scope_too_wide", Title: "That is more than you may",
				Detail: fmt.Sprintf("a token with the scope %s cannot be made by %s, who does not have it", s, asks.Name), Hint: "Leave it out.",
			}
			d.Write(w)
			return
		}
	}
	secret, token, err := who.CreateToken(strings.TrimSpace(q.Name), q.Scopes, q.Expires)
	if err != nil {
		identityProblem(w, err)
		return
	}
	writeJSON(w, http.StatusCreated, NewToken{token, secret.Reveal()})
}

const (
	mostTokenName = 100
	mostTokenLife = 10 * 366 * 24 * time.Hour
)

// check tells what is wrong with a request for a token.
func (q TokenRequest) check() error {
	name := strings.TrimSpace(q.Name)
	switch n := len([]rune(name)); {
	case n == 0 || n > mostTokenName:
		return fmt.Errorf("name has %d characters; it has 1 to %d", n, mostTokenName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("name has characters that cannot be printed")
	case len(q.Scopes) == 0:
		return fmt.Errorf("scopes is empty: name at least one of %s", words(auth.OwnerScopes))
	case !q.Expires.IsZero() && time.Until(q.Expires) <= 0:
		return fmt.Errorf("expires is over already: %s", q.Expires.Format(time.RFC3339))
	case time.Until(q.Expires) > mostTokenLife:
		return fmt.Errorf("expires is more than ten years away; leave it out for a token that does not expire")
	}
	for i, s := range q.Scopes {
		if !slices.Contains(auth.OwnerScopes, s) {
			return fmt.Errorf("there is no scope %q; there are %s", s, words(auth.OwnerScopes))
		}
		if slices.Contains(q.Scopes[:i], s) {
			return fmt.Errorf("scopes has %s twice", s)
		}
	}
	return nil
}

func words(scopes []auth.Scope) string {
	var list []string
	for _, s := range scopes {
		list = append(list, string(s))
	}
	return strings.Join(list, ", ")
}

func (a *API) login(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	if who == nil {
		return
	}
	path, expires, err := who.LoginLink(r.Context())
	if err != nil {
		failed(w, err)
		return
	}
	writeJSON(w, http.StatusCreated, Login{a.base() + path, expires})
}

// base is what addresses of creel begin with, as a browser on this machine can use
// them: "http://127.0.0.1:8080".
func (a *API) base() string {
	if a.opts.Link != nil {
		if u, err := url.Parse(a.opts.Link()); err == nil && u.Host != "" {
			return cmp.Or(u.Scheme, "http") + "://" + u.Host
		}
	}
	return "http://" + a.opts.Listen
}
