package ui

import (
	"errors"
	"net/http"

	"creel/internal/auth"
)

// signIn is how the person who looks signs in, beside links: what can be managed here.
type signIn struct {
	Password auth.Password
	Host     string // that passkeys are bound to; empty: there are none
	Passkeys []auth.Passkey
	Register string   // where passkeys are registered
	Others   []string // what else people sign in by, in words
	Person   bool     // who looks is a person, and may change it
}

func signInOf(identity Identity, who auth.Principal) signIn {
	s := signIn{Password: identity.Password(), Host: identity.PasskeyHost(), Passkeys: identity.Passkeys(), Register: auth.PasskeyPath, Person: who.Kind != auth.KindToken}
	for _, method := range identity.Methods() {
		switch method {
		case "oidc":
			s.Others = append(s.Others, "OpenID Connect")
		case "access":
			s.Others = append(s.Others, "Cloudflare Access")
		case "header":
			s.Others = append(s.Others, "a reverse proxy")
		}
	}
	return s
}

const (
	pathPassword       = Prefix + "settings/password"
	pathRemovePassword = Prefix + "settings/password/remove"
	pathRemovePasskey  = Prefix + "settings/passkeys/remove"
)

// signInActions change how owners sign in: what they make outlives an API token, so
// that it takes a person.
func signInActions() []action {
	const back = Prefix + "settings"
	list := []action{
		{pattern: pathPassword, back: back, do: setPassword},
		{pattern: pathRemovePassword, back: back, do: removePassword},
		{pattern: pathRemovePasskey, back: back, do: removePasskey},
	}
	for i := range list {
		list[i].needs, list[i].person = auth.Admin, true
	}
	return list
}

func setPassword(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	first := r.PostForm.Get("password")
	if first != r.PostForm.Get("again") {
		return "", flash{}, &pageError{http.StatusBadRequest, "", "The two passwords are not the same", "Nothing was changed: give the same one twice."}
	}
	before := u.opts.Identity.Password().Set
	err := u.opts.Identity.SetPassword(r.Context(), first)
	switch {
	case errors.Is(err, auth.ErrInvalid):
		return "", flash{}, &pageError{http.StatusBadRequest, "", "A password has 8 to 1024 characters", "Nothing was changed. The longer, the better: a few words do."}
	case err != nil:
		return "", flash{}, err
	case before:
		return "", flash{Tone: toneOK, Text: "The password was changed. Whoever was signed in by the old one is signed out, but for this browser."}, nil
	}
	return "", flash{Tone: toneOK, Text: "The password was set. From now on it signs in, beside links."}, nil
}

func removePassword(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	if err := u.opts.Identity.RemovePassword(r.Context()); err != nil {
		return "", flash{}, err
	}
	return "", flash{Tone: toneOK, Text: "The password was removed. `creel login` prints a link that signs in."}, nil
}

func removePasskey(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	if err := u.opts.Identity.RemovePasskey(r.Context(), r.PostForm.Get("id")); err != nil {
		return "", flash{}, err
	}
	return "", flash{Tone: toneOK, Text: "The passkey was removed: it signs nobody in any more."}, nil
}

func confirmRemovePassword(u *UI, _ *http.Request) (any, error) {
	if u.opts.Identity == nil {
		return nil, errNoIdentity
	}
	if p := u.opts.Identity.Password(); !p.Set || p.File {
		return nil, &pageError{http.StatusNotFound, "There is no password to remove", "None is set here.", ""}
	}
	return confirmPage{
		Title: "Remove the password?", Action: pathRemovePassword, Do: "Remove it", Grave: true, Back: Prefix + "settings",
		Points: []string{
			"It signs nobody in any more.", "Whoever was signed in by it is signed out, but for this browser.",
			"You sign in by a link, which `creel login` prints on the machine that creel runs on, or by what else is set up.",
		},
	}, nil
}

func confirmRemovePasskey(u *UI, r *http.Request) (any, error) {
	if u.opts.Identity == nil {
		return nil, errNoIdentity
	}
	id := r.URL.Query().Get("id")
	for _, k := range u.opts.Identity.Passkeys() {
		if k.ID == id {
			return confirmPage{
				Title: "Remove the passkey “" + k.Name + "”?", Action: pathRemovePasskey, Do: "Remove it", Grave: true, Back: Prefix + "settings",
				Points: []string{"It signs nobody in any more. On the device that has it, it can be deleted, too.", "Sessions that it has begun go on: end them under Sessions if the device is lost."},
				Fields: []field{{Name: "id", Value: id}},
			}, nil
		}
	}
	return nil, &pageError{http.StatusNotFound, "No such passkey", "It was removed already.", ""}
}
