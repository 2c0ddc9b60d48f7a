package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"creel/internal/replay"
)

// warmPool is a pool whose instance is known to keep connections, and for which
// time stands still.
func warmPool(t *testing.T, script func(*net.TCPConn, *bufio.Reader)) *Pool {
	t.Helper()
	p := serve(t, Options{IdleTimeout: time.Hour}, script)
	p.warmFor, p.keepsFor, p.keeps = time.Hour, time.Hour, true
	return p
}

func getWarm(t *testing.T, p *Pool) *Conn {
	t.Helper()
	c, err := p.Get(t.Context(), ReuseWarm)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWarm: a request that must not be sent twice gets the connection that was
// used last, if that is warm and the instance is known to keep them, else a new one.
func TestWarm(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Pool)
		want   bool
	}{
		"warm":           {func(*Pool) {}, true},
		"cold":           {func(p *Pool) { p.warmFor = 0 }, false},
		"nothing known":  {func(p *Pool) { p.keeps = false }, false},
		"cut before":     {func(p *Pool) { p.cut = true }, false},
		"instance ended": {func(p *Pool) { p.Retire() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := warmPool(t, answerAll)
			older, last := get(t, p, true), get(t, p, true)
			exchange(t, older, request(nil, 0))
			exchange(t, last, request(nil, 0))
			tt.change(p)
			idle := p.idleCount()
			c := getWarm(t, p)
			if (c == last) != tt.want || c == older {
				t.Errorf("it got the last one: %v, want %v", c == last, tt.want)
			}
			if !tt.want && p.idleCount() != idle {
				t.Error("a connection that will do for others was thrown away")
			}
			exchange(t, c, request(nil, 0))
		})
	}
}

// TestWarmLeft: a warm connection that the peer has left is not used.
func TestWarmLeft(t *testing.T) {
	p := warmPool(t, func(c *net.TCPConn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := get(t, p, true)
	exchange(t, c, request(nil, 0))
	eventually(t, "the peer to leave", func() bool { return !c.peerPresent() })
	next := getWarm(t, p)
	if next == c {
		t.Error("it was used again")
	}
	next.Discard()
	if p.keeps {
		t.Error("the instance is still believed to keep connections")
	}
}

// TestCut: an instance that has ended a used connection without an answer is not
// trusted with another one for a request that must not be sent twice; one that has
// ended a new one may be.
func TestCut(t *testing.T) {
	p := warmPool(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			r, err := http.ReadRequest(br)
			switch {
			case err != nil, r.URL.Path == "/cut":
				return
			case r.URL.Path == "/wait":
				continue // for the client's end
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	cut := func(c *Conn) {
		r := request(nil, 0)
		r.Client = plainClient{path: "/cut"}
		x, err := c.Send(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Receive(r); err == nil {
			t.Fatal("it was answered")
		}
		x.End(false)
	}
	used, fresh, left := get(t, p, true), get(t, p, true), get(t, p, true)
	exchange(t, left, request(nil, 0))
	if c := getWarm(t, p); c != left {
		t.Fatal("another connection")
	}
	ctx, leave := context.WithCancel(t.Context())
	r := request(nil, 0)
	r.Client = plainClient{path: "/wait"}
	x, err := left.Send(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err = x.Receive(r); err == nil || p.cut {
		t.Errorf("the client's own leaving (%v) cost the instance the trust", err)
	}
	x.End(false)
	exchange(t, used, request(nil, 0))
	cut(fresh)
	if p.cut {
		t.Error("the end of a new connection cost the instance the trust")
	}
	if c := getWarm(t, p); c != used {
		t.Error("a used connection was not used again")
	}
	cut(used)
	last := get(t, p, true)
	exchange(t, last, request(nil, 0))
	c := getWarm(t, p)
	if c == last {
		t.Error("the instance is still trusted")
	}
	c.Discard()
}

// TestKeeps: that an instance keeps connections is seen where one is used after a
// while, and where one is given up.
func TestKeeps(t *testing.T) {
	p := serve(t, Options{IdleTimeout: time.Hour}, answerAll)
	p.keepsFor = time.Hour // else what is a moment is the machine's choice
	exchange(t, get(t, p, true), request(nil, 0))
	exchange(t, get(t, p, false), request(nil, 0))
	if p.keeps {
		t.Error("it was concluded from a moment")
	}
	p.keepsFor = 0
	exchange(t, get(t, p, false), request(nil, 0))
	if !p.keeps {
		t.Error("it was not seen in use")
	}
	p = serve(t, Options{IdleTimeout: 20 * time.Millisecond}, answerAll)
	p.keepsFor = p.opts.IdleTimeout
	exchange(t, get(t, p, true), request(nil, 0))
	eventually(t, "it to be seen", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.keeps })
}

// ledger counts what was executed.
type ledger struct {
	mu   sync.Mutex
	done map[string]int
}

func (l *ledger) add(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = map[string]int{}
	}
	l.done[path]++
}

func (l *ledger) times(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[path]
}

// TestHastyServer: one that closes each connection once it has answered, and does
// not say so, loses no request that must not be sent twice.
func TestHastyServer(t *testing.T) {
	var l ledger
	p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
		if r, err := http.ReadRequest(br); err == nil {
			l.add(r.URL.Path)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	const workers, each = 8, 50
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				r := request(nil, 0)
				r.Client = plainClient{path: fmt.Sprintf("/%d-%d", w, i)}
				c, err := p.Get(t.Context(), ReuseWarm)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				x, err := c.Send(t.Context(), r)
				if err == nil {
					_, err = x.Receive(r)
				}
				x.End(err == nil)
				if err != nil {
					t.Errorf("a request was lost: %v", err)
				}
			}
		})
	}
	all.Wait()
	for w := range workers {
		for i := range each {
			if path := fmt.Sprintf("/%d-%d", w, i); l.times(path) != 1 {
				t.Errorf("%s was executed %d times", path, l.times(path))
			}
		}
	}
}

// TestUnread: what can be proved of a request on a connection that the peer ends,
// and what cannot.
func TestUnread(t *testing.T) {
	reset := func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }
	for _, tt := range []struct {
		name   string
		before func(*net.TCPConn)                // with the connection idle
		after  func(*net.TCPConn, *bufio.Reader) // once a request is there
		head   int                               // bytes of its path
		want   replay.Evidence
	}{
		{name: "closed before", before: func(c *net.TCPConn) { _ = c.Close() }, want: replay.Dialled},
		{name: "lingers, and closes", before: func(c *net.TCPConn) { _ = c.CloseWrite() },
			after: func(c *net.TCPConn, _ *bufio.Reader) { awaitBytes(t, c); _ = c.Close() }, want: replay.Dialled},
		{name: "closes on it", after: func(c *net.TCPConn, _ *bufio.Reader) { awaitBytes(t, c); _ = c.Close() }, want: replay.AllWritten},
		{name: "resets on it", after: func(c *net.TCPConn, _ *bufio.Reader) { awaitBytes(t, c); reset(c) }, want: replay.AllWritten},
		{name: "reads and closes", after: func(c *net.TCPConn, br *bufio.Reader) { _, _ = http.ReadRequest(br); _ = c.Close() }, want: replay.AllWritten},
		{name: "reads and resets", after: func(c *net.TCPConn, br *bufio.Reader) { _, _ = http.ReadRequest(br); reset(c) }, want: replay.AllWritten},
		{name: "reads a part and closes", after: func(c *net.TCPConn, _ *bufio.Reader) { _, _ = c.Read(make([]byte, 10)); _ = c.Close() }, want: replay.AllWritten},
		{name: "interim answer", after: func(c *net.TCPConn, br *bufio.Reader) {
			_, _ = c.Read(make([]byte, 10))
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
			_ = c.CloseWrite()
			_ = c.Close()
		}, want: replay.AllWritten},
		{name: "in two pieces", head: bufferSize, before: func(c *net.TCPConn) { _ = c.Close() }, want: replay.HeadWritten},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kept, done, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
			p := warmPool(t, func(c *net.TCPConn, br *bufio.Reader) {
				defer close(over)
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				<-kept
				if tt.before != nil {
					tt.before(c)
				}
				close(done)
				if tt.after != nil {
					tt.after(c, br)
				}
			})
			c := get(t, p, true)
			exchange(t, c, request(nil, 0))
			_ = getWarm(t, p) // the peer was there when it was looked for
			close(kept)
			<-done
			r := request(nil, 0)
			r.Client = plainClient{path: "/" + strings.Repeat("x", tt.head)}
			x, err := c.Send(t.Context(), r)
			<-over // only what is known when the end is read counts
			if err == nil {
				_, err = x.Receive(r)
			}
			if err == nil {
				t.Error("an answer came")
			}
			// The second of two pieces may be refused already: then the request was
			// not written whole.
			if got := x.Evidence(); got != tt.want && !(tt.head > 0 && got == replay.AllWritten) {
				t.Errorf("the evidence is %q, want %q (%v)", got, tt.want, err)
			}
			x.End(false)
		})
	}
}

// awaitBytes waits until bytes are there, without reading them.
func awaitBytes(t *testing.T, c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			return !errors.Is(err, syscall.EAGAIN)
		})
	}
	if err != nil {
		t.Error(err)
	}
}

// TestCloseRace: a peer closes connections in the moment of their use, at all
// moments of it. What is sent again because it was provably not read is executed
// once, what was answered is executed once, and nothing twice.
func TestCloseRace(t *testing.T) {
	var l ledger
	p := warmPool(t, func(c *net.TCPConn, br *bufio.Reader) {
		random := rand.New(rand.NewPCG(uint64(c.RemoteAddr().(*net.TCPAddr).Port), 1))
		for {
			if random.IntN(4) == 0 {
				// Look for a while whether there is anything, and close without
				// having seen it.
				for range random.IntN(200) {
					_ = c.SetReadDeadline(time.Now())
				}
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			l.add(r.URL.Path)
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
		}
	})
	const workers, each = 4, 1000
	var mu sync.Mutex
	var answered, unknown, again int
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				path := fmt.Sprintf("/%d-%d", w, i)
				repeats, err := sendSafely(t, p, path)
				times := l.times(path)
				if times > 1 || err == nil && times != 1 {
					t.Errorf("%s was executed %d times (%v)", path, times, err)
				}
				mu.Lock()
				again += repeats
				if err == nil {
					answered++
				} else {
					unknown++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%d answered, %d sent again, %d unknown", answered, again, unknown)
	if answered == 0 {
		t.Error("nothing was answered")
	}
}

// sendSafely sends a request that must not be sent twice, again and again while it
// was provably not read.
func sendSafely(t *testing.T, p *Pool, path string) (repeats int, err error) {
	for {
		p.mu.Lock()
		p.keeps, p.cut = true, false // what it does here would cost it the trust
		p.mu.Unlock()
		var c *Conn
		if c, err = p.Get(t.Context(), ReuseWarm); err != nil {
			return repeats, err
		}
		r := request(nil, 0)
		r.Client = plainClient{path: path}
		x, err := c.Send(t.Context(), r)
		if err == nil {
			var resp *http.Response
			if resp, err = x.Receive(r); err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
		}
		evidence := x.Evidence()
		x.End(err == nil)
		if err == nil || evidence > replay.Dialled {
			return repeats, err
		}
		repeats++
	}
}
