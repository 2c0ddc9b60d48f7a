package proxy

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"creel/internal/gateway"
	"creel/internal/upstream"
)

// bare is the client of an exchange that has nothing to say.
type bare struct{}

func (bare) WriteHead(w *bufio.Writer) { _, _ = w.WriteString("GET / HTTP/1.1\r\nHost: h\r\n") }
func (bare) Trailer() http.Header      { return nil }
func (bare) Interim(int, http.Header)  {}

// TestRetiredWithTheInstance: connections are given up when their instance ends,
// and not only when requests for the next one come.
func TestRetiredWithTheInstance(t *testing.T) {
	var made atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			made.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	instance := gateway.NewForeign(1, strings.TrimPrefix(srv.URL, "http://"))
	lease := instance.Lease(nil)
	defer lease.Release()
	var p pools
	defer p.close()
	ask := func() {
		conn, err := p.of(&lease).Get(t.Context(), upstream.ReuseAny)
		if err != nil {
			t.Fatal(err)
		}
		r := upstream.Request{Method: "GET", Client: bare{}}
		x, err := conn.Send(t.Context(), &r)
		if err == nil {
			_, err = x.Receive(&r)
		}
		x.End(err == nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		ask()
	}
	if n := made.Load(); n != 1 {
		t.Fatalf("%d connections were made for one request after the other", n)
	}
	instance.End(gateway.Fate{Crashed: true})
	// The connection is in use all the time, so it does not end for being idle.
	eventually(t, "the connection to be given up", func() bool {
		ask()
		return made.Load() > 1
	})
}
