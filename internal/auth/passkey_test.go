package auth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	vw "github.com/descope/virtualwebauthn"

	"creel/internal/config"
	"creel/internal/event"
)

// TestPasskey: one who has signed in registers a passkey, which signs in from then
// on, once for each question, in the browser that was asked, until it is removed.
func TestPasskey(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Config.Passkeys = config.AuthPasskeys{Host: "localhost"} })
	const origin = "http://localhost:8080"
	rp := vw.RelyingParty{Name: "creel", ID: "localhost", Origin: origin}
	device := vw.NewAuthenticatorWithOptions(vw.AuthenticatorOptions{UserHandle: []byte("creel-owner")})
	key := vw.NewCredential(vw.KeyTypeEC2)
	device.AddCredential(key)
	from := func(h http.Header) http.Header { return with(h, "Origin", origin, "Sec-Fetch-Site", "same-origin") }
	session := w.signIn()
	// bound adds the cookie of a question to others.
	bound := func(h http.Header, a answer) http.Header {
		t.Helper()
		own := cookieOf(t, a).Get("Cookie")
		if c := h.Get("Cookie"); c != "" {
			own += "; " + c
		}
		return with(h, "Cookie", own)
	}
	post := func(path, body string, h http.Header) answer {
		t.Helper()
		return w.do(request{method: "POST", path: passkeyPath + path, body: body, header: h})
	}

	if a := post("/register", "", from(nil)); a.status != 401 {
		t.Errorf("a stranger may register: %v", a)
	}
	if a := post("/register", "", with(session, "Origin", "http://evil.example")); a.status != 403 {
		t.Errorf("another site's page may register: %v", a)
	}
	asked := post("/register", "", from(session))
	options, err := vw.ParseAttestationOptions(asked.body)
	if err != nil || options.RelyingPartyID != "localhost" {
		t.Fatalf("%v: %v", asked, err)
	}
	given := vw.CreateAttestationResponse(rp, device, key, *options)
	if a := post("/registered?name=phone", given, from(session)); a.status != 400 {
		t.Errorf("registered in another browser: %v", a)
	}
	asked = post("/register", "", from(session))
	if options, err = vw.ParseAttestationOptions(asked.body); err != nil {
		t.Fatal(err)
	}
	if a := post("/registered?name=phone", vw.CreateAttestationResponse(rp, device, key, *options), bound(from(session), asked)); a.status != 201 {
		t.Fatal(a)
	}
	if a := w.get(passkeyPath, session); a.status != 200 || !strings.Contains(a.body, "phone") {
		t.Errorf("the page does not show it: %v", a)
	}

	// signIn asks and answers, as another browser does that has the passkey.
	signIn := func(rp vw.RelyingParty, device vw.Authenticator, key vw.Credential) answer {
		t.Helper()
		asked := post("/begin", "", from(nil))
		options, err := vw.ParseAssertionOptions(asked.body)
		if err != nil {
			t.Fatalf("%v: %v", asked, err)
		}
		body := vw.CreateAssertionResponse(rp, device, key, *options)
		h := bound(from(nil), asked)
		h.Set("Cookie", w.gate.cookies.plain+"-passkey=planted; "+h.Get("Cookie")) // by a page of the gateway
		a := post("/finish?next=/chat", body, h)
		if again := post("/finish", body, h); again.status != 400 && again.status != 429 {
			t.Errorf("an answer is good twice: %v", again)
		}
		w.gate.attempts = newAttempts()
		return a
	}
	a := signIn(rp, device, key)
	if a.status != 200 || !strings.Contains(a.body, `"next":"/chat"`) {
		t.Fatal(a)
	}
	if b := w.get("/", cookieOf(t, a)); b.status != 200 || w.gate.Sessions()[0].Method != "passkey" && w.gate.Sessions()[1].Method != "passkey" {
		t.Errorf("%v %+v", b, w.gate.Sessions())
	}
	unverified := device
	unverified.Options.UserNotVerified = true
	stranger := vw.NewAuthenticatorWithOptions(vw.AuthenticatorOptions{UserHandle: []byte("somebody")})
	for what, a := range map[string]answer{
		"another key":                       signIn(rp, device, vw.NewCredential(vw.KeyTypeEC2)),
		"a page of another host":            signIn(vw.RelyingParty{Name: "creel", ID: "evil.example", Origin: "http://evil.example"}, device, key),
		"a page of another port":            signIn(vw.RelyingParty{Name: "creel", ID: "localhost", Origin: "http://localhost:9"}, device, key),
		"nobody has looked at it":           signIn(rp, unverified, key),
		"a passkey that calls itself other": signIn(rp, stranger, key),
	} {
		if a.status != 400 {
			t.Errorf("%s: %v", what, a)
		}
	}
	if a := post("/begin", "", with(nil, "Origin", w.server.URL)); a.status != 400 || !strings.Contains(a.body, "https://localhost") {
		t.Errorf("asked at another host: %v", a)
	}

	late := post("/begin", "", from(nil))
	if options, err := vw.ParseAssertionOptions(late.body); err != nil {
		t.Fatal(err)
	} else {
		p := w.gate.methods[1].(*passkeys)
		for key, c := range p.pending {
			c.began = c.began.Add(-ceremonyTime)
			p.pending[key] = c
		}
		if a := post("/finish", vw.CreateAssertionResponse(rp, device, key, *options), bound(from(nil), late)); a.status != 400 {
			t.Errorf("an answer that comes too late: %v", a)
		}
	}
	w.gate.attempts = newAttempts()

	id := w.gate.state.look().copy().Passkeys[0].ID
	if a := w.do(request{method: "POST", path: passkeyPath + "/remove", form: url.Values{"id": {id}}, header: session}); a.status != 303 {
		t.Fatal(a)
	}
	if a := signIn(rp, device, key); a.status != 400 {
		t.Errorf("a passkey that was removed: %v", a)
	}
	if w.count(event.PasskeyAdded) != 1 || w.count(event.PasskeyRemoved) != 1 || w.count(event.LoginFailed) == 0 {
		t.Error("the journal does not tell")
	}
	if a := w.get(passkeyPath+"/passkey.js", nil); a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/javascript") {
		t.Error(a)
	}
}

// TestPasskeyOrigins: passkeys are for their host, over https or on this machine.
func TestPasskeyOrigins(t *testing.T) {
	p := newPasskeys(config.AuthPasskeys{Host: "Creel.example.org"})
	for origin, want := range map[string]bool{
		"https://creel.example.org": true, "https://CREEL.example.org:8443": true, "http://creel.example.org": false, "https://example.org": false,
		"https://x.creel.example.org": false, "https://creel.example.org.evil.example": false, "": false, "null": false,
	} {
		if _, err := p.party(origin); (err == nil) != want {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
