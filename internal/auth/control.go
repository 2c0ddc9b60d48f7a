package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"creel/internal/problem"
)

// ControlPrefix is what the paths of Control begin with, on the control socket.
const ControlPrefix = Prefix + "api/v1/auth/"

// LoginLinkAnswer is the answer to POST auth/login.
type LoginLinkAnswer struct {
	Link    string    `json:"link"`
	Expires time.Time `json:"expires,omitzero"` // zero: it does not
}

// SessionList is the answer to GET auth/sessions.
type SessionList struct {
	Methods  []string  `json:"methods"` // how people sign in
	Sessions []Session `json:"sessions"`
}

// TokenList is the answer to GET auth/tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// NewToken is what POST auth/tokens is told.
type NewToken struct {
	Name    string    `json:"name"`
	Scopes  []Scope   `json:"scopes"`
	Expires time.Time `json:"expires,omitzero"`
}

// MadeToken is the answer to POST auth/tokens. The secret is shown this once.
type MadeToken struct {
	Token
	Secret string `json:"secret"`
}

// Control is the gate's part of the control socket, whose clients are the owner;
// what it does not know it leaves to next.
//
//	POST   auth/login          LoginLinkAnswer
//	GET    auth/sessions       SessionList
//	DELETE auth/sessions/{id}  204; 404: there is none
//	GET    auth/tokens         TokenList
//	POST   auth/tokens         NewToken -> 201 MadeToken; 400, 409: it is refused
//	DELETE auth/tokens/{id}    204; 404: there is none
//
// link is the address to click with auth off; nil: the first page.
func (g *Gate) Control(next http.Handler, link func() string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ControlPrefix+"login", func(w http.ResponseWriter, r *http.Request) {
		path, expires, err := g.LoginLink(r.Context())
		if err != nil {
			refused(w, err)
			return
		}
		answer := LoginLinkAnswer{Link: g.opts.Absolute(path), Expires: expires}
		if g.opts.Open && link != nil {
			answer.Link = link()
		}
		answerJSON(w, http.StatusOK, answer)
	})
	mux.HandleFunc("GET "+ControlPrefix+"sessions", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, SessionList{Methods: g.Methods(), Sessions: g.Sessions()})
	})
	mux.HandleFunc("DELETE "+ControlPrefix+"sessions/{id}", revoking(g.RevokeSession))
	mux.HandleFunc("GET "+ControlPrefix+"tokens", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, TokenList{g.Tokens()})
	})
	mux.HandleFunc("POST "+ControlPrefix+"tokens", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		var asked NewToken
		if err == nil {
			err = json.Unmarshal(b, &asked)
		}
		if err != nil {
			refused(w, fmt.Errorf("%w: %w", ErrInvalid, err))
			return
		}
		secret, token, err := g.CreateToken(asked.Name, asked.Scopes, asked.Expires)
		if err != nil {
			refused(w, err)
			return
		}
		answerJSON(w, http.StatusCreated, MadeToken{token, secret.Reveal()})
	})
	mux.HandleFunc("DELETE "+ControlPrefix+"tokens/{id}", revoking(g.RevokeToken))
	mux.Handle("/", next)
	return mux
}

func revoking(revoke func(id string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := revoke(r.PathValue("id")); err != nil {
			refused(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// refused answers with what this package's errors mean to a client.
func refused(w http.ResponseWriter, err error) {
	d := problem.Document{Status: http.StatusInternalServerError, Code: "internal", Title: "creel cannot do that", Detail: err.Error()}
	switch {
	case errors.Is(err, ErrUnknown):
		d.Status, d.Code, d.Title = http.StatusNotFound, CodeNotFound, "There is none"
	case errors.Is(err, ErrInvalid):
		d.Status, d.Code, d.Title = http.StatusBadRequest, "bad_request", "Bad request"
	case errors.Is(err, ErrFull):
		d.Status, d.Code, d.Title = http.StatusConflict, "full", "There is no room"
	}
	d.Write(w)
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of this package's own types come here
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone: nobody is left to tell
}
