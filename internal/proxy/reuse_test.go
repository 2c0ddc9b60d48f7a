package proxy

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestClosedBefore: where the gateway has closed the connection between the moment
// it was got and the first byte of the request, in good order, a request that must
// not be sent twice is sent again: it was provably not read.
func TestClosedBefore(t *testing.T) {
	closed := make(chan struct{}, 1)
	first := true
	w := newWorld(t, func(p *peer) {
		if p.number > 1 {
			serveAll(p)
			return
		}
		p.close()
		closed <- struct{}{}
	}, crashWindow(time.Millisecond), func(s *setting) {
		// Called while the head is put together.
		s.proxy.Attribute = func(netip.Addr) bool {
			if first {
				receive(t, "the end of the connection", closed)
			}
			first = false
			return true
		}
	})
	resp, body := w.dial().ask("POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
	if resp.StatusCode != 200 || body != "generation 1" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{1}) {
		t.Errorf("seen by %v, want once", got)
	}
}

// TestReuse: requests that must not be sent twice share a connection once the
// gateway was seen to keep one, but not where their body streams, nor with the
// instance before.
func TestReuse(t *testing.T) {
	w := newWorld(t, serveAll)
	c := w.dial()
	post := func() { c.ask("POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi") }
	conns := func() int64 { return w.rt.last().count.Load() }
	// One connection is idle until it counts as kept, and is then used.
	c.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	post()
	if conns() != 2 {
		t.Fatalf("%d connections, want a new one for a request that must not be sent twice", conns())
	}
	eventually(t, "connections to be shared", func() bool {
		before := conns()
		c.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		post()
		post()
		return conns() == before
	})
	before := conns()
	c.ask("POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
	if conns() == before {
		t.Error("a body that streams was sent over a used connection")
	}
	w.rt.last().crash()
	post()
	if got := w.sup.Status().Generation; got != 2 || conns() == 0 {
		t.Errorf("generation %d, %d connections", got, conns())
	}
}
