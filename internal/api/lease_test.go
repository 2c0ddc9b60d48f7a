package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
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
