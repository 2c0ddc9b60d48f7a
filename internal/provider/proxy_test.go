package provider

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
)

func answerOK(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok":true}`) }

// dump is a request as it has reached the provider.
func dump(t *testing.T, r *http.Request) string {
	t.Helper()
	b, err := httputil.DumpRequest(r, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestKeys: the key takes the credential's place, in the field that the provider's
// API reads, and the credential is nowhere in what goes out.
func TestKeys(t *testing.T) {
	w := newWorld(t, answerOK)
	for name, want := range map[string]struct {
		path   string
		fields map[string]string
	}{
		"openai/chat/completions?a=b%20c":  {"/v1/chat/completions?a=b%20c", map[string]string{"Authorization": "Bearer " + realKey}},
		"anthropic/v1/messages":            {"/v1/messages", map[string]string{"X-Api-Key": realKey}},
		"cloudflare/v1/messages":           {"/v1/ACC/GW/anthropic/v1/messages", map[string]string{"X-Api-Key": realKey, "Cf-Aig-Authorization": "Bearer " + aigKey}},
		"ollama/api/chat":                  {"/o/api/chat", map[string]string{}},
		"google/v1beta/models/m:x?alt=sse": {"/g/v1beta/models/m:x?alt=sse", map[string]string{"X-Goog-Api-Key": realKey}},
	} {
		credential := w.place.Credential.Reveal()
		r := w.request(http.MethodPost, name, `{"model":"m","messages":[{"content":"ü\u0000"}]}`)
		r.Header.Set("X-Api-Key", credential)
		r.Header.Set("Api-Key", "sk-another")
		r.Header.Set("Cf-Aig-Authorization", "Bearer stolen")
		r.Header.Set("Cookie", "a=b")
		r.Header.Set("X-Debug", "the credential is "+credential)
		r.Header.Set("X-Forwarded-Host", "evil.example")
		r.Header.Set("Accept-Encoding", "gzip, br")
		r.Header.Set("Anthropic-Version", "2023-06-01")
		r.Header.Set("Connection", "Anthropic-Beta, Authorization, X-Api-Key, Cf-Aig-Authorization")
		r.Header.Set("Anthropic-Beta", "for creel alone")
		resp, body := w.do(r)
		if resp.StatusCode != http.StatusOK || body != `{"ok":true}` {
			t.Fatalf("%s: %s %s", name, resp.Status, body)
		}
		got, sent := w.seen.last(t)
		text := dump(t, got)
		if got.RequestURI != want.path || got.Host != w.provider.Listener.Addr().String() || sent != `{"model":"m","messages":[{"content":"ü\u0000"}]}` {
			t.Errorf("%s: got %s at %s with %s", name, got.RequestURI, got.Host, sent)
		}
		for _, field := range append(credentialFields, "X-Debug", "X-Forwarded-Host", "X-Forwarded-For", "Anthropic-Beta") {
			if got.Header.Get(field) != want.fields[field] {
				t.Errorf("%s: %s is %q, want %q", name, field, got.Header.Get(field), want.fields[field])
			}
		}
		if strings.Contains(text, credential) || got.Header.Get("Anthropic-Version") == "" || got.Header.Get("Accept-Encoding") != "identity" || got.ContentLength != int64(len(sent)) {
			t.Errorf("%s: sent\n%s", name, text)
		}
	}
	w.wantNoSecret(w.log.String())
}

// TestNothingElsewhere: no request can choose where the key goes. What is refused
// reaches nobody.
func TestNothingElsewhere(t *testing.T) {
	w := newWorld(t, answerOK)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request has reached another host") }))
	defer elsewhere.Close()
	host := strings.TrimPrefix(elsewhere.URL, "http://")
	credential := "Authorization: Bearer " + w.place.Credential.Reveal() + "\r\n"
	for request, want := range map[string]string{
		"GET http://" + host + "/openai/models HTTP/1.1\r\nHost: " + host + "\r\n" + credential:                  "400",
		"GET http://" + host + "/ HTTP/1.1\r\nHost: x\r\n" + credential:                                          "400",
		"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n" + credential:                                   "405",
		"TRACE /openai/models HTTP/1.1\r\nHost: x\r\n" + credential:                                              "405",
		"PROPFIND /openai/models HTTP/1.1\r\nHost: x\r\n" + credential:                                           "405",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n" + credential:                                                         "", // see below
		"GET //" + host + "/openai/models HTTP/1.1\r\nHost: x\r\n" + credential:                                  "400",
		"GET /openai//" + host + "/models HTTP/1.1\r\nHost: x\r\n" + credential:                                  "400",
		"GET /openai/../anthropic HTTP/1.1\r\nHost: x\r\n" + credential:                                          "400",
		"GET /openai/%2e%2e/secret HTTP/1.1\r\nHost: x\r\n" + credential:                                         "400",
		"GET /openai/.%2E/secret HTTP/1.1\r\nHost: x\r\n" + credential:                                           "400",
		"GET /openai/a%2f..%2f..%2fsecret HTTP/1.1\r\nHost: x\r\n" + credential:                                  "400",
		"GET /openai/%252e%252e/secret HTTP/1.1\r\nHost: x\r\n" + credential:                                     "400",
		"GET /openai/%25252e%25252e/secret HTTP/1.1\r\nHost: x\r\n" + credential:                                 "400",
		"GET /openai/..;/secret HTTP/1.1\r\nHost: x\r\n" + credential:                                            "400",
		"GET /openai/..%5c..%5csecret HTTP/1.1\r\nHost: x\r\n" + credential:                                      "400",
		"GET /openai/%00 HTTP/1.1\r\nHost: x\r\n" + credential:                                                   "400",
		"GET /openai/a%0d%0aHost:%20evil HTTP/1.1\r\nHost: x\r\n" + credential:                                   "400",
		"GET /openai@" + host + "/models HTTP/1.1\r\nHost: x\r\n" + credential:                                   "404",
		"GET /unknown/models HTTP/1.1\r\nHost: x\r\n" + credential:                                               "404",
		"GET / HTTP/1.1\r\nHost: x\r\n" + credential:                                                             "404",
		"GET /openai/models?key=" + w.place.Credential.Reveal() + " HTTP/1.1\r\nHost: x\r\n" + credential:        "400",
		"GET /openai/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + credential: "400",
		"GET /openai/models HTTP/1.1\r\nHost: x\r\n":                                                             "401",
		"GET /openai/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + realKey + "\r\n":                    "401",
		"GET /openai/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer creel-\r\n":                             "401",
		"GET /openai/models HTTP/1.1\r\nHost: x\r\nHost: " + host + "\r\n" + credential:                          "400",
		"GET /openai/models HTTP/1.1\r\nHost: x\r\nX : y\r\n" + credential:                                       "400",
	} {
		line := w.raw(request + "Connection: close\r\n\r\n")
		if want == "" { // net/http's server answers this one itself
			continue
		}
		if !strings.HasPrefix(line, "HTTP/1.1 "+want) {
			t.Errorf("%q: got %q, want %s", strings.Replace(request, w.place.Credential.Reveal(), "CREDENTIAL", -1), line, want)
		}
	}
	if n := w.seen.count(); n != 0 {
		t.Errorf("%d requests have reached the provider", n)
	}
	// Two lengths: the one that counts goes on, alone (RFC 9112 section 6.3).
	if line := w.raw("POST /openai/models HTTP/1.1\r\nHost: x\r\n" + credential + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n12345\r\n0\r\n\r\nGET /openai/smuggled HTTP/1.1\r\nHost: x\r\n" + credential + "\r\n"); !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("two lengths: %s", line)
	}
	if r, body := w.seen.last(t); w.seen.count() != 1 || body != "12345" || r.Header.Get("Content-Length") != "" || r.URL.Path != "/v1/models" {
		t.Errorf("two lengths: %d requests, the last for %s with %q", w.seen.count(), r.URL, body)
	}
	// What is unusual and harmless passes, byte for byte, and to the provider's host
	// whatever the request calls it.
	for path, want := range map[string]string{
		"/openai/run/@cf/meta/llama%2F3?x=1;y=%zz": "/v1/run/@cf/meta/llama%2F3?x=1;y=%zz",
		"/openai/": "/v1/",
		"/openai":  "/v1",
	} {
		if line := w.raw("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + credential + "Connection: close\r\n\r\n"); !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Errorf("%s: %s", path, line)
			continue
		}
		if r, _ := w.seen.last(t); r.RequestURI != want || r.Host != w.provider.Listener.Addr().String() {
			t.Errorf("%s became %s at %s", path, r.RequestURI, r.Host)
		}
	}
}

// TestRedirects: none is followed, nor handed on.
func TestRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, code) })
		resp, body := w.chat("m")
		if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "redirect") || resp.Header.Get("Location") != "" || strings.Contains(body, elsewhere.URL) {
			t.Errorf("%d: %s %s", code, resp.Status, body)
		}
		w.usageOf("m", func(u ModelUsage) bool { return u.Errors[ErrServer] == 1 })
	}
}

// TestEcho: a key that the provider sends back is masked by as many "*", wherever
// it stands and however it comes; all else is as it was.
func TestEcho(t *testing.T) {
	text := strings.Repeat("x", 40000) + realKey + " and " + aigKey + " " + strings.ReplaceAll(realKey, "/", `\/`) + " sk-real-0123 " + realKey
	for _, status := range []int{200, 401} {
		for _, piece := range []int{1, 33, 1 << 20} {
			for _, media := range []string{"application/json", "text/event-stream"} {
				if piece == 1 && status != 401 {
					continue
				}
				w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", media)
					w.Header().Set("X-Echo", r.Header.Get("X-Api-Key")+r.Header.Get("Cf-Aig-Authorization"))
					w.Header().Set("Trailer", "X-End")
					w.WriteHeader(status)
					flush := http.NewResponseController(w).Flush
					tail := text
					if piece == 1 {
						tail = text[39990:]
					}
					for len(tail) > 0 {
						n := min(piece, len(tail))
						_, _ = io.WriteString(w, tail[:n])
						_ = flush()
						tail = tail[n:]
					}
					w.Header().Set("X-End", realKey)
				})
				resp, body := w.do(w.request(http.MethodPost, "cloudflare/v1/messages", `{"model":"m"}`))
				stars := strings.Repeat("*", len(realKey))
				want := strings.Repeat("x", 40000) + stars + " and " + strings.Repeat("*", len(aigKey)) + " *" + stars + " sk-real-0123 " + stars
				if piece == 1 {
					want = want[39990:]
				}
				if resp.StatusCode != status || body != want {
					t.Errorf("%d in pieces of %d: got …%q", status, piece, body[max(0, len(body)-200):])
				}
				if got := resp.Header.Get("X-Echo"); got != stars+"Bearer "+strings.Repeat("*", len(aigKey)) {
					t.Errorf("the field is %q", got)
				}
				if got := resp.Trailer.Get("X-End"); got != stars {
					t.Errorf("the trailer is %q", got)
				}
			}
		}
	}
}

// TestEncodedAnswers: an answer in an encoding that was not asked for is searched,
// or not passed on.
func TestEncodedAnswers(t *testing.T) {
	for encoding, want := range map[string]string{"gzip": strings.Repeat("*", len(realKey)), "br": "encoding br"} {
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", encoding)
			_, _ = w.Write(gzipped(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
		})
		resp, body := w.chat("m")
		if !strings.Contains(body, want) || resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %s %q", encoding, resp.Status, body)
		}
	}
}

// TestRefusalForms: creel's own errors have the form of the provider's.
func TestRefusalForms(t *testing.T) {
	w := newWorld(t, answerOK)
	for name, want := range map[string]string{
		"openai/x":    `{"error":{"code":"bad_credential","message":"creel: `,
		"anthropic/x": `{"error":{"code":"bad_credential","message":"creel: `,
		"ollama/x":    `{"code":"bad_credential","error":"creel: `,
		"google/x":    `{"error":{"code":401,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"creel","reason":"BAD_CREDENTIAL"}],"message":"creel: `,
	} {
		r := w.request(http.MethodGet, name, "")
		r.Header.Del("Authorization")
		resp, body := w.do(r)
		var v struct{ Type string }
		if resp.StatusCode != 401 || !strings.HasPrefix(body, want) || resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
		if err := json.Unmarshal([]byte(body), &v); strings.HasPrefix(name, "anthropic") && (err != nil || v.Type != "error" || !strings.Contains(body, `"authentication_error"`)) {
			t.Errorf("%s: %s", name, body)
		}
		w.wantNoSecret(body)
	}
}

// TestUnusableKey: a key that cannot be had keeps requests from being sent, and
// counts again as soon as it can.
func TestUnusableKey(t *testing.T) {
	w := newWorld(t, answerOK)
	path := w.dir + "/key"
	w.proxy.byName[openAIName].Key = keyFromFile(path)
	if resp, body := w.chat("m"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "no_key") || strings.Contains(body, path) {
		t.Errorf("without a file: %s %s", resp.Status, body)
	}
	for _, key := range []string{"sk-first-0123456789", "sk-second-01234567890"} {
		write(t, path, key+"\n")
		if resp, body := w.chat("m"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s %s", resp.Status, body)
		}
		if r, _ := w.seen.last(t); r.Header.Get("Authorization") != "Bearer "+key {
			t.Errorf("sent %q", r.Header.Get("Authorization"))
		}
	}
	for _, bad := range []string{"", "short", "two words here", "sk-ümlaut-0123456789", strings.Repeat("x", maxKeyFile+1)} {
		write(t, path, bad)
		if err := w.proxy.byName[openAIName].Key.Check(); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if n := w.seen.count(); n != 2 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestSecretsStayOutOfViews: what is shown to people and programs has no secret.
func TestSecretsStayOutOfViews(t *testing.T) {
	w := newWorld(t, answerOK)
	w.chat("m")
	b, err := json.Marshal([]any{w.proxy.Providers(), w.proxy.Usage(), w.proxy.Budgets(), w.place})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("the variable KEY")) {
		t.Errorf("%s", b)
	}
	w.wantNoSecret(string(b))
}
