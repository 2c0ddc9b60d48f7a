package auth

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"creel/internal/problem"
)

// TestTable asks for every route as everybody. The last word of an expectation is
// the code of the problem document, if it is one.
func TestTable(t *testing.T) {
	w := newWorld(t, nil)
	owner := w.signIn()
	expired := w.signIn()
	if err := w.gate.RevokeSession(w.gate.Sessions()[0].ID); err != nil { // either is as good
		t.Fatal(err)
	}
	if a := w.get("/_creel/metrics", owner); a.status != 200 {
		owner, expired = expired, owner
	}
	reader := w.token(Read)
	crossSite := with(owner, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	wrongToken := http.Header{"Authorization": {"Bearer creel_WRONG"}}
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}

	browser := []string{"Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}

	const (
		ok     = "200"
		login  = "303 login"
		no     = "401 unauthenticated"
		not    = "403 forbidden"
		lured  = "403 cross_origin"
		absent = "404 not_found"
	)
	rows := []struct {
		method, path string
		extra        []string
		// anonymous, a wrong token, a session that has ended, a reader, an owner, an
		// owner whose browser another site's page makes ask
		want [6]string
	}{
		{"GET", "/_creel/healthz", nil, [6]string{ok, ok, ok, ok, ok, ok}},
		{"GET", "/_creel/status", nil, [6]string{ok, ok, ok, ok, ok, ok}},
		{"GET", "/api/status", nil, [6]string{ok, ok, ok, ok, ok, ok}},
		{"GET", "/_creel/metrics", nil, [6]string{no, no, no, ok, ok, ok}},
		{"GET", "/_creel/api/v1/events", nil, [6]string{no, no, no, ok, ok, ok}},
		{"POST", "/_creel/api/v1/restart", nil, [6]string{no, no, no, not, ok, lured}},
		{"POST", "/api/admin/restart", nil, [6]string{no, no, no, not, ok, lured}},
		{"DELETE", "/_creel/api/v1/sessions/x", nil, [6]string{no, no, no, not, ok, lured}},
		{"GET", "/_creel/", nil, [6]string{no, no, no, ok, ok, ok}},
		{"GET", "/_creel/", browser, [6]string{login, login, login, ok, ok, ok}},
		{"GET", "/_creel/nothing", nil, [6]string{no, no, no, absent, absent, absent}},
		{"PUT", "/_creel/status", nil, [6]string{no, no, no, absent, absent, lured}},
		{"GET", "/_creel/open", nil, [6]string{no, no, no, not, "303 /#token=of-the-gateway", "303 /#token=of-the-gateway"}},
		{"GET", "/_creel/login", nil, [6]string{ok, ok, ok, "303 /_creel/", "303 /_creel/", "303 /_creel/"}},
		{"POST", "/_creel/login", nil, [6]string{"400", "400", "400", "400", "400", lured}},
		// The gateway, of which creel knows no routes.
		{"GET", "/", nil, [6]string{no, no, no, not, ok, ok}},
		{"GET", "/chat?x=1", browser, [6]string{login, login, login, not, ok, ok}},
		{"POST", "/v1/chat/completions", nil, [6]string{no, no, no, not, ok, lured}},
		{"GET", "/api/channels/x", nil, [6]string{no, no, no, not, ok, ok}},
		{"GET", "//_creel/status", nil, [6]string{no, no, no, not, ok, ok}},
		{"GET", "/ws", socket, [6]string{no, no, no, not, ok, lured}},
		{"GET", "/_creel/api/v1/events", socket, [6]string{no, no, no, ok, ok, lured}},
	}
	for _, row := range rows {
		for i, who := range []struct {
			name   string
			header http.Header
		}{{"anonymous", nil}, {"wrong token", wrongToken}, {"ended session", expired}, {"reader", reader}, {"owner", owner}, {"cross-site", crossSite}} {
			w.gate.attempts = newAttempts() // that failures slow down is another test
			h := with(who.header, row.extra...)
			before := w.reached()
			a := w.do(request{method: row.method, path: row.path, header: h})
			if got := short(a); got != row.want[i] {
				t.Errorf("%s %s as %s: %s, want %s\n%v", row.method, row.path, who.name, got, row.want[i], a)
			}
			gateways := !strings.HasPrefix(row.path, Prefix) && row.path != "/api/status" && row.path != "/api/admin/restart"
			if reached := w.reached() > before; reached != (gateways && row.want[i] == ok) {
				t.Errorf("%s %s as %s: reached the gateway: %v", row.method, row.path, who.name, reached)
			}
			if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s as %s: 401 without WWW-Authenticate (RFC 9110 §11.6.1)", row.method, row.path, who.name)
			}
			if a.status >= 400 && a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s as %s: may be stored", row.method, row.path, who.name)
			}
		}
	}
	// No route is left out of the table.
	for _, r := range append(ownRoutes(), w.gate.Routes()...) {
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{$}", "", "{id}", "x").Replace(path)
		known := r.Pattern == "POST "+LogoutPath // TestLogout
		for _, row := range rows {
			known = known || row.method == method && row.path == path
		}
		if !known {
			t.Errorf("%s is in no row", r.Pattern)
		}
	}
}

// short is an answer in two words.
func short(a answer) string {
	status := ""
	switch {
	case a.header.Get("Content-Type") == problem.ContentType:
		var d struct{ Code string }
		if err := json.Unmarshal([]byte(a.body), &d); err != nil {
			return err.Error()
		}
		status = d.Code
	case a.status == http.StatusSeeOther:
		status = a.header.Get("Location")
		if strings.HasPrefix(status, LoginPath) {
			status = "login"
		}
	}
	return strings.TrimSpace(strconv.Itoa(a.status) + " " + status)
}

// TestExpiredToken: a token is good until it expires, and not a moment longer.
func TestExpiredToken(t *testing.T) {
	w := newWorld(t, nil)
	secret, token, err := w.gate.CreateToken("short", []Scope{Use}, now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if w.gate.state.findToken(secret.Reveal(), token.Expires.Add(-time.Second)) == nil || w.gate.state.findToken(secret.Reveal(), token.Expires) != nil {
		t.Error("it is not good for as long as it says")
	}
	if err := w.gate.RevokeToken(token.ID); err != nil {
		t.Fatal(err)
	}
	if w.gate.state.findToken(secret.Reveal(), time.Now()) != nil {
		t.Error("it is good though it was revoked")
	}
}
