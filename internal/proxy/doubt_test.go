package proxy

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// doubtWorld is a world whose first instance breaks off each GET to /break, in the
// middle of its answer if cut is set, and serves all else. One such GET has been made.
func doubtWorld(t *testing.T, cut bool, period time.Duration, waited func(*world)) *world {
	t.Helper()
	var w *world
	made := make(chan struct{})
	w = newWorld(t, func(p *peer) {
		for h := p.head(); h != nil; h = p.head() {
			if _, _, err := p.body(h); err != nil {
				return
			}
			if h.path != "/break" {
				p.answer(200, "fine")
				continue
			}
			if cut {
				p.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")
			}
			return
		}
	}, crashWindow(time.Millisecond), func(s *setting) {
		s.alter = func(p *Proxy) {
			p.doubtFor = period
			p.pools.waited = func() { <-made; waited(w) }
		}
	})
	close(made)
	c := w.dial()
	c.write("GET /break HTTP/1.1\r\nHost: h\r\n\r\n")
	if cut {
		_ = c.closed() // by a reset, or not: that is tested elsewhere
	} else if resp, body := c.answer("GET"); code(t, resp, body) != "no_response" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	return w
}

const doubtfulPost = "POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"

// TestNothingIsSentIntoADyingInstance: once an instance has broken off a connection, a
// request that must not be sent twice waits for what becomes of it.
func TestNothingIsSentIntoADyingInstance(t *testing.T) {
	for what, cut := range map[string]bool{"before an answer": false, "in the middle of an answer": true} {
		t.Run(what, func(t *testing.T) {
			w := doubtWorld(t, cut, patience, func(w *world) { w.rt.last().crash() }) // it dies while the request waits
			resp, body := w.dial().ask(doubtfulPost)
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{2}) {
				t.Errorf("seen by %v, want the second instance alone", got)
			}
		})
	}
}

// TestDoubtIsForSomeOnly: a request that may be sent twice does not wait.
func TestDoubtIsForSomeOnly(t *testing.T) {
	w := doubtWorld(t, true, patience, func(*world) { t.Error("a GET waits") })
	if resp, body := w.dial().ask("GET /r HTTP/1.1\r\nHost: h\r\n\r\n"); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestDoubtEnds: an instance that has broken off a connection and lives gets all
// requests soon.
func TestDoubtEnds(t *testing.T) {
	w := doubtWorld(t, true, patience/100, func(*world) {})
	w.proxy.pools.present.Load().doubt.raise()
	if resp, body := w.dial().ask(doubtfulPost); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{1}) {
		t.Errorf("seen by %v, want the first instance alone", got)
	}
}
