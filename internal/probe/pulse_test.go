package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"creel/internal/config"
)

// TestPulse: any answer is one, be it a refusal or a redirect; none is told from
// a port at which nobody listens.
func TestPulse(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/silent":
			<-gone
		case "/large":
			w.Write([]byte(strings.Repeat("x", 2*maxKept))) // cut short by the probe
		default:
			http.Error(w, "not ready: "+r.URL.Path, http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	defer close(gone)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	addr := server.Listener.Addr().String()
	ask := func(p Pulse, addr string, within time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		body, err := p.Ask(ctx, Target{Addr: addr})
		return string(body), err
	}
	const long = 30 * time.Second
	if body, err := ask(Pulse{"/healthz"}, addr, long); err != nil || body != "not ready: /healthz\n" {
		t.Errorf("503: %q, %v", body, err)
	}
	if body, err := ask(Pulse{"/large"}, addr, long); err != nil || len(body) > maxKept {
		t.Errorf("large: %d bytes, %v", len(body), err)
	}
	if _, err := ask(Pulse{"/silent"}, addr, 50*time.Millisecond); VerdictOf(err) != Unanswered {
		t.Errorf("silent: %v", err)
	}
	if _, err := ask(Pulse{}, addr, long); err != nil {
		t.Errorf("by a connection: %v", err)
	}
	for _, p := range []Pulse{{}, {"/healthz"}} {
		if _, err := ask(p, closed.Addr().String(), long); VerdictOf(err) != Refused {
			t.Errorf("closed: %v", err)
		}
	}
	if _, err := ask(Pulse{"no path"}, addr, long); VerdictOf(err) != Unchecked {
		t.Errorf("no path: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Pulse{"/healthz"}).Ask(ctx, Target{Addr: addr}); err == nil {
		t.Error("asked after the end of its context")
	}
}

func TestPulseFromConfig(t *testing.T) {
	for _, tt := range []struct {
		alive config.Alive
		ready config.Ready
		want  Pulse
	}{
		{config.Alive{Path: "/a"}, config.Ready{Path: "/r"}, Pulse{"/a"}},
		{config.Alive{}, config.Ready{Path: "/r"}, Pulse{"/r"}},
		{config.Alive{}, config.Ready{Log: "x"}, Pulse{}},
	} {
		if got := PulseFromConfig(tt.alive, tt.ready); got != tt.want || got.Weak() != (tt.want.Path == "") {
			t.Errorf("%+v, %+v: %+v", tt.alive, tt.ready, got)
		}
	}
}
