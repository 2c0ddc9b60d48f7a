package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"creel/internal/replay"
)

const patience = 20 * time.Second

// serve listens and hands each connection to a script. It gives the pool to
// connect with.
func serve(t *testing.T, o Options, script func(*net.TCPConn, *bufio.Reader)) *Pool {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Addr = ln.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			all.Go(func() {
				defer c.Close()
				script(c.(*net.TCPConn), bufio.NewReader(c))
			})
		}
	})
	p := NewPool(o)
	t.Cleanup(func() {
		p.Retire()
		_ = ln.Close()
		all.Wait()
	})
	return p
}

// answerAll answers every request on a connection.
func answerAll(c *net.TCPConn, br *bufio.Reader) {
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}
}

// plainClient is a Client that asks for a path.
type plainClient struct {
	path    string
	trailer http.Header
}

func (c plainClient) WriteHead(bw *bufio.Writer) {
	fmt.Fprintf(bw, "GET %s HTTP/1.1\r\nHost: h\r\n", c.path)
}
func (c plainClient) Trailer() http.Header     { return c.trailer }
func (c plainClient) Interim(int, http.Header) {}

func request(body io.Reader, length int64) *Request {
	return &Request{Method: "GET", Client: plainClient{path: "/"}, Body: body, Length: length, Sending: &sync.WaitGroup{}}
}

func get(t *testing.T, p *Pool, fresh bool) *Conn {
	t.Helper()
	reuse := ReuseAny
	if fresh {
		reuse = ReuseNone
	}
	c, err := p.Get(t.Context(), reuse)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange makes one whole exchange.
func exchange(t *testing.T, c *Conn, r *Request) string {
	t.Helper()
	x, err := c.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := x.Receive(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	x.End(true)
	r.Sending.Wait()
	return string(b)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (p *Pool) idleCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// TestReuse: a connection is kept after a whole exchange, with and without a
// body, and given to the next that may have it.
func TestReuse(t *testing.T) {
	p := serve(t, Options{IdleTimeout: time.Hour}, answerAll) // a machine that stands still makes none too old
	first := get(t, p, false)
	exchange(t, first, request(nil, 0))
	if second := get(t, p, false); second != first {
		t.Error("the connection was not used again")
	} else if got := exchange(t, second, request(strings.NewReader("hello"), 5)); got != "hello" {
		t.Errorf("got %q", got)
	}
	// An answer may overtake the note that the body was written whole; such a
	// connection is closed. So not each is kept, but before long one is.
	eventually(t, "a connection to be kept", func() bool {
		exchange(t, get(t, p, true), request(strings.NewReader("hello"), 5))
		return p.idleCount() > 0
	})
	third := get(t, p, true)
	if third == first {
		t.Error("a fresh connection was asked for")
	}
	third.Discard()
}

// TestDeadlinesDoNotLast: the bounds of one exchange do not end the next on the
// same connection.
func TestDeadlinesDoNotLast(t *testing.T) {
	p := serve(t, Options{IdleTimeout: time.Hour}, answerAll)
	for i := range 100 {
		c := get(t, p, false)
		r := request(nil, 0)
		if i%2 == 0 {
			r = request(strings.NewReader("hello"), -1)
		}
		r.AnswerWithin = time.Hour
		if i%3 == 0 {
			r.AnswerWithin = 0
		}
		exchange(t, c, r)
		// A deadline that is set and has not passed shows in nothing; so make the
		// next exchange's bounds of another kind, a hundred times.
		if p.idleCount() == 1 && !p.idle[0].peerPresent() {
			t.Fatalf("exchange %d left a connection that cannot be used", i)
		}
	}
}

// TestLimits: no more connections than allowed are kept, and not for longer.
func TestLimits(t *testing.T) {
	p := serve(t, Options{MaxIdle: 2, IdleTimeout: 50 * time.Millisecond}, answerAll)
	var conns []*Conn
	for range 4 {
		conns = append(conns, get(t, p, true))
	}
	for _, c := range conns {
		exchange(t, c, request(nil, 0))
	}
	if n := p.idleCount(); n > 2 {
		t.Errorf("%d connections are kept", n)
	}
	eventually(t, "idle connections to be closed", func() bool { return p.idleCount() == 0 })
}

// TestRetire: what is idle is closed, what is under way ends by itself and is
// not kept.
func TestRetire(t *testing.T) {
	p := serve(t, Options{}, answerAll)
	idle, busy := get(t, p, true), get(t, p, true)
	exchange(t, idle, request(nil, 0))
	p.Retire()
	if err := idle.tcp.SetDeadline(time.Time{}); err == nil {
		t.Error("an idle connection is open still")
	}
	exchange(t, busy, request(nil, 0))
	if p.idleCount() != 0 {
		t.Error("a retired pool keeps connections")
	}
}

// TestPeerPresent: a connection whose peer has closed it, or has sent what nobody
// asked for, is not used.
func TestPeerPresent(t *testing.T) {
	for name, meddle := range map[string]func(*net.TCPConn){
		"closed":     func(c *net.TCPConn) { _ = c.Close() },
		"reset":      func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"half":       func(c *net.TCPConn) { _ = c.CloseWrite() },
		"meddlesome": func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			kept, done := make(chan struct{}), make(chan struct{})
			p := serve(t, Options{IdleTimeout: time.Hour}, func(c *net.TCPConn, br *bufio.Reader) {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				<-kept
				meddle(c)
				close(done)
				_, _ = io.Copy(io.Discard, br)
			})
			first := get(t, p, false)
			exchange(t, first, request(nil, 0))
			if !first.peerPresent() {
				t.Error("the peer is there")
			}
			close(kept)
			<-done
			second := get(t, p, false)
			if second == first {
				t.Error("the connection was used again")
			}
			second.Discard()
		})
	}
}

// TestNotKept: answers after which a connection cannot be used again.
func TestNotKept(t *testing.T) {
	for name, answer := range map[string]string{
		"Connection: close": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.0":          "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"more than asked":   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
				if _, err := http.ReadRequest(br); err == nil {
					_, _ = io.WriteString(c, answer)
					_, _ = io.Copy(io.Discard, br)
				}
			})
			exchange(t, get(t, p, false), request(nil, 0))
			if p.idleCount() != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

func TestDialError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	p := NewPool(Options{Addr: addr})
	defer p.Retire()
	_, err = p.Get(t.Context(), ReuseAny)
	var dial *DialError
	if !errors.As(err, &dial) || dial.Blameless() || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	if !(&DialError{Err: &net.OpError{Err: os.NewSyscallError("socket", syscall.EMFILE)}}).Blameless() {
		t.Error("the gateway is blamed for creel's own want of descriptors")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := p.Get(ctx, ReuseNone); !errors.Is(err, gone) {
		t.Errorf("%v, want the context's cause", err)
	}
}

// TestEvidence: how far an exchange got, byte by byte as the kernel took them.
func setWriteBuffer(t *testing.T, c *Conn, size int) {
	t.Helper()
	raw, err := c.tcp.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, size) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEvidence(t *testing.T) {
	t.Run("dialled", func(t *testing.T) {
		p := serve(t, Options{}, answerAll)
		c := get(t, p, true)
		if err := c.tcp.CloseWrite(); err != nil { // the kernel takes nothing any more
			t.Fatal(err)
		}
		x, err := c.Send(t.Context(), request(nil, 0))
		if err == nil || x.Evidence() != replay.Dialled {
			t.Errorf("%v, %v", x.Evidence(), err)
		}
		x.End(false)
	})
	t.Run("head in part", func(t *testing.T) {
		p := serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { _, _ = io.CopyN(io.Discard, c, 1000); _ = c.SetLinger(0) })
		c := get(t, p, true)
		setWriteBuffer(t, c, 4096)
		r := request(nil, 0)
		r.Client = plainClient{path: "/" + strings.Repeat("x", 32<<20)}
		x, err := c.Send(t.Context(), r)
		if err == nil {
			_, err = x.Receive(r)
		}
		if n := x.sent.n.Load(); err == nil || x.Evidence() != replay.HeadWritten || n == 0 || n > 32<<20 {
			t.Errorf("%v after %d bytes, %v", x.Evidence(), n, err)
		}
		x.End(false)
	})
	for _, tt := range []struct {
		name   string
		body   string // what the client sends before it waits
		length int64
		want   replay.Evidence
	}{
		{"head", "", 10, replay.HeadWritten},
		{"part of the body", "12345", 10, replay.BodyPart},
		{"part of chunks", "12345", -1, replay.BodyPart},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
				for {
					line, err := br.ReadString('\n')
					if err != nil || line == "\r\n" {
						break
					}
				}
				_, _ = io.ReadFull(br, make([]byte, len(tt.body)))
			})
			body, pw := io.Pipe()
			r := request(body, tt.length)
			x, err := get(t, p, true).Send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(pw, tt.body) }()
			if _, err := x.Receive(r); err == nil {
				t.Error("an answer came")
			}
			eventually(t, tt.want.String(), func() bool { return x.Evidence() == tt.want })
			x.End(false)
			_ = pw.Close()
			r.Sending.Wait()
		})
	}
	for name, body := range map[string]io.Reader{"no body": nil, "body": strings.NewReader("hello")} {
		t.Run("all, "+name, func(t *testing.T) {
			p := serve(t, Options{}, func(_ *net.TCPConn, br *bufio.Reader) {
				if r, err := http.ReadRequest(br); err == nil {
					_, _ = io.ReadAll(r.Body)
				}
			})
			r := request(body, 5)
			x, err := get(t, p, true).Send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.Receive(r); err == nil {
				t.Error("an answer came")
			}
			eventually(t, "all written", func() bool { return x.Evidence() == replay.AllWritten })
			x.End(false)
			r.Sending.Wait()
		})
	}
}

// TestRefusedHead: a gateway that answers and closes before it has taken the
// whole head is heard all the same.
func TestRefusedHead(t *testing.T) {
	p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
		_, _ = io.ReadFull(br, make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 431 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	})
	c := get(t, p, true)
	r := request(nil, 0)
	r.Client = plainClient{path: "/" + strings.Repeat("x", 32<<20)}
	x, err := c.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := x.Receive(r)
	if err != nil || resp.StatusCode != 431 || x.whole.Load() {
		t.Errorf("%v, %v", resp, err)
	}
	x.End(true)
	if p.idleCount() != 0 {
		t.Error("the connection is kept, with half a request in it")
	}
}

// TestCancel: the end of the context ends an exchange in every phase, and its
// cause is the error.
func TestCancel(t *testing.T) {
	gone := errors.New("gone")
	for _, phase := range []string{"before", "answer", "stuck body", "answer's body"} {
		t.Run(phase, func(t *testing.T) {
			reached := make(chan struct{})
			p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				if phase == "answer's body" {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
				}
				close(reached)
				if phase == "stuck body" {
					_, _ = c.Read(make([]byte, 1)) // and nothing more
					<-t.Context().Done()
				}
				_, _ = io.Copy(io.Discard, br)
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			r := request(nil, 0)
			if phase == "stuck body" {
				r = request(zeros{}, -1)
			}
			switch phase {
			case "before":
				cancel(gone)
			case "answer", "stuck body":
				go func() { <-reached; cancel(gone) }()
			}
			x, err := get(t, p, true).Send(ctx, r)
			var resp *http.Response
			if err == nil {
				resp, err = x.Receive(r)
			}
			if phase == "answer's body" {
				cancel(gone)
				if err != nil {
					t.Error(err)
				} else if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("the body was read to its end")
				}
			} else if !errors.Is(err, gone) {
				t.Errorf("%v, want the cause", err)
			}
			x.End(true)
			r.Sending.Wait()
			if p.idleCount() != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestAnswerWithin: the time to answer begins with the last byte sent, and ends
// with the answer's head.
func TestAnswerWithin(t *testing.T) {
	p := serve(t, Options{}, func(_ *net.TCPConn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
	for name, r := range map[string]*Request{"no body": request(nil, 0), "body": request(strings.NewReader("hello"), 5), "body that is not taken": request(zeros{}, -1)} {
		if name == "body that is not taken" {
			p = serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { <-t.Context().Done() })
		}
		r.AnswerWithin = 10 * time.Millisecond
		x, err := get(t, p, true).Send(t.Context(), r)
		if err == nil {
			_, err = x.Receive(r)
		}
		if !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: %v", name, err)
		}
		x.End(false)
		r.Sending.Wait()
	}
	// A slow body of the answer is no late answer.
	more := make(chan struct{})
	p = serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			<-more
			_, _ = io.WriteString(c, "ok")
		}
	})
	var x *Exchange
	var resp *http.Response
	var late *time.Timer
	err := ErrNoAnswer
	for n := 0; n < 5 && errors.Is(err, ErrNoAnswer); n++ { // on a machine that stands still the head is late, too
		if x != nil {
			x.End(false)
		}
		r := request(nil, 0)
		r.AnswerWithin = time.Second
		late = time.NewTimer(r.AnswerWithin)
		if x, err = get(t, p, true).Send(t.Context(), r); err == nil {
			resp, err = x.Receive(r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	<-late.C // begun before the bound was, so the bound may be a little later
	close(more)
	if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	x.End(true)
}

// TestBodyError: a body that fails is told apart from a gateway that does, and
// the gateway gets no whole request.
func TestBodyError(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		body   io.Reader
		length int64
		want   error
	}{
		"fails":         {io.MultiReader(strings.NewReader("12"), &failing{boom}), 5, boom},
		"fails chunked": {io.MultiReader(strings.NewReader("12"), &failing{boom}), -1, boom},
		"short":         {strings.NewReader("12"), 5, io.ErrUnexpectedEOF},
		"long":          {strings.NewReader("123456"), 5, nil},
	} {
		t.Run(name, func(t *testing.T) {
			whole := make(chan bool, 1)
			p := serve(t, Options{}, func(_ *net.TCPConn, br *bufio.Reader) {
				r, err := http.ReadRequest(br)
				if err == nil {
					_, err = io.ReadAll(r.Body)
				}
				whole <- err == nil
			})
			r := request(tt.body, tt.length)
			r.AnswerWithin = time.Hour
			x, err := get(t, p, true).Send(t.Context(), r)
			if err == nil {
				_, err = x.Receive(r)
			}
			var client *BodyError
			if !errors.As(err, &client) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v", err)
			}
			x.End(false)
			r.Sending.Wait()
			if <-whole {
				t.Error("the gateway took it for whole")
			}
		})
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// TestNothingLeft: exchanges of all sorts leave no file descriptor behind.
func TestNothingLeft(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := 0
	t.Run("exchanges", func(t *testing.T) {
		p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
			if r, err := http.ReadRequest(br); err == nil && r.ContentLength != 3 {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		for i := range 120 {
			if i == 20 {
				before = open()
			}
			r := request(nil, 0)
			switch i % 4 {
			case 1:
				r = request(strings.NewReader("hello"), 5)
			case 2:
				r = request(strings.NewReader("hel"), 3)
			}
			x, err := get(t, p, i%2 == 0).Send(t.Context(), r)
			if err == nil {
				_, err = x.Receive(r)
			}
			x.End(err == nil)
			r.Sending.Wait()
		}
	})
	eventually(t, "all descriptors to be closed", func() bool { return open() <= before })
}
