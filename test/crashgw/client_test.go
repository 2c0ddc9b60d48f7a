package crashgw

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testFor bounds every single wait of the tests.
const testFor = 20 * time.Second

// reply is an answer that has been read to its end.
type reply struct {
	*http.Response
	body []byte
}

// request sends one request on a connection of its own. The error may come
// together with part of the answer.
func request(t *testing.T, method, url, body string, headers ...string) (reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp, b}, err
}

// mustGet is a GET that has to be answered with the given status.
func mustGet(t *testing.T, url string, status int) reply {
	t.Helper()
	r, err := request(t, "GET", url, "")
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	if r.StatusCode != status {
		t.Fatalf("GET %s: status %d, want %d; body %s", url, r.StatusCode, status, r.body)
	}
	return r
}

func decode[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("cannot decode %q: %v", r.body, err)
	}
	return v
}

// dial opens a raw connection with a deadline for all that follows.
func dial(t *testing.T, p *Process) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", p.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testFor)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange writes bytes on a raw connection and gives all that comes back, up to
// the end of the connection, and whether that end was a reset.
func exchange(t *testing.T, p *Process, send string) (got string, reset bool) {
	t.Helper()
	conn := dial(t, p)
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	return readAll(t, conn)
}

func readAll(t *testing.T, conn net.Conn) (got string, reset bool) {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("cannot read to the end: %v; so far %q", err, b)
	}
	return string(b), err != nil
}

// hello is a minimal request.
func hello(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n"
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(testFor)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still not so: %s", what)
		}
	}
}

// wantExit waits for the process and compares its exit code.
func wantExit(t *testing.T, p *Process, code int) {
	t.Helper()
	if ws := p.Wait(testFor); !ws.Exited() || ws.ExitStatus() != code {
		t.Errorf("ended with %v (exited %v, code %d), want exit code %d", p.state, ws.Exited(), ws.ExitStatus(), code)
	}
}

func ledgerPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "ledger")
}

// head splits a raw answer.
func head(t *testing.T, raw string) (status string, header http.Header, body string) {
	t.Helper()
	top, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		t.Fatalf("no end of the headers in %q", raw)
	}
	status, lines, _ := strings.Cut(top, "\r\n")
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(lines + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("cannot parse %q: %v", top, err)
	}
	return status, http.Header(h), body
}
