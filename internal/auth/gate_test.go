package auth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/config"
	"creel/internal/event"
)

// TestLinkSignsInOnce: looking at a link does not use it up, using it does, and it
// leads to a session that is listed, and to no other host.
func TestLinkSignsInOnce(t *testing.T) {
	w := newWorld(t, nil)
	path, expires, err := w.gate.LoginLink(t.Context())
	if err != nil || time.Until(expires) > codeLife || time.Until(expires) < codeLife-time.Minute {
		t.Fatal(path, expires, err)
	}
	code := codeIn.FindStringSubmatch(path)[1]
	for range 3 { // a chat program previews it, a browser fetches it in advance
		a := w.get(path+"&next=/chat", nil)
		if a.status != 200 || !strings.Contains(a.body, code) || !strings.Contains(a.body, `value="/chat"`) || a.header["Set-Cookie"] != nil {
			t.Fatal(a)
		}
		nonce := a.header.Get("Content-Security-Policy")
		if !strings.Contains(nonce, "default-src 'none'") || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("the page is not kept to itself: %v", a.header)
		}
	}
	use := request{method: "POST", path: LoginPath, form: url.Values{"code": {code}, "next": {"//evil.example/"}}}
	lured := use
	lured.header = http.Header{"Origin": {"https://evil.example"}}
	if a := w.do(lured); a.status != 403 {
		t.Errorf("another site's page signs people in: %v", a)
	}
	a := w.do(use)
	if a.status != 303 || a.header.Get("Location") != "/_creel/" {
		t.Fatal(a)
	}
	cookie := a.header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "creel-8080=") || !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; SameSite=Lax") || strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "Path=/;") {
		t.Errorf("the cookie is %s", cookie)
	}
	if again := w.do(use); again.status != 403 || again.header["Set-Cookie"] != nil || !strings.Contains(again.body, "was used already") {
		t.Errorf("a link works twice: %v", again)
	}
	sessions := w.gate.Sessions()
	if len(sessions) != 1 || sessions[0].Method != "link" || sessions[0].Address != "127.0.0.1" || !slices.Equal(sessions[0].Scopes, OwnerScopes) {
		t.Errorf("sessions: %+v", sessions)
	}
	if w.count(event.Login) != 1 || w.count(event.LoginFailed) != 1 {
		t.Errorf("the journal has %d logins and %d failures", w.count(event.Login), w.count(event.LoginFailed))
	}
	for _, file := range []string{stateName} {
		b, err := os.ReadFile(w.dir + "/" + file)
		secret := strings.TrimPrefix(cookieOf(t, a).Get("Cookie"), "creel-8080=")
		if err != nil || strings.Contains(string(b), secret) || strings.Contains(string(b), code) || !strings.Contains(string(b), sumOf(secret).String()) {
			t.Errorf("%s holds what signs in, or not its sum: %s %v", file, b, err)
		}
		if info, err := os.Stat(w.dir + "/" + file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
}

// TestFirstLink: the printed link stays the same until it was used, and works once.
func TestFirstLink(t *testing.T) {
	w := newWorld(t, nil)
	link := w.gate.FirstLink()
	if again := w.gate.FirstLink(); again != link || !strings.HasPrefix(link, LoginPath+"?code=") {
		t.Fatal(link, again)
	}
	use := request{method: "POST", path: LoginPath, form: url.Values{"code": {codeIn.FindStringSubmatch(link)[1]}}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 8 {
		wg.Go(func() {
			a := w.do(use)
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	wg.Wait()
	if statuses[303] != 1 || statuses[403] != 7 {
		t.Errorf("one link, eight who use it at once: %v", statuses)
	}
	if w.gate.FirstLink() != "/_creel/" {
		t.Errorf("it is shown still: %s", w.gate.FirstLink())
	}
}

// TestSecureCookie: over TLS, to creel or to a trusted proxy, the cookie is for
// TLS and for this host alone; and one without is not taken then.
func TestSecureCookie(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Sender = func(r *http.Request) Sender {
			s := peer(r)
			s.HTTPS = r.Header.Get("X-Forwarded-Proto") == "https"
			return s
		}
	})
	path, _, err := w.gate.LoginLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	https := http.Header{"X-Forwarded-Proto": {"https"}}
	a := w.do(request{method: "POST", path: LoginPath, form: url.Values{"code": {codeIn.FindStringSubmatch(path)[1]}}, header: https})
	cookie := a.header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "__Host-creel-8080=") || !strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "Path=/;") || strings.Contains(cookie, "Domain") {
		t.Fatalf("the cookie is %s", cookie)
	}
	_, secret, _ := strings.Cut(cookieOf(t, a).Get("Cookie"), "=")
	if a := w.get("/", with(https, "Cookie", "__Host-creel-8080="+secret)); a.status != 200 {
		t.Error(a)
	}
	if a := w.get("/", with(https, "Cookie", "creel-8080="+secret)); a.status != 401 {
		t.Errorf("a cookie that anyone on the way could have set is taken: %v", a)
	}
	g := w.gate
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{}
	r.Header.Set("Cookie", "__Host-creel-8080="+secret)
	if p, err := g.who(r, true); p.Kind != KindSession || err != nil {
		t.Errorf("TLS to creel itself: %+v %v", p, err)
	}
}

// TestNothingOfCreelsReachesTheGateway, and all that is not creel's does.
func TestNothingOfCreelsReachesTheGateway(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Open = open })
			cookie := "creel-8080=nothing"
			if !open {
				cookie = w.signIn().Get("Cookie")
			}
			h := http.Header{"Cookie": {"a=1; " + cookie + "; b=\"x y\"", "creel-80=other; __Host-creel-8080=old", "creel-8080=twice"}, "Authorization": {"Bearer of-the-gateway"}}
			if a := w.get("/", h); a.status != 200 {
				t.Fatal(a)
			}
			got := w.last()
			if strings.Join(got["Cookie"], "|") != `a=1; b="x y"|creel-80=other` || got.Get("Authorization") != "Bearer of-the-gateway" {
				t.Errorf("the gateway got %v %v", got["Cookie"], got["Authorization"])
			}
			token := w.token(Use)
			if a := w.get("/", with(token, "Cookie", "a=1")); a.status != 200 {
				t.Fatal(a)
			}
			if got := w.last(); got["Authorization"] != nil || got.Get("Cookie") != "a=1" {
				t.Errorf("the gateway got %v %v", got["Authorization"], got["Cookie"])
			}
			secret := strings.TrimPrefix(token.Get("Authorization"), "Bearer ")
			r := httptest.NewRequest("GET", "/", nil)
			r.SetBasicAuth("x", secret)
			if a := w.get("/", r.Header); a.status != 200 || w.last()["Authorization"] != nil {
				t.Errorf("a token as a password: %v, and the gateway got %v", a, w.last()["Authorization"])
			}
		})
	}
}

// TestGatewayToken: the gateway's own token lets in where that is wanted, to the
// gateway alone, and reaches it.
func TestGatewayToken(t *testing.T) {
	own := http.Header{"Authorization": {"Bearer gateway-token"}}
	w := newWorld(t, nil)
	if a := w.get("/", own); a.status != 401 {
		t.Errorf("it is let in unasked: %v", a)
	}
	w = newWorld(t, func(o *Options) { o.Config.GatewayToken = "on" })
	if a := w.get("/", own); a.status != 200 || w.last().Get("Authorization") != "Bearer gateway-token" {
		t.Errorf("%v", a)
	}
	if a := w.get("/_creel/metrics", own); a.status != 403 {
		t.Errorf("it opens creel's own pages: %v", a)
	}
	if a := w.get("/", http.Header{"Authorization": {"Bearer gateway-tokem"}}); a.status != 401 {
		t.Error(a)
	}
}

// TestCookieOfAnother: one of creel's name that a page of the gateway has set for a
// longer path, which browsers send first, keeps nobody out; a thousand of them are not
// all looked at.
func TestCookieOfAnother(t *testing.T) {
	w := newWorld(t, nil)
	cookie := w.signIn().Get("Cookie")
	for planted, status := range map[string]int{
		"creel-8080=planted; ": 200, "creel-8080=; creel-8080=x; a=1; ": 200, strings.Repeat("creel-8080=x; ", 7): 200, strings.Repeat("creel-8080=x; ", 1000): 401,
	} {
		if a := w.get("/", http.Header{"Cookie": {planted + cookie}}); a.status != status {
			t.Errorf("%.40s: %v", planted, a)
		}
		if a := w.get("/", http.Header{"Cookie": {planted, cookie}}); a.status != status {
			t.Errorf("%.40s, in a line of its own: %v", planted, a)
		}
	}
	for name, own := range map[string]bool{"creel-8080": true, "__Host-creel-8080": true, "creel-8080-oidc": true, "creel-8080-passkey": true, "creel-80": false, "creel-80801": false, "": false, "sid": false} {
		if w.gate.OwnCookie(name) != own {
			t.Errorf("%q is creel's: %v", name, !own)
		}
	}
}

// TestSessionsSurvive: a session is good for the next creel, and for two of them at
// once; what one ends is ended for the other within a moment, and what both change
// at once is not lost.
func TestSessionsSurvive(t *testing.T) {
	w := newWorld(t, nil)
	cookie := w.signIn()
	first := w.gate
	other := &world{t: t, dir: w.dir}
	other.start(nil)
	if a := other.get("/", cookie); a.status != 200 {
		t.Fatalf("the next creel does not know the session: %v", a)
	}
	fresh := other.signIn()
	if a := w.get("/", fresh); a.status != 200 {
		t.Errorf("a creel that drains does not know a session that its successor has begun: %v", a)
	}
	var wg sync.WaitGroup
	for _, g := range []*Gate{first, other.gate} {
		wg.Go(func() {
			for i := range 10 {
				if _, _, err := g.CreateToken(fmt.Sprint("t", i), []Scope{Read}, time.Time{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if a, b := len(first.Tokens()), len(other.gate.Tokens()); a != 20 || b != 20 {
		t.Errorf("of 20 tokens that two creels made there are %d and %d", a, b)
	}
	for _, s := range other.gate.Sessions() {
		if err := other.gate.RevokeSession(s.ID); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(lookEvery + time.Millisecond)
	_, secret, _ := strings.Cut(cookie.Get("Cookie"), "=")
	if first.state.findSession(secret, later) != nil {
		t.Error("a session that the other has ended is still good")
	}
	if err := first.RevokeSession("nothing"); !errors.Is(err, ErrUnknown) {
		t.Errorf("ending a session that is not: %v", err)
	}
}

// TestSessionsExpire: unused, and in the end however much they are used.
func TestSessionsExpire(t *testing.T) {
	w := newWorld(t, nil)
	_, secret, _ := strings.Cut(w.signIn().Get("Cookie"), "=")
	s, began := w.gate.state, time.Now()
	life := config.Defaults().Auth.Session
	if s.findSession(secret, began.Add(life.Idle-time.Minute)) == nil {
		t.Error("it has ended too early")
	}
	if s.findSession(secret, began.Add(life.Idle+time.Minute)) != nil {
		t.Error("it is good though it was not used for too long")
	}
	found := s.findSession(secret, began)
	for at := began; at.Before(began.Add(life.Life - time.Hour)); at = at.Add(life.Idle / 2) {
		if s.findSession(secret, at) == nil {
			t.Fatalf("it has ended after %v of use", at.Sub(began))
		}
		w.gate.used(found.seen, at)
	}
	if s.findSession(secret, began.Add(life.Life)) != nil {
		t.Error("it never ends")
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	again, err := openState(w.dir, life, w.gate.log)
	if err != nil || again.now.Load().Sessions[0].LastSeen.Before(began.Add(life.Life-life.Idle)) {
		t.Errorf("when it was last used is not kept: %v", err)
	}
}

// TestUnwritable: a full disk, or a folder that is gone, keeps nobody out, and is
// no reason to forget who was let in.
func TestUnwritable(t *testing.T) {
	w := newWorld(t, nil)
	if err := os.WriteFile(w.dir, nil, 0o600); err != nil { // no folder can be there
		t.Fatal(err)
	}
	cookie := w.signIn()
	if a := w.get("/", cookie); a.status != 200 {
		t.Fatal(a)
	}
	if _, _, err := w.gate.CreateToken("x", []Scope{Read}, time.Time{}); err == nil {
		t.Error("a token was made that would be gone with creel")
	}
	if err := os.Remove(w.dir); err != nil {
		t.Fatal(err)
	}
	other := &world{t: t, dir: w.dir}
	other.start(nil)
	other.token(Read) // another creel writes what it knows
	if a := w.get("/", cookie); a.status != 200 {
		t.Errorf("the session is gone with what another creel has written: %v", a)
	}
	if _, _, err := w.gate.CreateToken("x", []Scope{Read}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if a := w.get("/", cookie); a.status != 200 {
		t.Errorf("the session is gone: %v", a)
	}
	if a := other.get("/", cookie); a.status != 200 {
		t.Errorf("it was not written when that was possible again: %v", a)
	}
}

// TestDamagedState is refused, and says what to do.
func TestDamagedState(t *testing.T) {
	for _, content := range []string{"{", `{"version": 2}`} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+stateName, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Dir: dir, Config: config.Defaults().Auth}); err == nil || !strings.Contains(err.Error(), "everybody has to sign in anew") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// TestLeftByADeath: what a creel that died has left of a change is removed with the next
// change.
func TestLeftByADeath(t *testing.T) {
	w := newWorld(t, nil)
	left := filepath.Join(w.gate.state.dir, "."+stateName+"123")
	err := os.MkdirAll(filepath.Dir(left), 0o700)
	if err == nil {
		err = os.WriteFile(left, []byte("{"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.signIn()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestLogout(t *testing.T) {
	w := newWorld(t, nil)
	cookie := w.signIn()
	a := w.do(request{method: "POST", path: LogoutPath, form: url.Values{}, header: with(cookie, "Origin", "https://evil.example")})
	if a.status != 403 {
		t.Errorf("another site's page signs people out: %v", a)
	}
	a = w.do(request{method: "POST", path: LogoutPath, form: url.Values{}, header: cookie})
	if a.status != 303 || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") || len(w.gate.Sessions()) != 0 {
		t.Error(a)
	}
	if a := w.get("/", cookie); a.status != 401 {
		t.Errorf("signed out, and let in: %v", a)
	}
	if a := w.do(request{method: "POST", path: LogoutPath, form: url.Values{}}); a.status != 303 {
		t.Errorf("signing out as nobody: %v", a)
	}
}

// TestOpen: with auth off everybody is the owner; but other sites' pages are not,
// nor is whoever comes by another's name or through a proxy.
func TestOpen(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Open = true; o.Config.Hosts = []string{"creel.test"} })
	for _, row := range []struct {
		what string
		request
		want string
	}{
		{"a program", request{method: "POST", path: "/_creel/api/v1/restart"}, "200"},
		{"a page of creel's", request{method: "POST", path: "/_creel/api/v1/restart", header: http.Header{"Sec-Fetch-Site": {"same-origin"}}}, "200"},
		{"another site's page", request{method: "POST", path: "/_creel/api/v1/restart", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, "403 cross_origin"},
		{"another site's page, in an old browser", request{method: "POST", path: "/_creel/api/v1/restart", header: http.Header{"Origin": {"http://evil.example"}}}, "403 cross_origin"},
		{"a page on another port", request{method: "POST", path: "/_creel/api/v1/restart", header: http.Header{"Origin": {"http://localhost:3000"}}}, "403 cross_origin"},
		{"a name that was pointed here", request{method: "GET", path: "/_creel/api/v1/events", host: "evil.example:8080"}, "421 foreign_host"},
		{"a name that is known", request{method: "GET", path: "/_creel/api/v1/events", host: "creel.test:8080"}, "200"},
		{"localhost", request{method: "GET", path: "/_creel/api/v1/events", host: "localhost:8080"}, "200"},
		{"IPv6", request{method: "GET", path: "/_creel/api/v1/events", host: "[::1]:8080"}, "200"},
		{"through a proxy", request{method: "GET", path: "/_creel/api/v1/events", header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}, "401 unauthenticated"},
		{"through a proxy, what strangers may see", request{method: "GET", path: "/_creel/status", header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}, "200"},
		{"another site's WebSocket", request{method: "GET", path: "/_creel/api/v1/events", header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Origin": {"http://evil.example"}}}, "403 cross_origin"},
		{"the page to sign in at", request{method: "GET", path: "/_creel/login"}, "303 /_creel/"},
		// The app decides on its own pages, as it would without creel.
		{"the gateway by another name", request{method: "POST", path: "/x", host: "evil.example", header: http.Header{"Origin": {"http://evil.example"}}}, "200"},
		{"the gateway through a proxy", request{method: "GET", path: "/x", header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}, "200"},
	} {
		if got := short(w.do(row.request)); got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}

// TestOrigins: a site that is named may use creel, others may not.
func TestOrigins(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Config.Origins = []string{"https://friend.example"} })
	cookie := w.signIn()
	for origin, want := range map[string]int{"https://friend.example": 200, "https://friend.example:444": 403, "http://friend.example": 403, "null": 403, w.server.URL: 200} {
		if a := w.do(request{method: "POST", path: "/x", header: with(cookie, "Origin", origin)}); a.status != want {
			t.Errorf("POST from %s: %v", origin, a)
		}
		if a := w.get("/x", with(cookie, "Origin", origin, "Connection", "Upgrade", "Upgrade", "websocket")); a.status != want {
			t.Errorf("WebSocket from %s: %v", origin, a)
		}
	}
}

// TestBehindAProxy: a proxy that asks creel for another host than its clients ask it
// for is no other site, if it is trusted and says so.
func TestBehindAProxy(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		w := newWorld(t, func(o *Options) {
			o.Sender = func(r *http.Request) Sender {
				s := peer(r)
				if trusted {
					s.Host = r.Header.Get("X-Forwarded-Host")
				}
				return s
			}
		})
		h := with(w.signIn(), "X-Forwarded-Host", "creel.example", "Origin", "https://creel.example")
		want := map[bool]int{true: 200, false: 403}[trusted]
		if a := w.do(request{method: "POST", path: "/x", header: h}); a.status != want {
			t.Errorf("trusted %v: POST: %v", trusted, a)
		}
		if a := w.get("/x", with(h, "Connection", "Upgrade", "Upgrade", "websocket")); a.status != want {
			t.Errorf("trusted %v: WebSocket: %v", trusted, a)
		}
		if a := w.do(request{method: "POST", path: "/x", header: with(h, "Sec-Fetch-Site", "cross-site")}); a.status != 403 {
			t.Errorf("trusted %v: the browser says that it is another site: %v", trusted, a)
		}
	}
}

// TestSlowedDown: whoever fails again and again has to wait; a link works all the
// same, other addresses do not notice, and the journal is not flooded.
func TestSlowedDown(t *testing.T) {
	w := newWorld(t, nil)
	wrong := http.Header{"Authorization": {"Bearer creel_wrong"}}
	for i := range 30 {
		a := w.get("/", wrong)
		if want := map[bool]int{true: 401, false: 429}[i <= freeFailures]; a.status != want {
			t.Fatalf("attempt %d: %v", i+1, a)
		}
		if a.status == 429 && a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if a := w.get("/", w.token(Use)); a.status != 200 {
		t.Errorf("a good token is slowed down: %v", a)
	}
	w.signIn()
	if w.gate.attempts.wait(netip.MustParseAddr("127.0.0.1"), time.Now()) != 0 {
		t.Error("it is not forgiven")
	}
	a, now := newAttempts(), time.Now()
	told, untold := 0, 0
	for i := range 20000 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		tell, n := a.failed(from, now)
		if tell {
			told++
		}
		untold += n
	}
	if len(a.addresses.known) > maxAddresses || told > toldBurst {
		t.Errorf("of a flood %d addresses are remembered, and %d failures journalled", len(a.addresses.known), told)
	}
	if tell, n := a.failed(netip.MustParseAddr("10.0.0.1"), now.Add(time.Minute)); !tell || told+n != 20000 {
		t.Errorf("the journal is told of %d failures, and %v", n, tell)
	}
	guesses := 0
	for i := range 1000 {
		if a.guess(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), now) == nil {
			guesses++
		}
	}
	if guesses > guessBurst {
		t.Errorf("a thousand addresses together guess %d passwords at once", guesses)
	}
	for range 40 {
		a.failed(netip.MustParseAddr("2001:db8::1"), now)
	}
	if wait := a.wait(netip.MustParseAddr("2001:db8::2"), now); wait != longestWait {
		t.Errorf("a neighbour in the same /64 waits %v", wait)
	}
}

// TestTraffic: creel's own pages cannot be asked for without end.
func TestTraffic(t *testing.T) {
	w := newWorld(t, nil)
	h := w.token(Operate)
	var last answer
	for range int(writeBurst) + 5 {
		last = w.do(request{method: "POST", path: "/_creel/api/v1/restart", header: h})
	}
	if last.status != 429 || last.header.Get("Retry-After") == "" {
		t.Error(last)
	}
	big := w.do(request{method: "POST", path: LoginPath, form: url.Values{"code": {strings.Repeat("x", 20<<10)}}})
	if big.status != 429 && big.status != 400 {
		t.Errorf("a huge form: %v", big)
	}
}

// TestTokensMakeSense: what is no token is refused, with the reason.
func TestTokensMakeSense(t *testing.T) {
	w := newWorld(t, nil)
	for _, row := range []struct {
		name    string
		scopes  []Scope
		expires time.Time
	}{{"", OwnerScopes, time.Time{}}, {"x", nil, time.Time{}}, {"x", []Scope{"write"}, time.Time{}}, {"x", []Scope{Public}, time.Time{}}, {"x", OwnerScopes, time.Now().Add(-time.Hour)}, {strings.Repeat("x", 101), OwnerScopes, time.Time{}}} {
		if _, _, err := w.gate.CreateToken(row.name, row.scopes, row.expires); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", row, err)
		}
	}
	if err := w.gate.RevokeToken("nothing"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// TestOpenCostsNothing: with auth off the gate allocates nothing for a request to
// the gateway.
func TestOpenCostsNothing(t *testing.T) {
	g, err := New(Options{Dir: t.TempDir(), Config: config.Defaults().Auth, Open: true})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	h := g.Handler(ownRoutes(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest("GET", "/chat/x", nil)
	r.Header.Set("Cookie", "a=1; b=2")
	r.Header.Set("Authorization", "Bearer of-the-gateway")
	if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(nil, r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r = r.WithContext(g.Context(t.Context()))
	if p := g.Asking(r); p.Kind != KindLocal || !p.May(Admin) {
		t.Errorf("the server's requests are %+v's", p)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	if p := g.Asking(r); p.Kind != KindAnonymous || p.May(Read) {
		t.Errorf("what comes through a proxy is %+v's", p)
	}
}

func BenchmarkGate(b *testing.B) {
	for _, open := range []bool{true, false} {
		b.Run(fmt.Sprintf("open=%v", open), func(b *testing.B) {
			g, err := New(Options{Dir: b.TempDir(), Config: config.Defaults().Auth, Open: open, Listen: "127.0.0.1:8080"})
			if err != nil {
				b.Fatal(err)
			}
			defer g.Close()
			secret := newSecret()
			if err := g.state.addSession(secret, Session{ID: "x", Name: "owner", Scopes: OwnerScopes, LastSeen: now(), Expires: now().Add(time.Hour)}); err != nil {
				b.Fatal(err)
			}
			h := g.Handler(ownRoutes(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest("GET", "/chat/x", nil)
			cookies := []string{"creel-8080=" + secret}
			b.ReportAllocs()
			for b.Loop() {
				r.Header["Cookie"] = cookies
				h.ServeHTTP(nil, r)
			}
		})
	}
}

// TestPersonsOnly: what outlives an API token is not made with one, whatever its
// scopes.
func TestPersonsOnly(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Config.Passkeys = config.AuthPasskeys{Host: "localhost"}
	})
	secret, _, err := w.gate.CreateToken("script", OwnerScopes, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"register", "registered", "remove"} {
		got := w.do(request{method: "POST", path: passkeyPath + "/" + path, header: http.Header{"Authorization": {"Bearer " + secret.Reveal()}}})
		if got.status != http.StatusForbidden {
			t.Errorf("%s with a token: %d %s", path, got.status, got.body)
		}
	}
}

// TestGuessingTheGatewaysToken is slowed down like any other guessing.
func TestGuessingTheGatewaysToken(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Config.GatewayToken = "on" })
	slowed := false
	for n := range 100 {
		got := w.do(request{path: "/x", header: http.Header{"Authorization": {fmt.Sprintf("Bearer guess-%d", n)}}})
		if got.status == http.StatusTooManyRequests {
			slowed = true
			break
		}
		if got.status != http.StatusUnauthorized {
			t.Fatalf("a wrong token: %d", got.status)
		}
	}
	if !slowed {
		t.Error("100 wrong tokens were tried without a pause")
	}
	if got := w.do(request{path: "/x", header: http.Header{"Authorization": {"Bearer gateway-token"}}}); got.status != http.StatusTooManyRequests {
		t.Errorf("in the pause the right one is told apart: %d", got.status)
	}
}

// TestFieldsInDisguise: the field of a trusted proxy reaches the gateway from nobody
// else, in no spelling, and not by way of another creel.
func TestFieldsInDisguise(t *testing.T) {
	g := &Gate{header: &header{name: fieldName("Remote-User"), from: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for peer, kept := range map[string]int{"203.0.113.9:1": 0, "10.1.2.3:1": 1} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		r.Header = http.Header{"Remote-User": {"anna"}, "Remote_user": {"anna"}, "Accept": {"*/*"}}
		out := r.Header.Clone()
		g.Forward(r, out)
		g.header.strip(r)
		for what, h := range map[string]http.Header{"the gateway": r.Header, "another creel": out} {
			if len(h["Remote-User"]) != kept || len(h["Remote_user"]) != 0 || len(h["Accept"]) != 1 {
				t.Errorf("from %s %s gets %v", peer, what, h)
			}
		}
	}
}

// deadlined is an answer on a connection that takes deadlines.
type deadlined struct {
	*httptest.ResponseRecorder
	set time.Time
}

func (d *deadlined) SetReadDeadline(t time.Time) error { d.set = t; return nil }

// TestBodiesThatNeverCome: a body that nobody needs, or of creel's own pages, has a
// deadline before anything waits for it; what has none, such as a stream, has not.
func TestBodiesThatNeverCome(t *testing.T) {
	w := newWorld(t, nil)
	h := w.gate.Handler(ownRoutes(), http.NotFoundHandler())
	for _, tt := range []struct {
		method, path string
		length       int64
		bounded      bool
	}{
		{"POST", "/_creel/login", 100, true},
		{"GET", "/_creel/healthz", -1, true},
		{"POST", "/x", 100, true},
		{"GET", "/_creel/healthz", 0, false},
		{"GET", "/x", 0, false},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(""))
		r.ContentLength = tt.length
		got := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(got, r)
		if got.set.IsZero() == tt.bounded {
			t.Errorf("%s %s with %d bytes to come: deadline %v", tt.method, tt.path, tt.length, got.set)
		}
	}
}

// TestUpgradeIsNoWayAround: that a request asks for another protocol does not make
// one of another site's page harmless.
func TestUpgradeIsNoWayAround(t *testing.T) {
	g := newWorld(t, nil).gate
	r := httptest.NewRequest("POST", "/x", nil)
	r.Header = http.Header{"Upgrade": {"x"}, "Connection": {"Upgrade"}, "Sec-Fetch-Site": {"cross-site"}}
	if g.notLured(httptest.NewRecorder(), r, Principal{Kind: KindSession}) {
		t.Error("it is let through")
	}
}
