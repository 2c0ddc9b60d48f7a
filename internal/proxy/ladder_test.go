package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"creel/internal/config"
	"creel/internal/replay"
)

// row is a kind of request in the table of docs/replay.md.
type row struct {
	name, method string
	fields       string
	notKept      bool
	socket       bool
}

var rows = []row{
	{name: "GET", method: "GET"},
	{name: "HEAD", method: "HEAD"},
	{name: "OPTIONS", method: "OPTIONS"},
	{name: "TRACE", method: "TRACE"},
	{name: "PUT", method: "PUT"},
	{name: "DELETE", method: "DELETE"},
	{name: "WebSocket handshake", method: "GET", socket: true, fields: "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"},
	{name: "POST with key", method: "POST", fields: "Idempotency-Key: k\r\n"},
	{name: "PATCH with key", method: "PATCH", fields: "Idempotency-Key: k\r\n"},
	{name: "POST", method: "POST"},
	{name: "PATCH", method: "PATCH"},
	{name: "any other method", method: "PROPFIND"},
	{name: "other method with key", method: "PROPFIND", fields: "Idempotency-Key: k\r\n"},
	{name: "PUT, body not kept", method: "PUT", notKept: true},
	{name: "POST with key, body not kept", method: "POST", fields: "Idempotency-Key: k\r\n", notKept: true},
	{name: "POST, body not kept", method: "POST", notKept: true},
}

// rule is what package replay is asked about a row.
func (r row) rule(e replay.Evidence) replay.Request {
	return replay.Request{
		Method: r.method, Keyed: r.fields != "" && (r.method == "POST" || r.method == "PATCH"),
		// Before a byte of the body was taken, none is lost.
		BodyLost: r.notKept && e >= replay.HeadWritten,
	}
}

// The parts of the requests' body, which is not one that is read first.
var (
	firstHalf  = strings.Repeat("0123456789", smallBody/10)
	secondHalf = strings.Repeat("abcdefghij", smallBody/10)
)

// TestLadder goes through the table on real sockets: the first instance is made
// to fail at one rung of the ladder, the second one answers. What the client
// sees, and which instances saw the request, is what package replay says, whose
// own test reads docs/replay.md.
func TestLadder(t *testing.T) {
	for _, r := range rows {
		for e := replay.NotDialled; e <= replay.AnswerBegun; e++ {
			t.Run(r.name+"/"+e.String(), func(t *testing.T) {
				if r.socket && e == replay.BodyPart {
					e = replay.AllWritten // a handshake has no body
				}
				climb(t, r, e)
			})
		}
	}
}

// climb makes the first instance fail at rung e.
func climb(t *testing.T, r row, e replay.Evidence) {
	var w *world
	dialled := make(chan struct{}, 1) // the first instance has reset its connection
	w = newWorld(t, func(p *peer) {
		if p.generation() > 1 {
			answerHalves(p)
			return
		}
		failAt(p, r, e, dialled)
	}, func(s *setting) {
		s.proxy.Config.Replay.IdempotentRoutes = []config.IdempotentRoute{{Path: "/r", Header: "Idempotency-Key"}}
		if r.notKept {
			s.proxy.Config.Replay.BodyMax = 4
		}
		if e == replay.HeadWritten && r.socket {
			s.proxy.Config.MaxHeaderBytes = 64 << 20
		}
		if e == replay.Dialled {
			first := true
			// Called while the head is put together: between the connection and
			// the first byte.
			s.proxy.Attribute = func(netip.Addr) bool {
				if first {
					receive(t, "the reset", dialled)
				}
				first = false
				return true
			}
		}
	})
	if e == replay.NotDialled {
		w.rt.suspect = func(i *instance) { i.crash() }
		w.untilReady()
		w.rt.last().refuse()
	}
	c := w.dial()
	c.write(r.head(e))
	if !r.socket {
		finishBody(t, w, c, e, r)
	}
	check(t, w, c, r, e)
}

// head is the request's head as the client sends it.
func (r row) head(e replay.Evidence) string {
	h := r.method + " /r HTTP/1.1\r\nHost: example.org\r\n" + r.fields
	if !r.socket {
		h += fmt.Sprintf("Content-Length: %d\r\n", len(firstHalf+secondHalf))
	} else if e == replay.HeadWritten {
		// More than the buffers of both sockets hold.
		h += strings.Repeat("X-Filler: "+strings.Repeat("x", 1<<20)+"\r\n", 24)
	}
	return h + "\r\n"
}

// finishBody sends the body in step with what the first instance is to see of it.
func finishBody(t *testing.T, w *world, c *client, e replay.Evidence, r row) {
	switch e {
	case replay.HeadWritten:
		eventually(t, "the first instance's end", func() bool { return w.firstIsOver(r) })
	case replay.BodyPart:
		c.write(firstHalf)
		eventually(t, "the first instance's end", func() bool { return w.firstIsOver(r) })
		c.write(secondHalf)
		return
	}
	c.write(firstHalf + secondHalf)
}

// firstIsOver tells whether the first instance has crashed.
func (w *world) firstIsOver(row) bool {
	w.rt.mu.Lock()
	defer w.rt.mu.Unlock()
	return len(w.rt.instances) > 0 && over1(w.rt.instances[0])
}

func over1(i *instance) bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// failAt makes the first instance fail when the request has got as far as e.
func failAt(p *peer, r row, e replay.Evidence, dialled chan struct{}) {
	switch e {
	case replay.Dialled:
		p.reset()
		select {
		case dialled <- struct{}{}:
		default: // another connection of the same request
		}
		p.crash()
		return
	case replay.HeadWritten:
		if r.socket {
			p.read(1000)
			p.i.rt.saw("/r", p.generation())
			p.crash()
			return
		}
	}
	p.head()
	switch e {
	case replay.BodyPart:
		p.read(len(firstHalf))
	case replay.AllWritten, replay.AnswerBegun:
		if !r.socket {
			p.read(len(firstHalf + secondHalf))
		}
	}
	if e == replay.AnswerBegun {
		if r.socket {
			p.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		} else {
			p.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
		}
	}
	p.crash()
}

// answerHalves is what the second instance does.
func answerHalves(p *peer) {
	h := p.head()
	if h == nil {
		return
	}
	if h.get("Upgrade") != "" {
		p.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		p.gone()
		return
	}
	b, _, err := p.body(h)
	if err != nil || string(b) != firstHalf+secondHalf {
		p.answer(400, fmt.Sprintf("the body has %d bytes, %v", len(b), err))
		return
	}
	p.answer(200, "second")
}

// check compares what the client got, and who saw the request, with the table.
func check(t *testing.T, w *world, c *client, r row, e replay.Evidence) {
	verdict := replay.Decide(r.rule(e), e)
	var want []uint64
	if e > replay.Dialled {
		want = append(want, 1)
	}
	if verdict == replay.Repeat {
		want = append(want, 2)
	}
	method := r.method
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := readAll(resp)
	switch verdict {
	case replay.Repeat:
		if r.socket && resp.StatusCode == 101 {
			break
		}
		if resp.StatusCode != 200 || err != nil || method != "HEAD" && body != "second" {
			t.Errorf("the client got status %d and %q (%v), want the second instance's answer", resp.StatusCode, body, err)
		}
		if got := w.tally.outcome(Replayed) + w.tally.outcome(Forwarded); got != 1 {
			t.Errorf("%d requests are counted as answered", got)
		}
	case replay.TooLate:
		if r.socket {
			break // a socket that is open is TestTunnel's
		}
		if resp.StatusCode != 200 || err == nil && method != "HEAD" {
			t.Errorf("the client got status %d and %q without an error, want an answer that breaks off", resp.StatusCode, body)
		}
	case replay.NotSafe, replay.BodyLost:
		if verdict == replay.BodyLost && e == replay.HeadWritten && resp.StatusCode == 200 {
			break // the abandoned attempt had not begun to read: nothing was lost
		}
		wantCode := map[replay.Verdict]string{replay.NotSafe: "gateway_crashed", replay.BodyLost: "body_not_kept"}[verdict]
		if got := code(t, resp, body); got != wantCode || resp.StatusCode != 502 {
			t.Errorf("the client got status %d, code %s; want 502, %s", resp.StatusCode, got, wantCode)
		}
		if w.tally.reason(verdict.String()) != 1 {
			t.Errorf("the metric lacks the reason %s: %v", verdict, w.tally.notReplayable)
		}
	}
	if verdict == replay.BodyLost && e == replay.HeadWritten {
		// It is the abandoned attempt that reads the body, if it has begun to:
		// before, while or after the next one begins.
		want = w.rt.sightings("/r")
		if len(want) > 2 {
			t.Errorf("the request was seen by generations %v", want)
		}
	}
	if got := w.rt.sightings("/r"); !slices.Equal(got, want) {
		t.Errorf("the request was seen by generations %v, want %v", got, want)
	}
}
