//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// publicName is where people on other machines find creel.
const publicName = "creel.example"

// visitor is the address of such a person (RFC 5737: nobody's).
const visitor = "203.0.113.7"

// edge is what people put in front of creel: a reverse proxy with a certificate. All
// who come through it come from the visitor's address.
//
// Everybody here is on one machine, and to OpenClaw a client on its own machine is
// its owner. It takes this to be somebody else.
type edge struct {
	origin     string
	listen     string        // where it really is, see resolver
	handshakes *atomic.Int32 // of WebSockets, that have come so far
}

// newEdge starts one that ends with the test. creel has to trust it, see environ, and
// browsers have to find it, see resolver.
func newEdge(t *testing.T, f *folder) *edge {
	t.Helper()
	creel := &url.URL{Scheme: "http", Host: f.listen}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(creel)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Forwarded-For", visitor)
			r.Out.Header.Set("X-Forwarded-Proto", "https")
			r.Out.Header.Set("X-Forwarded-Host", r.In.Host)
		},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // the browser has gone away, or the test has ended creel
		},
	}
	var handshakes atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			handshakes.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &edge{"https://" + publicName, u.Host, &handshakes}
}

// resolver has a browser find the edge by the public name at the usual port, as it is
// found by the browsers of people.
func (e *edge) resolver() string { return "MAP " + publicName + ":443 " + e.listen }

// environ are creel's settings for it.
func (e *edge) environ() []string {
	return []string{"CREEL_PROXY_TRUSTED_PROXIES=127.0.0.1", "CREEL_AUTH_HOSTS=" + publicName}
}

// visit opens a page as a person on another machine does: with the link that creel
// has printed, and with the public address in place of creel's own. The first visit
// signs in.
func (s *stage) visit(t *testing.T, e *edge, path string) *page {
	t.Helper()
	return s.enter(t, e.origin, path)
}

// openGateway is where who has signed in is shown the gateway, with its token.
const openGateway = "/_creel/open"

// enter opens a page of creel's at one of its addresses, such as http://127.0.0.1:8080.
// The first time it does so by the link that was printed, which signs in, once.
func (s *stage) enter(t *testing.T, origin, path string) *page {
	t.Helper()
	if s.entered == origin {
		return s.browser.open(t, origin+path)
	}
	if s.entered != "" {
		t.Fatalf("the link was used at %s", s.entered)
	}
	s.entered = origin
	_, code, _ := strings.Cut(s.link, "/_creel/login?")
	return s.browser.open(t, origin+"/_creel/login?"+code+"&next="+path)
}
