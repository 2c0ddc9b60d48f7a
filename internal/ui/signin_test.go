package ui

import (
	"net/url"
	"strings"
	"testing"

	"creel/internal/auth"
)

// TestSignIn: an owner sees how they sign in, and changes it; an API token sees it, and
// a person alone changes it.
func TestSignIn(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	settings := func() string { _, page := get(t, h, Prefix+"settings"); return page }
	if page := settings(); !strings.Contains(page, "Set 12 days ago") && !strings.Contains(page, ">12 days ago<") || !strings.Contains(page, "Blue security key") || !strings.Contains(page, auth.PasskeyPath) || !strings.Contains(page, "OpenID Connect") {
		t.Errorf("the page says: %s", page)
	}
	for _, row := range []struct {
		path string
		form url.Values
		says string
		then string // what the page shows afterwards
	}{
		{"password", url.Values{"password": {"correct horse"}, "again": {"correct house"}}, "are not the same", "12 days ago"},
		{"password", url.Values{"password": {"short"}, "again": {"short"}}, "8 to 1024", "12 days ago"},
		{"password", url.Values{"password": {"correct horse"}, "again": {"correct horse"}}, "was changed", "just now"},
		{"password/remove", nil, "<code>creel login</code>", "None is set"},
		{"password", url.Values{"password": {"correct horse"}, "again": {"correct horse"}}, "was set", "just now"},
		{"passkeys/remove", url.Values{"id": {"k2"}}, "signs nobody in", "Pixel 9"},
	} {
		_, page := post(t, h, Prefix+"settings/"+row.path, row.form)
		if !strings.Contains(page, row.says) || !strings.Contains(settings(), row.then) {
			t.Errorf("%s with %v: no %q or no %q in %s", row.path, row.form, row.says, row.then, page)
		}
		if strings.Contains(page, "correct ho") {
			t.Errorf("%s: the password is on a page", row.path)
		}
	}
	if strings.Contains(settings(), "Blue security key") {
		t.Error("a passkey that was removed is there")
	}
	if _, page := get(t, h, Prefix+"settings/passkeys/remove?id=k1"); !strings.Contains(page, "Remove the passkey “Pixel 9”?") {
		t.Error("it does not ask first")
	}
	if status, _ := get(t, h, Prefix+"settings/passkeys/remove?id=none"); status != 404 {
		t.Errorf("a passkey that is not there: %d", status)
	}

	w.people.password = auth.Password{Set: true, File: true}
	if page := settings(); !strings.Contains(page, "auth.password.file") || strings.Contains(page, `action="/_creel/settings/password"`) {
		t.Error("a password of the configuration's can be changed here")
	}
	if status, _ := get(t, h, Prefix+"settings/password/remove"); status != 404 {
		t.Errorf("removing the configuration's password: %d", status)
	}
	w.people.open = true
	if page := settings(); !strings.Contains(page, "Nobody has to") || strings.Contains(page, "sessions-title") || strings.Contains(page, `type="password"`) {
		t.Error("where nobody is asked, the page does not say so")
	}

	w.people.open, w.people.password = false, auth.Password{}
	program := serve(t, w.opts, func() auth.Principal {
		return auth.Principal{Name: "script", Kind: auth.KindToken, Scopes: auth.OwnerScopes}
	})
	if _, page := get(t, program, Prefix+"settings"); strings.Contains(page, `type="password"`) || strings.Contains(page, "settings/passkeys/remove") || !strings.Contains(page, "Pixel 9") {
		t.Error("a token is shown what takes a person")
	}
	persons := 0
	u := New(w.opts)
	defer u.Close()
	for _, r := range u.Routes() {
		if r.Person {
			persons++
		}
		if changes := strings.HasPrefix(r.Pattern, "POST "+Prefix+"settings/pass"); changes != r.Person {
			t.Errorf("%s: person alone: %v", r.Pattern, r.Person)
		}
	}
	if persons != 3 {
		t.Errorf("%d routes take a person", persons)
	}
}
