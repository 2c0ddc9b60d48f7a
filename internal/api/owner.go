package api

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"creel/internal/auth"
	"creel/internal/problem"
)

// PasswordRequest is the body of PUT owner/password.
type PasswordRequest struct {
	Password string `json:"password"` // 8 to 1024 bytes
}

// PasskeyList is the answer to GET owner/passkeys.
type PasskeyList struct {
	// Host is the name that passkeys are bound to (auth.passkeys.host); without it,
	// there are none at this creel.
	Host     string         `json:"host,omitempty"`
	Passkeys []auth.Passkey `json:"passkeys"` // the oldest first
}

// ownerRoutes are how the owner signs in beside links. What they make outlives an API
// token, so that it takes a person: on the public door that is one in a browser (the
// settings page), and here whoever may open the control socket.
func (a *API) ownerRoutes() []route {
	return []route{
		handle("GET", v1("owner/password"), auth.Admin, "getPassword", "Whether there is a password that signs the owner in", a.getPassword, jsonOf[auth.Password]()),
		handle("PUT", v1("owner/password"), auth.Admin, "setPassword", "Set the owner's password, or another one: sessions that the old one has begun end", a.setPassword, jsonOf[auth.Password]()).
			taking(reflect.TypeFor[PasswordRequest]()).onSocket(),
		handle("DELETE", v1("owner/password"), auth.Admin, "removePassword", "Forget the owner's password: sessions that it has begun end", a.removePassword, jsonOf[auth.Password]()).onSocket(),
		handle("GET", v1("owner/passkeys"), auth.Admin, "listPasskeys", "The passkeys that sign the owner in; they are registered in a browser", a.listPasskeys, jsonOf[PasskeyList]()),
		handle("DELETE", v1("owner/passkeys/{id}"), auth.Admin, "removePasskey", "Forget a passkey: it signs nobody in any more", a.removePasskey, jsonOf[auth.Passkey]()).onSocket(),
	}
}

func (a *API) getPassword(w http.ResponseWriter, _ *http.Request, _ none) {
	if who := a.identity(w); who != nil {
		writeJSON(w, http.StatusOK, who.Password())
	}
}

func (a *API) setPassword(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	var q PasswordRequest
	if who == nil || !decodeBody(w, r, &q) {
		return
	}
	if err := who.SetPassword(r.Context(), q.Password); err != nil {
		passwordProblem(w, err)
		return
	}
	writeJSON(w, http.StatusOK, who.Password())
}

func (a *API) removePassword(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	if who == nil {
		return
	}
	if err := who.RemovePassword(r.Context()); err != nil {
		passwordProblem(w, err)
		return
	}
	writeJSON(w, http.StatusOK, who.Password())
}

// passwordProblem tells what is special to a password apart.
func passwordProblem(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, auth.ErrFromFile):
		d := problem.Document{Status: http.StatusConflict, Code: "password_from_file", Title: "The password is kept elsewhere", Detail: err.Error()}
		d.Write(w)
	case errors.Is(err, auth.ErrUnknown):
		d := problem.Document{Status: http.StatusNotFound, Code: "no_password", Title: "There is no password", Detail: "no password is set, so that none can be removed"}
		d.Write(w)
	default:
		identityProblem(w, err)
	}
}

func (a *API) listPasskeys(w http.ResponseWriter, _ *http.Request, _ none) {
	if who := a.identity(w); who != nil {
		writeJSON(w, http.StatusOK, PasskeyList{who.PasskeyHost(), append([]auth.Passkey{}, who.Passkeys()...)})
	}
}

func (a *API) removePasskey(w http.ResponseWriter, r *http.Request, _ none) {
	who := a.identity(w)
	if who == nil {
		return
	}
	id := r.PathValue("id")
	list := who.Passkeys()
	i := slices.IndexFunc(list, func(k auth.Passkey) bool { return k.ID == id })
	if i < 0 {
		d := problem.Document{
			Status: http.StatusNotFound, Code: "no_such_passkey", Title: "No such passkey", Detail: fmt.Sprintf("no passkey has the id %q", id),
			Hint: "It may have been removed already: see GET " + v1("owner/passkeys") + ".",
		}
		d.Write(w)
		return
	}
	if err := who.RemovePasskey(r.Context(), id); err != nil {
		identityProblem(w, err)
		return
	}
	writeJSON(w, http.StatusOK, list[i])
}
