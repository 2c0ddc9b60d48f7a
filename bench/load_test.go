package main

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// chain is a gateway behind a reverse proxy, both in this process.
func chain(t *testing.T) (addr string, g *benchGateway) {
	t.Helper()
	g = &benchGateway{small: make([]byte, smallBody), big: make([]byte, 64<<10)}
	g.readyAt.Store(1)
	behind := httptest.NewServer(g)
	proxy := newReverseProxy(behind.Listener.Addr().String(), true)
	front := httptest.NewServer(proxy)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		behind.CloseClientConnections()
		behind.Close()
	})
	return front.Listener.Addr().String(), g
}

// somethingCounted runs a job until something was counted: on a busy machine a
// short one may end before the first unit has.
func somethingCounted(t *testing.T, j job) tally {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); j.Count *= 2 {
		got, err := j.run()
		if err != nil {
			t.Fatal(err)
		}
		if got.Units > 0 {
			return got
		}
	}
	t.Fatal("nothing was counted within a minute")
	return tally{}
}

func TestLoad(t *testing.T) {
	addr, _ := chain(t)
	const size = 300_000
	for _, kind := range []string{loadGet, loadPost, loadDownload, loadUpload, loadPut, loadEcho} {
		t.Run(kind, func(t *testing.T) {
			j := job{Kind: kind, Addr: addr, Conns: 3, Size: size, Warm: time.Millisecond, Count: 30 * time.Millisecond, PIDs: []int{os.Getpid()}}
			if kind == loadEcho {
				j.Size = 128
			}
			got := somethingCounted(t, j)
			if got.All < got.Units || got.CPU <= 0 || got.Elapsed < 30*time.Millisecond || got.P50 <= 0 || got.P99 < got.P50 {
				t.Errorf("tally = %+v", got)
			}
			large := kind == loadDownload || kind == loadUpload || kind == loadPut
			if large != (got.Bytes > 0) {
				t.Errorf("%d bytes of large bodies were counted", got.Bytes)
			}
			// Each connection may have been in the middle of a body at both ends.
			if slack := int64(2 * j.Conns * size); large && (got.Bytes > got.Units*size+slack || got.Bytes < got.Units*size-slack) {
				t.Errorf("%d bytes were counted in %d bodies of %d", got.Bytes, got.Units, size)
			}
		})
	}
}

func TestLoadFails(t *testing.T) {
	addr, g := chain(t)
	j := job{Kind: loadGet, Addr: addr, Conns: 2, Warm: time.Minute, Count: time.Minute, PIDs: []int{os.Getpid()}}
	fails := func(what, says string, j job) {
		t.Helper()
		if got, err := j.run(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %+v, %v; want an error with %q", what, got, err, says)
		}
	}
	none, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	other := j
	other.Addr = none
	fails("nobody listens", "refused", other)
	other = j
	other.Kind = "sing"
	fails("unknown kind", `"sing"`, other)
	g.readyAt.Store(0)
	fails("the gateway is not ready", "503", j)
	g.readyAt.Store(1)
	other = j
	other.PIDs, other.Warm = []int{1 << 22}, time.Millisecond
	fails("no such process", "CPU clock", other)
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ name, answer, fault string }{
		{"as it should be", "HTTP/1.1 200 OK\r\ncontent-LENGTH:  2 \r\nX: y\r\n\r\nhi", ""},
		{"another status", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nhi", "502"},
		{"another length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi!", "3 bytes"},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nhi", "how long"},
		{"not a length", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nhi", "length"},
		{"cut in the head", "HTTP/1.1 200 OK\r\nContent-Le", "EOF"},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", "EOF"},
		{"another protocol", "SSH-2.0-OpenSSH\r\n", "SSH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &wire{br: bufio.NewReader(strings.NewReader(c.answer))}
			err := w.answer(2)
			if c.fault == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Errorf("error %v, want one with %q", err, c.fault)
			}
		})
	}
}

func TestHoldOpen(t *testing.T) {
	addr, _ := chain(t)
	released := make(chan struct{})
	err := holdOpen(addr, 5, released, func() error { close(released); return nil })
	if err != nil {
		t.Errorf("released when open: %v", err)
	}
}

func TestHoldLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		then  []byte // what the other side sends before it closes the connection
		fault string
	}{
		{"broken off", nil, "EOF"},
		{"closed", []byte{0x80 | opClose, 0}, errClosed.Error()},
		{"not idle", []byte{0x80 | opBinary, 1, 'm'}, "a message came"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write(append(acceptUpgrade(""), c.then...)) // the client finds out
				_ = conn.Close()
			}))
			defer s.Close()
			err := holdOpen(s.Listener.Addr().String(), 1, make(chan struct{}), func() error { return nil })
			if err == nil || !strings.Contains(err.Error(), "lost") || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("error %v, want one that a WebSocket was lost, with %q", err, c.fault)
			}
		})
	}
}
