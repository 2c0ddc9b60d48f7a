package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"creel/internal/gateway"
)

// TestLease: a lease is lent for as long as the client holds the connection, also when this
// creel is about to end, which it says; one that is not to be had is refused.
func TestLease(t *testing.T) {
	lent := make(chan bool, 1)
	f := &fake{status: gateway.Status{State: gateway.Ready, Generation: 3}, lent: lent}
	a := newAPI(t, f, &journal{})
	server := httptest.NewServer(a.Control())
	t.Cleanup(server.Close)
	ask := func(ctx context.Context, query string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, "GET", server.URL+v1("place/lease?"+query), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	ctx, leave := context.WithCancel(t.Context())
	if r := ask(ctx, "generation=3"); r.StatusCode != 200 || !<-lent {
		t.Fatalf("%s", r.Status)
	}
	leave()
	if <-lent {
		t.Error("lent again")
	}
	if r := ask(t.Context(), "generation=2&under_way=true"); r.StatusCode != http.StatusConflict {
		t.Errorf("%s", r.Status)
	}
	f.mu.Lock()
	f.status.State = gateway.Draining
	f.mu.Unlock()
	if r := ask(t.Context(), "generation=3"); r.StatusCode != http.StatusConflict {
		t.Errorf("%s", r.Status)
	}
	ctx, leave = context.WithCancel(t.Context())
	r := ask(ctx, "generation=3&under_way=true")
	if r.StatusCode != 200 || !<-lent {
		t.Fatalf("%s", r.Status)
	}
	said := json.NewDecoder(r.Body)
	var place Place
	if err := said.Decode(&place); err != nil || place.Generation != 3 {
		t.Fatalf("%+v, %v", place, err)
	}
	a.End()
	if err := said.Decode(&place); err != nil || place.Generation != 3 {
		t.Fatalf("its end is not said: %+v, %v", place, err)
	}
	select {
	case <-lent:
		t.Error("it is given back before the client has gone elsewhere")
	default:
	}
	leave()
	if <-lent {
		t.Error("lent again")
	}
}

// TestPlaceStarts: who asks for the place has a request, and starts a gateway that waits for
// one.
func TestPlaceStarts(t *testing.T) {
	for state, want := range map[gateway.State]int{gateway.Stopped: 1, gateway.Starting: 0, gateway.Ready: 0} {
		f := &fake{status: gateway.Status{State: state, Generation: 3}}
		ctx, leave := context.WithCancel(t.Context())
		leave() // it does not come about
		req := httptest.NewRequestWithContext(ctx, "GET", v1("place"), nil)
		newAPI(t, f, &journal{}).Control().ServeHTTP(httptest.NewRecorder(), req)
		if f.demand != want {
			t.Errorf("%s: asked for %d times", state, f.demand)
		}
	}
}

// TestLeftMeanwhile: who waits for what was asked for, and is cut short by an upgrade, is not
// told that the time is over.
func TestLeftMeanwhile(t *testing.T) {
	f := &fake{stuck: true, left: true, status: gateway.Status{State: gateway.Draining, Generation: 3}}
	w := httptest.NewRecorder()
	newAPI(t, f, &journal{}).Control().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", v1("restart?wait=5m"), nil))
	if body := w.Body.String(); w.Code != http.StatusGatewayTimeout || !strings.Contains(body, "this creel was upgraded") || strings.Contains(body, "5m") {
		t.Errorf("%d %s", w.Code, body)
	}
}
