package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"creel/internal/telemetry"
	"creel/test/crashgw"
)

// serve listens and gives each connection to handle, after which it is closed.
// The listener and the connections end with the test.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// readHead reads a request's head and returns it.
func readHead(c net.Conn) string {
	var head strings.Builder
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String()
		}
	}
}

// freePort is an address at which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", crashgw.FreePort(t))
}

// wantFailure checks err's verdict and what it says.
func wantFailure(t *testing.T, err error, verdict Verdict, says string) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a failure that says %q", err, says)
	}
	if f.Verdict != verdict || VerdictOf(fmt.Errorf("x: %w", err)) != verdict || !strings.Contains(f.Error(), says) {
		t.Errorf("got %q (%v), want %q (%v)", f.Error(), f.Verdict, says, verdict)
	}
	if len(f.Error()) > maxShown+200 || strings.ContainsAny(f.Error(), "\n\r\x00\x1b") {
		t.Errorf("not fit to be shown: %q", f.Error())
	}
}

func TestRefusedPort(t *testing.T) {
	addr := freePort(t)
	_, port, _ := net.SplitHostPort(addr)
	for name, p := range map[string]Probe{"tcp": TCP{}, "http": HTTP{Path: "/"}, "all": All{TCP{}, HTTP{Path: "/"}}} {
		err := p.Check(t.Context(), Target{Addr: addr})
		wantFailure(t, err, Refused, "port "+port+" refused")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: the error behind it is lost: %v", name, err)
		}
	}
}

func TestOpenPort(t *testing.T) {
	addr := serve(t, func(net.Conn) {})
	if err := (TCP{}).Check(t.Context(), Target{Addr: addr}); err != nil {
		t.Error(err)
	}
	wantFailure(t, TCP{}.Check(t.Context(), Target{Addr: "127.0.0.1:99999"}), Unchecked, "cannot dial")
}

func TestHTTPStatus(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "/200?token=leaked")
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "this is \n\x1b[31m %d, token=leaked", status)
	}))
	defer srv.Close()
	target := Target{Addr: srv.Listener.Addr().String()}
	tests := []struct {
		name string
		p    HTTP
		says string // empty: it holds
	}{
		{"200", HTTP{Path: "/200"}, ""},
		{"299", HTTP{Path: "/299"}, ""},
		{"401", HTTP{Path: "/401"}, "GET /401 answered 401: this is .[31m 401, token=[redacted]"},
		{"503", HTTP{Path: "/503"}, "GET /503 answered 503: this is"},
		{"503, accepted", HTTP{Path: "/503", Status: []int{200, 503}}, ""},
		{"204, not accepted", HTTP{Path: "/204", Status: []int{200}}, "GET /204 answered 204"},
		{"redirect is not followed", HTTP{Path: "/302"}, "GET /302 answered 302 to /200?token=[redacted]"},
		{"redirect, accepted", HTTP{Path: "/302", Status: []int{302}}, ""},
		{"any status", HTTP{Path: "/500", AnyStatus: true}, ""},
		{"secret in the path", HTTP{Path: "/404?key=leaked"}, "GET /404?key=[redacted] answered 404"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.p.Check(t.Context(), target)
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFailure(t, err, NotReady, tt.says)
			if strings.Contains(err.Error(), "leaked") {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

func TestHTTPRequest(t *testing.T) {
	heads := make(chan string, 2)
	addr := serve(t, func(c net.Conn) {
		heads <- readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		io.Copy(io.Discard, c) // until the other side closes: it does not keep the connection
	})
	for range 2 {
		if err := (HTTP{Path: "/readyz?full=1"}).Check(t.Context(), Target{Addr: addr}); err != nil {
			t.Fatal(err)
		}
		want := "GET /readyz?full=1 HTTP/1.1\r\nHost: " + addr +
			"\r\nUser-Agent: creel-probe/1\r\nAccept: */*\r\nConnection: close\r\n\r\n"
		if got := <-heads; got != want {
			t.Errorf("sent %q\nwant %q", got, want)
		}
	}
}

func TestHTTPPathThatIsNone(t *testing.T) {
	for _, path := range []string{"", "readyz", "/a b", "/\r\nX-Evil: 1"} {
		wantFailure(t, HTTP{Path: path}.Check(t.Context(), Target{Addr: freePort(t)}), Unchecked, "not a path")
	}
}

func TestHTTPStrangeAnswers(t *testing.T) {
	endless := strings.Repeat("x", 1<<20)
	tests := []struct {
		name, answer string
		verdict      Verdict
		says         string
	}{
		{"closed at once", "", NotReady, "closed without a whole answer"},
		{"cut short", "HTTP/1.1 200 OK\r\nA: b\r\n", NotReady, "closed without a whole answer"},
		{"garbage", "SSH-2.0-OpenSSH_9.9\r\n\x00\xff", NotReady, "not HTTP"},
		{"garbage status", "HTTP/1.1 abc OK\r\n\r\n", NotReady, "not HTTP"},
		{"endless garbage", endless, NotReady, "not HTTP"},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + endless, NotReady, "head is longer"},
		{"endless interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000), NotReady, "only interim"},
		{"huge body", "HTTP/1.1 503 No\r\nContent-Length: 1048576\r\n\r\n" + endless, NotReady, "answered 503: xxxxx"},
		{"broken body", "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NotReady, "answered 503"},
		{"binary body", "HTTP/1.1 503 No\r\n\r\n\xff\x00\x1b[2J", NotReady, "answered 503: ...[2J"},
		{"switching protocols", "HTTP/1.1 101 Switching\r\n\r\n", NotReady, "answered 101"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := serve(t, func(c net.Conn) {
				readHead(c)
				io.WriteString(c, tt.answer) // fails once the check has seen enough
			})
			err := HTTP{Path: "/readyz"}.Check(t.Context(), Target{Addr: addr})
			wantFailure(t, err, tt.verdict, tt.says)
		})
	}
}

func TestHTTPInterimAnswerIsPassedOver(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
	})
	if err := (HTTP{Path: "/"}).Check(t.Context(), Target{Addr: addr}); err != nil {
		t.Error(err)
	}
}

// An answer is judged by its status even if its body never ends, or never
// comes.
func TestHTTPDoesNotWaitForTheBody(t *testing.T) {
	for status, holds := range map[int]bool{200: true, 503: false} {
		addr := serve(t, func(c net.Conn) {
			readHead(c)
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: 100\r\n\r\n{\"half\":", status)
			io.Copy(io.Discard, c)
		})
		err := HTTP{Path: "/", Timeout: time.Hour}.Check(t.Context(), Target{Addr: addr})
		if holds && err != nil {
			t.Error(err)
		}
		if !holds {
			wantFailure(t, err, NotReady, `answered 503: {"half":`)
		}
	}
}

func TestUnanswered(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"says nothing":  func(c net.Conn) { io.Copy(io.Discard, c) },
		"half a head":   func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); io.Copy(io.Discard, c) },
		"interim alone": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 102 X\r\n\r\n"); io.Copy(io.Discard, c) },
	} {
		t.Run(name, func(t *testing.T) {
			begun := make(chan struct{}, 32)
			addr := serve(t, func(c net.Conn) {
				c.Read(make([]byte, 1)) // the request has come
				begun <- struct{}{}
				handle(c)
			})
			var err error
			for range 20 {
				err = HTTP{Path: "/readyz", Timeout: 300 * time.Millisecond}.Check(t.Context(), Target{Addr: addr})
				if err == nil || !strings.Contains(err.Error(), "did not take the connection") {
					break // else the machine stood still for that long while it was made
				}
			}
			wantFailure(t, err, Unanswered, "GET /readyz was not answered within 300ms")

			<-begun
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("enough")
			done := make(chan error)
			go func() { done <- HTTP{Path: "/readyz", Timeout: time.Hour}.Check(ctx, Target{Addr: addr}) }()
			<-begun
			cancel(reason)
			if err := <-done; !errors.Is(err, reason) {
				t.Errorf("after the context ended: %v", err)
			}
		})
	}
}

// A listener whose queue is full does not even take the connection.
func TestUnansweredDial(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 { // fill the queue
		if c, err := net.DialTimeout("tcp", addr, 20*time.Millisecond); err == nil {
			defer c.Close()
		}
	}
	for range 100 { // there may be room yet, if the machine stood still meanwhile
		if err = (TCP{Timeout: 20 * time.Millisecond}).Check(t.Context(), Target{Addr: addr}); err != nil {
			break
		}
	}
	wantFailure(t, err, Unanswered, "did not take the connection within 20ms")
}

// A registered secret that stands across the border of what is shown must not
// show in part.
func TestSecretAtTheBorder(t *testing.T) {
	const secret = "border-secret-of-this-test-5512"
	if err := telemetry.Register(secret); err != nil {
		t.Fatal(err)
	}
	addr := serve(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 500 X\r\n\r\n"+strings.Repeat("x", maxShown-10)+secret)
	})
	err := HTTP{Path: "/"}.Check(t.Context(), Target{Addr: addr})
	wantFailure(t, err, NotReady, "xxx[redacted]")
	if strings.Contains(err.Error(), secret[:8]) {
		t.Errorf("part of a secret is shown: %v", err)
	}
}
