package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"creel/internal/gateway"
)

var errReached = errors.New("it got as far as the gateway")

// noted is a gateway that takes note of being asked.
type noted struct{ asked bool }

func (n *noted) Acquire(context.Context, gateway.Ask) (gateway.Lease, error) {
	n.asked = true
	return gateway.Lease{}, errReached
}

// TestAdmit: who speaks for others without being trusted to can be kept out,
// whichever field it uses, before the gateway hears of it.
func TestAdmit(t *testing.T) {
	for _, tt := range []struct {
		name, sender, field string
		trusted             []string
		passes              bool
	}{
		{"a client of this machine", "127.0.0.1:1", "", nil, true},
		{"an unknown proxy on this machine", "127.0.0.1:1", "X-Forwarded-For", nil, false},
		{"one that says little", "127.0.0.1:1", "X-Forwarded-Proto", nil, false},
		{"one that says it otherwise", "[::1]:1", "Forwarded", nil, false},
		{"one with an underscore", "127.0.0.1:1", "X_forwarded_for", nil, false},
		{"a trusted proxy on this machine", "127.0.0.1:1", "X-Forwarded-For", []string{"127.0.0.1"}, true},
		{"a liar from elsewhere", "203.0.113.9:1", "X-Forwarded-For", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conf, gw := testProxyConfig(), &noted{}
			conf.TrustedProxies = tt.trusted
			p, err := New(Options{Name: "test", Config: conf, Gateway: gw,
				Admit: func(client netip.Addr, claimed bool) bool { return !claimed || !client.IsLoopback() }})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.sender
			if tt.field != "" {
				r.Header[tt.field] = []string{"198.51.100.7"}
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			if gw.asked != tt.passes {
				t.Fatalf("the gateway was asked: %v", gw.asked)
			}
			if tt.passes {
				return
			}
			var d struct{ Code string }
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != http.StatusForbidden || d.Code != "proxy_not_trusted" {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
}
