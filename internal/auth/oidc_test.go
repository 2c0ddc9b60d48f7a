package auth

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"

	"creel/internal/config"
)

// provider starts an OpenID Connect provider: a server of its own, which signs with
// keys of its own.
func provider(t *testing.T) *mockoidc.MockOIDC {
	t.Helper()
	p, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Server.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func oidcConfig(t *testing.T, p *mockoidc.MockOIDC) config.AuthOIDC {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(p.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.AuthOIDC{
		Issuer: p.Issuer(), ClientID: p.ClientID, ClientSecretFile: file, Scopes: []string{"email", "profile", "groups"}, GroupsClaim: "groups",
		Emails: []string{"Anna@example.org"}, Domains: []string{"owners.example"}, Groups: []string{"captains"}, Readers: []string{"bob@example.org", "@readers.example", "crew"},
	}
}

// visitor is a person's browser: it follows redirects and keeps cookies.
func visitor(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

func visit(t *testing.T, c *http.Client, address string) answer {
	t.Helper()
	w := &world{t: t}
	resp, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	return w.read(resp)
}

// TestOIDC goes through the whole of a sign-in with a provider, as people of all
// sorts.
func TestOIDC(t *testing.T) {
	p := provider(t)
	w := newWorld(t, func(o *Options) { o.Config.OIDC = oidcConfig(t, p); o.HTTP = noKeepAlive(t) })
	user := func(email string, verified bool, groups ...string) *mockoidc.MockUser {
		return &mockoidc.MockUser{Subject: "s-" + email, Email: email, EmailVerified: verified, Groups: groups}
	}
	for _, row := range []struct {
		what   string
		user   *mockoidc.MockUser
		scopes []Scope
	}{
		{"an address that is named", user("anna@example.org", true), OwnerScopes},
		{"an address of a domain", user("x@Owners.example", true), OwnerScopes},
		{"a group", user("x@elsewhere.example", true, "cooks", "captains"), OwnerScopes},
		{"a group, whatever the address", user("anna@example.org", false, "captains"), OwnerScopes},
		{"a reader", user("bob@example.org", true), ReaderScopes},
		{"a domain of readers", user("y@readers.example", true), ReaderScopes},
		{"a group of readers", user("y@elsewhere.example", true, "crew"), ReaderScopes},
		{"an address that nobody has verified", user("anna@example.org", false), nil},
		{"a stranger", user("mallory@example.com", true, "pirates"), nil},
		{"a domain that only ends alike", user("x@notowners.example", true), nil},
		{"an address within an address", user("anna@example.org@evil.example", true), nil},
		{"nobody", user("", true), nil},
	} {
		p.QueueUser(row.user)
		before := len(w.gate.Sessions())
		browser := visitor(t)
		a := visit(t, browser, w.server.URL+oidcPath+"?next=/chat%3Fx")
		if row.scopes == nil {
			if a.status != 403 || !strings.Contains(a.body, "may not use this creel") || len(w.gate.Sessions()) != before {
				t.Errorf("%s: %v", row.what, a)
			}
			continue
		}
		sessions := w.gate.Sessions()
		if len(sessions) != before+1 {
			t.Fatalf("%s: %v", row.what, a)
		}
		var s Session
		for _, s = range sessions {
			if s.Name == row.user.Email {
				break
			}
		}
		if s.Method != "oidc" || len(s.Scopes) != len(row.scopes) {
			t.Errorf("%s: %+v", row.what, s)
		}
		if want := len(row.scopes) == len(OwnerScopes); want != (a.status == 200 && a.body == "the gateway") {
			t.Errorf("%s: what was asked for is answered %v", row.what, a)
		}
		if err := w.gate.RevokeSession(s.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOIDCAnswersOfOthers: an answer of the provider's is good once, in the browser
// that has asked, with the code that is for it.
func TestOIDCAnswersOfOthers(t *testing.T) {
	p := provider(t)
	w := newWorld(t, func(o *Options) { o.Config.OIDC = oidcConfig(t, p); o.HTTP = noKeepAlive(t) })
	// answered goes to the provider and back, but for the last step.
	answered := func(browser *http.Client) string {
		t.Helper()
		p.QueueUser(&mockoidc.MockUser{Subject: "anna", Email: "anna@example.org", EmailVerified: true})
		last := ""
		browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			last = r.URL.String()
			if strings.HasPrefix(r.URL.Path, callbackPath) {
				return http.ErrUseLastResponse
			}
			return nil
		}
		defer func() { browser.CheckRedirect = nil }()
		visit(t, browser, w.server.URL+oidcPath)
		return last
	}
	anna, mallory := visitor(t), visitor(t)
	callback := answered(anna)
	at, err := url.Parse(w.server.URL + callbackPath + "/")
	if err != nil {
		t.Fatal(err)
	}
	// A page of the gateway has planted one of the same name, which comes first.
	anna.Jar.SetCookies(at, []*http.Cookie{{Name: w.gate.cookies.plain + "-oidc", Value: "planted", Path: callbackPath}})
	if c := anna.Jar.Cookies(at); len(c) != 2 || c[0].Value != "planted" {
		t.Fatal(c)
	}
	if a := visit(t, mallory, callback); a.status != 403 {
		t.Errorf("in another browser: %v", a)
	}
	if a := visit(t, anna, strings.Replace(callback, "state=", "state=x", 1)); a.status != 403 {
		t.Errorf("with another state: %v", a)
	}
	if a := visit(t, anna, callback); a.status != 200 {
		t.Errorf("in the browser that has asked: %v", a)
	}
	anna.Jar, _ = cookiejar.New(nil)
	if a := visit(t, anna, callback); a.status != 403 {
		t.Errorf("a second time: %v", a)
	}
	// A code that was got for somebody else's sign-in does not fit this one's PKCE verifier.
	stolen := answered(mallory)
	callback = answered(anna)
	_, code, _ := strings.Cut(stolen, "code=")
	code, _, _ = strings.Cut(code, "&")
	_, own, _ := strings.Cut(callback, "code=")
	own, _, _ = strings.Cut(own, "&")
	if a := visit(t, anna, strings.Replace(callback, own, code, 1)); a.status != 403 {
		t.Errorf("with a code of another's: %v", a)
	}
	if a := visit(t, anna, strings.Replace(answered(anna), "code=", "error=access_denied&nocode=", 1)); a.status != 403 || !strings.Contains(a.body, "not let you in") {
		t.Errorf("the provider says no: %v", a)
	}
	// An ID token for another sign-in: the provider was asked with another nonce.
	anna.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	begun := visit(t, anna, w.server.URL+oidcPath).header.Get("Location")
	anna.CheckRedirect = nil
	if a := visit(t, anna, strings.Replace(begun, "nonce=", "nonce=x", 1)); a.status != 403 || !strings.Contains(a.body, "could not be used") {
		t.Errorf("an ID token of another sign-in: %v", a)
	}
	callback = answered(anna)
	p.FastForward(-24 * time.Hour) // its tokens have ended long ago
	if a := visit(t, anna, callback); a.status != 403 {
		t.Errorf("an ID token that has ended: %v", a)
	}
}

// TestOIDCProviderAway: a provider that does not answer keeps creel from nothing but
// asking it, and is found when it is there.
func TestOIDCProviderAway(t *testing.T) {
	p := provider(t)
	cfg := oidcConfig(t, p)
	addr := p.Server.Addr
	if err := p.Server.Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Config.OIDC = cfg; o.HTTP = noKeepAlive(t) })
	if a := w.get(oidcPath, nil); short(a) != "502 login_unavailable" || !strings.Contains(a.body, "creel login") {
		t.Errorf("%v", a)
	}
	if a := w.get("/", w.signIn()); a.status != 200 {
		t.Errorf("links: %v", a)
	}
	if a := w.get(LoginPath, nil); !strings.Contains(a.body, `href="/_creel/login/oidc"`) || !strings.Contains(a.body, addr) {
		t.Errorf("the page does not offer it: %v", a)
	}
}

// TestSecretFile: a secret that others can read is refused.
func TestSecretFile(t *testing.T) {
	p := provider(t)
	cfg := oidcConfig(t, p)
	if err := os.Chmod(cfg.ClientSecretFile, 0o640); err != nil {
		t.Fatal(err)
	}
	defaults := config.Defaults().Auth
	defaults.OIDC = cfg
	if _, err := New(Options{Dir: t.TempDir(), Config: defaults}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
}

func noKeepAlive(t *testing.T) *http.Client {
	t.Helper()
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
}
