package ui

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/gateway"
)

// fake is a gateway that gets ready after a while, or never.
type fake struct {
	status   gateway.Status
	readyIn  time.Duration // 0: never
	demanded bool
}

func (f *fake) Status() gateway.Status { return f.status }
func (f *fake) Demand()                { f.demanded = true }
func (f *fake) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	if holds(f.status) {
		return f.status, nil
	}
	if f.readyIn > 0 {
		select {
		case <-time.After(f.readyIn):
			return gateway.Status{State: gateway.Ready}, nil
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return f.status, ctx.Err()
}

func browser() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/chat", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	return r
}

// TestWhoGetsThePage: browsers that open a page while the gateway is away for
// longer than a moment, and nobody else.
func TestWhoGetsThePage(t *testing.T) {
	starting := gateway.Status{State: gateway.Starting}
	for _, tt := range []struct {
		name   string
		fake   fake
		change func(*http.Request)
		page   bool
	}{
		{"a browser while it starts", fake{status: starting}, nil, true},
		{"while it is stopped for want of demand", fake{status: gateway.Status{State: gateway.Stopped}}, nil, true},
		{"while it is ready", fake{status: gateway.Status{State: gateway.Ready}}, nil, false},
		{"when it is ready in a moment", fake{status: starting, readyIn: patience / 2}, nil, false},
		{"when it is ready later", fake{status: starting, readyIn: 2 * patience}, nil, true},
		{"when it has failed: it is told so", fake{status: gateway.Status{State: gateway.Failed}}, nil, true},
		{"when it was stopped: the same", fake{status: gateway.Status{State: gateway.Stopped, StopAsked: true}}, nil, true},
		{"a program", fake{status: starting}, func(r *http.Request) { r.Header = http.Header{"Accept": {"*/*"}} }, false},
		{"a script's fetch", fake{status: starting}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors") }, false},
		{"a picture", fake{status: starting}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "image") }, false},
		{"a form", fake{status: starting}, func(r *http.Request) { r.Method = http.MethodPost }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := browser(), httptest.NewRecorder()
				if tt.change != nil {
					tt.change(r)
				}
				l := &Loading{Gateway: &tt.fake}
				if got := l.Waiting(w, r); got != tt.page {
					t.Fatalf("answered: %v", got)
				}
				if !tt.page && (w.Body.Len() > 0 || len(w.Header()) > 0) {
					t.Errorf("it has written %v %s", w.Header(), w.Body)
				}
				if tt.page && !tt.fake.demanded && !refuses(tt.fake.status) {
					t.Error("an on-demand gateway is not told that it is wanted")
				}
			})
		})
	}
}

// TestPage: its status tells machines that this is not the page, and nothing but
// its own script and style may run.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := gateway.Status{State: gateway.Starting, Since: time.Now().Add(-3 * time.Second), UsualStart: 15 * time.Second, Reason: "SECRET", LastEnd: &gateway.End{Message: "SECRET"}}
		w := httptest.NewRecorder()
		(&Loading{Gateway: &fake{status: st}}).Waiting(w, browser())
		h, body := w.Header(), w.Body.String()
		if w.Code != http.StatusServiceUnavailable || h.Get("Cache-Control") != "no-store" {
			t.Errorf("status %d, %v", w.Code, h)
		}
		// 15 s less the 3 that have passed and the moment that the browser waited.
		if h.Get("Retry-After") != "11" {
			t.Errorf("Retry-After: %s", h.Get("Retry-After"))
		}
		nonces := regexp.MustCompile(`nonce="([^"]+)"`).FindAllStringSubmatch(body, -1)
		if len(nonces) != 2 {
			t.Fatalf("%d nonces", len(nonces))
		}
		for _, n := range nonces {
			if !strings.Contains(h.Get("Content-Security-Policy"), "'nonce-"+n[1]+"'") {
				t.Errorf("%s is not in %s", n[1], h.Get("Content-Security-Policy"))
			}
		}
		if strings.Contains(body, "SECRET") {
			t.Error("strangers are told the reason")
		}
		if !strings.Contains(body, `<noscript><meta http-equiv="refresh"`) {
			t.Error("it does not move on without script")
		}
	})
}
