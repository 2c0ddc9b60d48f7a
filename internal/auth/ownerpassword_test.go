package auth

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/internal/event"
)

// TestOwnerPassword: an owner sets a password, and another, and removes it; whoever came
// in by an older one goes with it, and the next creel knows it.
func TestOwnerPassword(t *testing.T) {
	w := newWorld(t, nil)
	try := func(password string) answer {
		t.Helper()
		w.gate.attempts = newAttempts()
		return w.do(request{method: "POST", path: LoginPath, form: url.Values{"password": {password}}})
	}
	offered := func() bool { return strings.Contains(w.get(LoginPath, nil).body, `type="password"`) }
	if a := try("correct horse"); a.status != 400 || offered() || w.gate.Password().Set || slices.Contains(w.gate.Methods(), "password") {
		t.Errorf("none is set: %v", a)
	}
	if err := w.gate.RemovePassword(t.Context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("removing none: %v", err)
	}
	if err := w.gate.SetPassword(t.Context(), "short"); !errors.Is(err, ErrInvalid) || w.gate.Password().Set {
		t.Errorf("one that is too short: %v", err)
	}
	if err := w.gate.SetPassword(t.Context(), "correct horse"); err != nil {
		t.Fatal(err)
	}
	if p := w.gate.Password(); !p.Set || p.File || p.Since.IsZero() || !offered() || !slices.Contains(w.gate.Methods(), "password") {
		t.Errorf("it is set, and %+v", p)
	}
	if b, err := os.ReadFile(filepath.Join(w.dir, stateName)); err != nil || strings.Contains(string(b), "correct horse") {
		t.Errorf("it is kept as it is: %v", err)
	}
	first := cookieOf(t, try("correct horse"))
	elsewhere := newSecret() // each attempt costs 64 MiB and a tenth of a second
	if err := w.gate.state.addSession(elsewhere, Session{ID: "elsewhere", Name: "owner", Method: methodPassword, Scopes: OwnerScopes, LastSeen: now(), Expires: now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	second := http.Header{"Cookie": {w.gate.cookies.plain + "=" + elsewhere}}
	linked := w.signIn()
	id := func(cookie string) string {
		t.Helper()
		_, secret, _ := strings.Cut(cookie, "=")
		return w.gate.state.findSession(secret, now()).ID
	}
	mine := With(t.Context(), Principal{Name: "owner", Kind: KindSession, Session: id(first.Get("Cookie"))})
	open := w.open(second)
	if err := w.gate.SetPassword(mine, "battery staple"); err != nil {
		t.Fatal(err)
	}
	if err := <-open.ended; err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("what came in by the old password stays: %v", err)
	}
	if got := []int{w.get("/", first).status, w.get("/", second).status, w.get("/", linked).status, try("correct horse").status, try("battery staple").status}; !slices.Equal(got, []int{200, 401, 200, 403, 303}) {
		t.Errorf("who sets it, the other one, one by a link, the old one, the new one: %v", got)
	}

	// The next creel, which finds a file: that one counts, and is changed there alone.
	next, err := New(w.gate.opts)
	if err != nil {
		t.Fatal(err)
	}
	if !next.Password().Set || !bytes.Equal(next.keptPassword().sum, w.gate.keptPassword().sum) {
		t.Error("the next creel does not know it")
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	const line = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	file, err := parseHash(line)
	if err != nil {
		t.Fatal(err)
	}
	o := w.gate.opts
	o.Config.Password.File = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(o.Config.Password.File, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if next, err = New(o); err != nil {
		t.Fatal(err)
	}
	if p := next.Password(); !p.Set || !p.File || !bytes.Equal(next.password.hash().sum, file.sum) {
		t.Errorf("beside a file: %+v", p)
	}
	if set, removed := next.SetPassword(t.Context(), "another one"), next.RemovePassword(t.Context()); !errors.Is(set, ErrFromFile) || !errors.Is(removed, ErrFromFile) {
		t.Errorf("changing the file's: %v, %v", set, removed)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}

	if err := w.gate.RemovePassword(mine); err != nil {
		t.Fatal(err)
	}
	if a := try("battery staple"); a.status != 400 || offered() {
		t.Errorf("removed, and %v", a)
	}
	if w.count(event.PasswordSet) != 2 || w.count(event.PasswordRemoved) != 1 {
		t.Error("the journal does not know of it")
	}
}
