package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
)

// TestLastBreath: an answer with a 5xx status is held back until it is known
// whether it was the instance's last.
func TestLastBreath(t *testing.T) {
	for _, tt := range []struct {
		method   string
		dies     bool
		status   int
		sighted  []uint64
		replayed int
	}{
		{"GET", true, 200, []uint64{1, 2}, 1},
		{"PUT", true, 200, []uint64{1, 2}, 1},
		{"POST", true, 500, []uint64{1}, 0},
		{"GET", false, 500, []uint64{1}, 0},
		{"POST", false, 500, []uint64{1}, 0},
	} {
		t.Run(fmt.Sprintf("%s/dies=%t", tt.method, tt.dies), func(t *testing.T) {
			answered := make(chan struct{})
			w := newWorld(t, func(p *peer) {
				if p.generation() > 1 {
					serveAll(p)
					return
				}
				h := p.head()
				if h == nil {
					return
				}
				_, _, _ = p.body(h)
				p.answer(500, "last words")
				if tt.dies && tt.method != "POST" {
					p.crash()
				}
				<-answered
				p.gone()
			}, func(s *setting) {
				if !tt.dies {
					s.proxy.Config.Replay.CrashWindow = time.Millisecond
				}
			})
			resp, body := w.dial().ask(tt.method + " /r HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
			close(answered)
			if resp.StatusCode != tt.status || tt.status == 500 && body != "last words" {
				t.Errorf("status %d, %q; want %d", resp.StatusCode, body, tt.status)
			}
			if got := w.rt.sightings("/r"); !slices.Equal(got, tt.sighted) {
				t.Errorf("seen by %v, want %v", got, tt.sighted)
			}
			if w.tally.replays != tt.replayed {
				t.Errorf("%d replays are counted, want %d", w.tally.replays, tt.replayed)
			}
		})
	}
}

// TestStopIsNoCrash: a request whose instance was asked to end is sent again if
// it may be; if not, the client is told who ended it.
func TestStopIsNoCrash(t *testing.T) {
	for method, want := range map[string]string{"GET": "", "POST": "gateway_restarted"} {
		t.Run(method, func(t *testing.T) {
			arrived := make(chan struct{})
			w := newWorld(t, func(p *peer) {
				if p.generation() > 1 {
					serveAll(p)
					return
				}
				if p.head() != nil {
					close(arrived)
					p.gone()
				}
			})
			c := w.dial()
			c.write(method + " /r HTTP/1.1\r\nHost: h\r\n\r\n")
			<-arrived
			if err := w.sup.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			resp, body := c.answer(method)
			switch {
			case want == "" && (resp.StatusCode != 200 || body != "generation 2"):
				t.Errorf("status %d, %q", resp.StatusCode, body)
			case want != "" && code(t, resp, body) != want:
				t.Errorf("code %s, want %s", code(t, resp, body), want)
			}
		})
	}
}

// TestRefusedAfterSent: a request that was sent to an instance, and is refused when it is
// to be sent again, does not pass for one that no instance has seen.
func TestRefusedAfterSent(t *testing.T) {
	arrived := make(chan struct{})
	w := newWorld(t, func(p *peer) {
		if p.head() != nil {
			close(arrived)
			p.gone()
		}
	})
	ask := func(c *client) (sent bool, detail string) {
		t.Helper()
		resp, body := c.answer("GET")
		var d struct {
			Sent   bool
			Detail string
		}
		if err := json.Unmarshal([]byte(body), &d); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d, %q, %v", resp.StatusCode, body, err)
		}
		return d.Sent, d.Detail
	}
	c := w.dial()
	c.write("GET /r HTTP/1.1\r\nHost: h\r\n\r\n")
	<-arrived
	if err := w.sup.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent, detail := ask(c); !sent || !strings.Contains(detail, "may have been executed") {
		t.Errorf("sent: %v; %s", sent, detail)
	}
	c = w.dial()
	c.write("GET /new HTTP/1.1\r\nHost: h\r\n\r\n")
	if sent, detail := ask(c); sent || strings.Contains(detail, "executed") {
		t.Errorf("of one that was never sent it says: %s", detail)
	}
}

// journal keeps events.
type journal struct {
	mu     sync.Mutex
	events []event.Event
}

func (j *journal) Record(e event.Event) { j.mu.Lock(); j.events = append(j.events, e); j.mu.Unlock() }

// TestPoison: a request that ends each instance is given up after three, and
// those beside it are answered.
func TestPoison(t *testing.T) {
	j := &journal{}
	w := newWorld(t, func(p *peer) {
		for {
			h := p.head()
			switch {
			case h == nil:
				return
			case h.path == "/poison":
				p.crash()
				return
			}
			p.answer(200, "fine")
		}
	}, func(s *setting) { s.proxy.Journal = j })
	c, url := w.httpClient("h1")
	stop := make(chan struct{})
	var innocents sync.WaitGroup
	for range 8 {
		innocents.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := c.Get(url + "/innocent")
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != 200 || string(b) != "fine" || err != nil {
					t.Errorf("an innocent request got %d %q (%v)", resp.StatusCode, b, err)
				}
			}
		})
	}
	resp, body := fetch(t, c, "GET", url+"/poison", nil)
	close(stop)
	innocents.Wait()
	if resp.StatusCode != 502 || code(t, resp, body) != "poison_request" {
		t.Errorf("status %d, %s; want 502 poison_request", resp.StatusCode, body)
	}
	if got := w.rt.sightings("/poison"); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("seen by %v, want exactly three instances", got)
	}
	if len(j.events) != 1 || j.events[0].Kind != event.Poisoned || j.events[0].Generation != 3 {
		t.Errorf("the journal has %+v", j.events)
	}
	if resp, body := fetch(t, c, "GET", url+"/innocent", nil); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", resp.StatusCode, body)
	}
}

// TestOneCrashManyRequests: all requests that meet one crash are answered by the
// next instance, and there is exactly one.
func TestOneCrashManyRequests(t *testing.T) {
	const n = 500
	var arrived sync.WaitGroup
	arrived.Add(n)
	w := newWorld(t, func(p *peer) {
		if p.generation() > 1 {
			serveAll(p)
			return
		}
		if p.head() == nil {
			return
		}
		arrived.Done()
		p.gone()
	})
	c, url := w.httpClient("h1")
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			resp, err := c.Get(fmt.Sprint(url, "/", i))
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 || string(b) != "generation 2" || err != nil {
				t.Errorf("%d %q %v", resp.StatusCode, b, err)
			}
		})
	}
	arrived.Wait()
	w.rt.last().crash()
	all.Wait()
	if st := w.sup.Status(); st.Generation != 2 || st.Restarts != 1 {
		t.Errorf("generation %d after %d restarts, want 2 after 1", st.Generation, st.Restarts)
	}
	for i := range n {
		if got := w.rt.sightings(fmt.Sprint("/", i)); !slices.Equal(got, []uint64{1, 2}) {
			t.Fatalf("request %d was seen by %v", i, got)
		}
	}
}

// never is an instance that does not get ready.
func never(s *setting) {
	block := make(chan struct{})
	s.unready = func(uint64) <-chan struct{} { return block }
}

func TestHoldTimeout(t *testing.T) {
	w := newWorld(t, serveAll, never, func(s *setting) { s.proxy.Config.Hold.Time = 10 * time.Millisecond })
	resp, body := w.dial().ask("POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
	if got := code(t, resp, body); resp.StatusCode != 503 || got != "hold_timeout" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, code %s, Retry-After %q", resp.StatusCode, got, resp.Header.Get("Retry-After"))
	}
	if w.tally.outcome(Refused) != 1 {
		t.Errorf("outcomes: %v", w.tally.outcomes)
	}
	if len(w.rt.sightings("/r")) != 0 {
		t.Error("the request reached an instance that was not ready")
	}
}

func TestHoldQueueFull(t *testing.T) {
	w := newWorld(t, serveAll, never, func(s *setting) { s.hold = 2 })
	for range 2 {
		w.dial().write("GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	eventually(t, "two requests to wait", func() bool { return w.sup.Held() == 2 })
	resp, body := w.dial().ask("GET /r HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := code(t, resp, body); resp.StatusCode != 503 || got != "hold_queue_full" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, code %s, Retry-After %q", resp.StatusCode, got, resp.Header.Get("Retry-After"))
	}
}

// TestStopped: what a person has stopped is not waited for.
func TestStopped(t *testing.T) {
	w := newWorld(t, serveAll)
	w.untilReady()
	if err := w.sup.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stop", func() bool { return w.sup.Status().State == "stopped" })
	resp, body := w.dial().ask("GET /r HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := code(t, resp, body); resp.StatusCode != 503 || got != "gateway_stopped" {
		t.Errorf("status %d, code %s", resp.StatusCode, got)
	}
}

// TestClientLeavesWhileHeld: its place in the queue is free again.
func TestClientLeavesWhileHeld(t *testing.T) {
	w := newWorld(t, serveAll, never)
	for _, protocol := range []string{"h1", "h2c"} {
		c, url := w.httpClient(protocol)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", url+"/r", nil)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if _, err := c.Do(r); err == nil {
				t.Error("a request that was given up got an answer")
			}
		}()
		eventually(t, "the request to wait", func() bool { return w.sup.Held() == 1 })
		cancel()
		<-gone
		eventually(t, "the request to be forgotten", func() bool { return w.sup.Held() == 0 })
	}
	eventually(t, "the outcome", func() bool { return w.tally.outcome(Canceled) == 2 })
}

// TestClientLeaves: the connection to the gateway is closed in every phase of a
// request that its client has left.
func TestClientLeaves(t *testing.T) {
	phases := map[string]func(*peer, *head){
		"before the answer":        func(*peer, *head) {},
		"in the middle of it":      func(p *peer, _ *head) { p.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345") },
		"in the middle of chunks":  func(p *peer, _ *head) { p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") },
		"while it is held back":    func(p *peer, _ *head) { p.write("HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\n12345") },
		"while the body is coming": func(p *peer, _ *head) { p.read(3) },
	}
	for name, phase := range phases {
		eachProtocolNamed(t, name, func(t *testing.T, protocol string, change ...func(*setting)) {
			reached, closed := make(chan struct{}), make(chan struct{})
			w := newWorld(t, func(p *peer) {
				h := p.head()
				if h == nil {
					return
				}
				phase(p, h)
				close(reached)
				p.gone()
				close(closed)
			}, change...)
			c, url := w.httpClient(protocol)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var body io.Reader
			giveUp := func() {} // net/http's client waits for the body's reader
			if strings.Contains(name, "body") {
				r, pw := io.Pipe()
				giveUp = func() { _ = pw.CloseWithError(context.Canceled) }
				go func() { _, _ = io.WriteString(pw, "abc") }()
				body = r
			}
			r, err := http.NewRequestWithContext(ctx, "PUT", url+"/r", body)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if resp, err := c.Do(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}()
			receive(t, "the request", reached)
			cancel()
			giveUp()
			receive(t, "the gateway's connection to be closed", closed)
			<-done
			// A body that breaks off over HTTP/1 may also be the fault of a client
			// that is still there to be told.
			eventually(t, "the outcome", func() bool { return w.tally.outcome(Canceled)+w.tally.outcome(Refused) == 1 })
		})
	}
}

// eachProtocolNamed runs a test for each protocol as a subtest.
func eachProtocolNamed(t *testing.T, name string, test func(t *testing.T, protocol string, change ...func(*setting))) {
	for _, protocol := range []string{"h1", "h2c", "h2"} {
		t.Run(name+"/"+protocol, func(t *testing.T) {
			if protocol != "h2" {
				test(t, protocol)
				return
			}
			conf := testTLS(t)
			test(t, protocol, func(s *setting) { s.tls = conf })
		})
	}
}

// TestUnreachable: a gateway that refuses connections though it lives is checked
// once, and requests wait for the outcome.
func TestUnreachable(t *testing.T) {
	w := newWorld(t, serveAll)
	w.rt.suspect = func(i *instance) { i.crash() }
	w.untilReady()
	w.rt.last().refuse()
	c, url := w.httpClient("h1")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			resp, err := c.Post(url+"/r", "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if string(b) != "generation 2" || err != nil {
				t.Errorf("%d %q %v", resp.StatusCode, b, err)
			}
		})
	}
	all.Wait()
	if st := w.sup.Status(); st.Generation != 2 {
		t.Errorf("generation %d, want 2", st.Generation)
	}
}

// TestBrokenGateway: one that lives and closes connections without an answer is
// asked three times, or once where it may not be asked again.
func TestBrokenGateway(t *testing.T) {
	for method, times := range map[string]int{"GET": 3, "POST": 1} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t, func(p *peer) { p.head() }, crashWindow(time.Millisecond))
			resp, body := w.dial().ask(method + " /r HTTP/1.1\r\nHost: h\r\n\r\n")
			if got := code(t, resp, body); resp.StatusCode != 502 || got != "no_response" {
				t.Errorf("status %d, code %s; want 502, no_response", resp.StatusCode, got)
			}
			if got := len(w.rt.sightings("/r")); got != times {
				t.Errorf("it was asked %d times, want %d", got, times)
			}
		})
	}
}

// TestResponseTimeout: a request that was taken and not answered is not sent
// again, whatever it is.
func TestResponseTimeout(t *testing.T) {
	for _, tt := range []struct{ method, body string }{{"GET", ""}, {"POST", "hi"}, {"PUT", "hi"}} {
		t.Run(tt.method, func(t *testing.T) {
			w := newWorld(t, func(p *peer) { p.head(); p.gone() }, func(s *setting) { s.proxy.Config.Timeouts.Response = 20 * time.Millisecond })
			resp, body := w.dial().ask(fmt.Sprintf("%s /r HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", tt.method, len(tt.body), tt.body))
			if got := code(t, resp, body); resp.StatusCode != 504 || got != "response_timeout" {
				t.Errorf("status %d, code %s; want 504, response_timeout", resp.StatusCode, got)
			}
			// The gateway may see late what was sent in time.
			eventually(t, "it to be seen", func() bool { return len(w.rt.sightings("/r")) > 0 })
			if got := w.rt.sightings("/r"); len(got) != 1 {
				t.Errorf("seen by %v, want once", got)
			}
		})
	}
}

// TestGatewayThatDoesNotRead: a body that the gateway does not take is not waited
// for without end.
func TestGatewayThatDoesNotRead(t *testing.T) {
	stop := make(chan struct{})
	w := newWorld(t, func(p *peer) { p.head(); <-stop }, func(s *setting) {
		s.proxy.Config.Timeouts.Response = 20 * time.Millisecond
	})
	defer close(stop)
	c, url := w.httpClient("h1")
	resp, body := fetch(t, c, "POST", url+"/r", io.LimitReader(zeros{}, 64<<20))
	if got := code(t, resp, body); resp.StatusCode != 504 || got != "response_timeout" {
		t.Errorf("status %d, code %s; want 504, response_timeout", resp.StatusCode, got)
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestNotTheNextInstance (I3): a lease whose instance has ended before the
// request was sent leads to no connection to the next one, which has the same
// port and is not ready.
func TestNotTheNextInstance(t *testing.T) {
	ready := make(chan struct{})
	var w *world
	w = newWorld(t, func(p *peer) {
		if p.generation() == 2 {
			select {
			case <-ready:
			default:
				if p.head() != nil {
					t.Error("an instance that is not ready got a request")
				}
				return
			}
		}
		serveAll(p)
	}, func(s *setting) {
		s.unready = func(g uint64) <-chan struct{} {
			if g == 1 {
				c := make(chan struct{})
				close(c)
				return c
			}
			return ready
		}
		s.between = func(l gateway.Lease) {
			if l.Generation() != 1 {
				return
			}
			w.rt.last().crash()
			eventually(t, "the next instance", func() bool { return w.rt.last().generation == 2 })
		}
	})
	w.rt.mu.Lock()
	w.rt.samePort = true
	w.rt.mu.Unlock()
	c := w.dial()
	c.write("POST /r HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "the request to wait", func() bool { return w.sup.Held() == 1 })
	close(ready)
	if resp, body := c.answer("POST"); resp.StatusCode != 200 || body != "generation 2" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{2}) {
		t.Errorf("seen by %v", got)
	}
}

// TestHalfClosedClient: a client that closes its sending side after a whole
// request counts as gone: nothing is left over, and no answer is made up.
func TestHalfClosedClient(t *testing.T) {
	reached, closed := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(p *peer) {
		if p.head() != nil {
			close(reached)
			p.gone()
			close(closed)
		}
	})
	c := w.dial()
	c.write("GET /r HTTP/1.1\r\nHost: h\r\n\r\n")
	<-reached
	if err := c.c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	receive(t, "the gateway's connection to be closed", closed)
	if b, err := io.ReadAll(c.br); len(b) > 0 {
		t.Errorf("the client got %q, %v", b, err)
	}
}
