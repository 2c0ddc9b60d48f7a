package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"creel/internal/config"
)

// team is what Cloudflare Access is to creel: a server of keys, and whoever signs
// with them.
type team struct {
	t      *testing.T
	client *http.Client

	mu    sync.Mutex
	keys  map[string]*rsa.PrivateKey // by id; those that are published
	down  bool
	asked int
}

func newTeam(t *testing.T) *team {
	tm := &team{t: t, keys: map[string]*rsa.PrivateKey{}}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tm.mu.Lock()
		defer tm.mu.Unlock()
		tm.asked++
		if r.Host != "fish.cloudflareaccess.com" || r.URL.Path != "/cdn-cgi/access/certs" || tm.down {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		set := jose.JSONWebKeySet{}
		for id, k := range tm.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: id, Algorithm: "RS256", Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(server.Close)
	// The team's name leads to the server; its certificate is of another name.
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com"
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	tm.client = &http.Client{Transport: transport}
	return tm
}

func (tm *team) key(id string) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tm.t.Fatal(err)
	}
	tm.mu.Lock()
	defer tm.mu.Unlock()
	tm.keys[id] = k
	return k
}

func (tm *team) set(change func()) {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	change()
}

func (tm *team) count() int {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return tm.asked
}

// sign makes a token as Access does, with some claims changed.
func (tm *team) sign(id string, k *rsa.PrivateKey, at time.Time, change map[string]any) string {
	tm.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: k, KeyID: id}}, nil)
	if err != nil {
		tm.t.Fatal(err)
	}
	claims := map[string]any{
		"iss": "https://fish.cloudflareaccess.com", "aud": []string{"aud-of-creel"}, "email": "anna@example.org", "type": "app", "sub": "1",
		"iat": at.Unix(), "nbf": at.Unix(), "exp": at.Add(time.Hour).Unix(),
	}
	for name, v := range change {
		if v == nil {
			delete(claims, name)
		} else {
			claims[name] = v
		}
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		tm.t.Fatal(err)
	}
	return token
}

// TestAccess: who Access has let through comes in, whichever way the team's domain
// is written; everything else that looks like it does not.
func TestAccess(t *testing.T) {
	tm := newTeam(t)
	k := tm.key("one")
	strange, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"fish", "fish.cloudflareaccess.com", "https://Fish.cloudflareaccess.com/", " http://fish.cloudflareaccess.com/cdn-cgi/access/certs "} {
		w := newWorld(t, func(o *Options) {
			o.Config.Access = config.AuthAccess{TeamDomain: domain, AUD: []string{"other", "aud-of-creel"}, Readers: []string{"@readers.example", "robot.access"}}
			o.HTTP = tm.client
		})
		now := time.Now()
		for _, row := range []struct {
			what   string
			header http.Header
			want   string // for the gateway
		}{
			{"a person", http.Header{accessHeader: {tm.sign("one", k, now, nil)}}, "200"},
			{"by the cookie", http.Header{"Cookie": {"a=b; " + accessCookie + "=" + tm.sign("one", k, now, nil)}}, "200"},
			{"by one cookie of several", http.Header{"Cookie": {accessCookie + "=planted; " + accessCookie + "=" + tm.sign("one", k, now, nil)}}, "200"},
			{"by none of several cookies", http.Header{"Cookie": {accessCookie + "=planted; " + accessCookie + "=" + tm.sign("one", strange, now, nil)}}, "401 unauthenticated"},
			{"a reader", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"email": "Bob@Readers.example"})}}, "403 forbidden"},
			{"a service token", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"email": nil, "common_name": "cron.access", "sub": ""})}}, "200"},
			{"a service token that may read", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"email": nil, "common_name": "robot.access"})}}, "403 forbidden"},
			{"a clock that is behind", http.Header{accessHeader: {tm.sign("one", k, now.Add(time.Minute), nil)}}, "200"},
			{"a token that has ended within the skew", http.Header{accessHeader: {tm.sign("one", k, now.Add(-time.Hour-30*time.Second), nil)}}, "200"},
			{"a token that has ended", http.Header{accessHeader: {tm.sign("one", k, now.Add(-time.Hour-2*accessSkew), nil)}}, "401 unauthenticated"},
			{"one that is not good yet", http.Header{accessHeader: {tm.sign("one", k, now.Add(time.Hour), nil)}}, "401 unauthenticated"},
			{"another application", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"aud": "another"})}}, "401 unauthenticated"},
			{"another team", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"iss": "https://bird.cloudflareaccess.com"})}}, "401 unauthenticated"},
			{"the team's own token", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"type": "org"})}}, "401 unauthenticated"},
			{"nobody", http.Header{accessHeader: {tm.sign("one", k, now, map[string]any{"email": nil})}}, "401 unauthenticated"},
			{"another's key", http.Header{accessHeader: {tm.sign("one", strange, now, nil)}}, "401 unauthenticated"},
			{"no signature", http.Header{accessHeader: {"eyJhbGciOiJub25lIn0.eyJlbWFpbCI6ImFubmFAZXhhbXBsZS5vcmcifQ."}}, "401 unauthenticated"},
			{"nonsense", http.Header{accessHeader: {"nonsense"}}, "401 unauthenticated"},
			{"another site's page", with(http.Header{accessHeader: {tm.sign("one", k, now, nil)}}, "Upgrade", "websocket", "Connection", "Upgrade", "Origin", "https://evil.example"), "403 cross_origin"},
		} {
			if got := short(w.get("/x", row.header)); got != row.want {
				t.Errorf("%q: %s: %s, want %s", domain, row.what, got, row.want)
			}
		}
	}
}

// TestAccessKeys: a new key is found, a withdrawn one is no longer good after a
// while, strangers cannot make creel ask again and again, and a provider that does
// not answer is no reason to lock anybody out for a day.
func TestAccessKeys(t *testing.T) {
	tm := newTeam(t)
	old := tm.key("old")
	at := time.Now()
	a := newAccess(config.AuthAccess{TeamDomain: "fish", AUD: []string{"aud-of-creel"}}, tm.client, func() time.Time { return at })
	may := func(token string) bool {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(accessHeader, token)
		_, found, err := a.identify(r, Sender{})
		return found && err == nil
	}
	forADay := map[string]any{"exp": at.Add(100 * time.Hour).Unix()}
	if !may(tm.sign("old", old, at, forADay)) || tm.count() != 1 {
		t.Fatalf("the first token; asked %d times", tm.count())
	}
	for range 20 {
		if may(tm.sign("unknown", old, at, nil)) {
			t.Fatal("a key that nobody has published")
		}
	}
	if tm.count() != 1 {
		t.Errorf("strangers have creel ask %d times", tm.count())
	}
	at = at.Add(keysPause)
	fresh := tm.key("new")
	if !may(tm.sign("new", fresh, at, nil)) || !may(tm.sign("old", old, at, nil)) || tm.count() != 2 {
		t.Errorf("a new key beside the old one; asked %d times", tm.count())
	}
	tm.set(func() { delete(tm.keys, "old") })
	at = at.Add(keysFresh + time.Second)
	if may(tm.sign("old", old, at, nil)) || !may(tm.sign("new", fresh, at, nil)) {
		t.Error("a key that was withdrawn is still good, or the one that was not is no longer")
	}
	tm.set(func() { tm.down = true })
	at = at.Add(keysStale - time.Minute)
	if !may(tm.sign("new", fresh, at, nil)) {
		t.Error("the provider does not answer, and everybody is locked out at once")
	}
	at = at.Add(time.Hour)
	if may(tm.sign("new", fresh, at, nil)) {
		t.Error("keys of yesterday are good")
	}
	tm.set(func() { tm.down = false })
	at = at.Add(keysPause)
	if !may(tm.sign("new", fresh, at, nil)) {
		t.Error("the provider answers again")
	}
}

// TestHeader: the field is believed of listed proxies alone, and reaches the gateway
// from nobody else.
func TestHeader(t *testing.T) {
	for _, row := range []struct {
		from []string
		name string
		want string
	}{
		{[]string{"127.0.0.0/8"}, "anna", "200"},
		{[]string{"127.0.0.1"}, "ANNA", "200"},
		{[]string{"127.0.0.1"}, "bob", "403 forbidden"},
		{[]string{"127.0.0.1"}, "mallory", "403 forbidden"},
		{[]string{"127.0.0.1"}, "", "401 unauthenticated"},
		{[]string{"10.0.0.0/8", "::1"}, "anna", "401 unauthenticated"},
	} {
		w := newWorld(t, func(o *Options) {
			o.Config.Header = config.AuthHeader{Name: "remote-user", From: row.from, Owners: []string{"anna"}, Readers: []string{"bob"}}
		})
		h := http.Header{"Remote-User": {row.name}, "X-Forwarded-For": {"127.0.0.1"}}
		if got := short(w.get("/x", h)); got != row.want {
			t.Errorf("%+v: %s", row, got)
		}
		if a := w.get("/_creel/metrics", h); (a.status == 200) != (row.name == "bob" || row.want == "200") {
			t.Errorf("%+v: creel's own pages: %v", row, a)
		}
		if row.want == "200" && w.last().Get("Remote-User") != row.name {
			t.Errorf("%+v: the gateway is not told", row)
		}
		if a := w.get("/x", with(w.signIn(), "Remote-User", "root")); a.status != 200 || (w.last().Get("Remote-User") != "") != (row.from[0][0] == '1' && row.from[0][:3] == "127") {
			t.Errorf("%+v: the gateway is told of %q by somebody who is not believed", row, w.last()["Remote-User"])
		}
	}
	if _, err := New(Options{Dir: t.TempDir(), Config: config.Auth{Header: config.AuthHeader{Name: "x", From: []string{"nowhere"}}}}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a network that is none: %v", err)
	}
}
