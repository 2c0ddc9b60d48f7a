package census

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Census
		c.Add(2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if left := c.AwaitNone(ctx); left != 2 || ctx.Err() == nil {
			t.Errorf("%d left", left)
		}
		time.AfterFunc(time.Second, func() { c.Add(-1) })
		time.AfterFunc(2*time.Second, func() { c.Add(-1) })
		begun := time.Now()
		if !c.AwaitBelow(2, nil) || time.Since(begun) != time.Second {
			t.Errorf("fewer than two after %v", time.Since(begun))
		}
		if left := c.AwaitNone(t.Context()); left != 0 || time.Since(begun) != 2*time.Second {
			t.Errorf("%d left after %v", left, time.Since(begun))
		}
	})
}

// TestConnState: what a server says of its connections.
func TestConnState(t *testing.T) {
	var c Census
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := c.Count(); n != 1 {
			t.Errorf("%d connections within a request", n)
		}
	}))
	s.Config.ConnState = c.ConnState
	s.Start()
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if n := c.Count(); n != 1 {
		t.Errorf("%d connections after a request", n)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if left := c.AwaitNone(ctx); left != 0 {
		t.Errorf("%d left", left)
	}
}
