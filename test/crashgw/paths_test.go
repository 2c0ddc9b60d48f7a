package crashgw

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	p := Start(t, Options{})
	raw, _ := exchange(t, p, "PATCH /echo?a=%20b HTTP/1.1\r\nHost: some.host\r\nX-One: 1\r\nX-One: 2\r\n"+
		"Connection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")
	_, _, body := head(t, raw)
	e := decode[Echo](t, reply{body: []byte(body)})
	abc := sha256.Sum256([]byte("abc"))
	if e.Method != "PATCH" || e.URI != "/echo?a=%20b" || e.Path != "/echo" || e.Host != "some.host" ||
		e.Proto != "HTTP/1.1" || e.PID != p.PID || e.Remote == "" {
		t.Errorf("got %+v", e)
	}
	if e.BodyBytes != 3 || e.BodySHA256 != hex.EncodeToString(abc[:]) || e.Trailers.Get("X-Sum") != "7" {
		t.Errorf("body %d %s, trailers %v", e.BodyBytes, e.BodySHA256, e.Trailers)
	}
	if fmt.Sprint(e.Headers["X-One"], e.Headers["Transfer-Encoding"], e.Headers["Connection"]) != "[1 2] [chunked] [close]" {
		t.Errorf("headers %v", e.Headers)
	}
}

func TestEnv(t *testing.T) {
	p := Start(t, Options{}, "SOME_VARIABLE=a=b")
	env := decode[map[string]string](t, mustGet(t, p.URL+"/env", 200))
	if env["SOME_VARIABLE"] != "a=b" || env["PATH"] != os.Getenv("PATH") {
		t.Errorf("got %v", env)
	}
}

func TestPage(t *testing.T) {
	p := Start(t, Options{})
	r := mustGet(t, p.URL+"/", 200)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.Contains(string(r.body), fmt.Sprint(p.PID)) {
		t.Errorf("%v %s", r.Header, r.body)
	}
}

func TestHang(t *testing.T) {
	p := Start(t, Options{})
	mustGet(t, p.URL+"/hang?for=10ms", 200)
	requireSilence(t, p.URL+"/hang")
	mustGet(t, p.URL+"/echo", 200) // the others are served
}

// requireSilence checks that a request gets no answer, for a moment.
func requireSilence(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := (&http.Transport{}).RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want no answer", resp, err)
	}
}

func TestHangAll(t *testing.T) {
	p := Start(t, Options{Ledger: ledgerPath(t)})
	stream := openStream(t, dial(t, p), "/sse?n=1000000&every=1ms")
	mustGet(t, p.URL+"/hang-all", 202)
	for _, path := range []string{"/healthz", "/readyz", "/item?id=1"} {
		conn := dial(t, p) // is accepted
		if _, err := io.WriteString(conn, hello(path)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: read %d bytes, %v; want silence", path, n, err)
		}
	}
	// The stream has stopped: all there is to read was sent before.
	p.Signal(9)
	rest, _ := io.ReadAll(stream)
	if strings.Contains(string(rest), "id: 999999\n") {
		t.Error("the stream went on to its end")
	}
	if n := len(p.Ledger().Entries); n != 0 {
		t.Errorf("a process that hangs has executed %d", n)
	}

	q := Start(t, Options{})
	mustGet(t, q.URL+"/hang-all?for=50ms", 202)
	mustGet(t, q.URL+"/healthz", 200) // late, but it comes
}

func TestLate(t *testing.T) {
	p := Start(t, Options{})
	stream := openStream(t, dial(t, p), "/sse?n=1000000&every=1ms")
	took := func() time.Duration {
		start := time.Now()
		mustGet(t, p.URL+"/healthz", 200)
		return time.Since(start)
	}
	mustGet(t, p.URL+"/late?by=60ms&for=1h", 202)
	if d := took(); d < 60*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
	mustGet(t, p.URL+"/late?by=500ms&for=1ms", 202)
	eventually(t, "answers are late no longer", func() bool { return took() < 500*time.Millisecond })
	mustGet(t, p.URL+"/late?by=1h", 202)
	if _, err := stream.ReadString('\n'); err != nil {
		t.Errorf("the stream: %v", err)
	}
	requireSilence(t, p.URL+"/readyz")
	mustGet(t, Start(t, Options{}).URL+"/late", 400)
}

func TestBurn(t *testing.T) {
	p := Start(t, Options{})
	mustGet(t, p.URL+"/burn?for=50ms", 202)
	mustGet(t, p.URL+"/healthz", 200)
	mustGet(t, p.URL+"/burn", 400)
}

func TestSlowBody(t *testing.T) {
	p := Start(t, Options{})
	start := time.Now()
	r := mustGet(t, p.URL+"/slow-body?bytes=500&rate=2000", 200)
	if want, _ := io.ReadAll(PatternReader(500)); !bytes.Equal(r.body, want) || r.ContentLength != 500 {
		t.Errorf("%d bytes of %d", len(r.body), r.ContentLength)
	}
	if took := time.Since(start); took < 240*time.Millisecond { // 500 / 2000 s, less the rounding
		t.Errorf("took %v, which is faster than the rate", took)
	}
	mustGet(t, p.URL+"/slow-body?rate=0", 400)
}

func TestSSE(t *testing.T) {
	p := Start(t, Options{})
	r := mustGet(t, p.URL+"/sse?n=2", 200)
	want := fmt.Sprintf("id: 1\ndata: {\"n\":1,\"pid\":%d}\n\nid: 2\ndata: {\"n\":2,\"pid\":%d}\n\n", p.PID, p.PID)
	if string(r.body) != want || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %q", r.body)
	}
	r, err := request(t, "GET", p.URL+"/sse?n=3", "", "Last-Event-ID: 2")
	if err != nil || !strings.HasPrefix(string(r.body), "id: 3\n") {
		t.Errorf("after event 2: %q, %v", r.body, err)
	}
	// Flushed one by one: the first event is here though the second never comes.
	events := openStream(t, dial(t, p), "/sse?n=2&every=0s&delay=0s")
	if _, err := io.Copy(io.Discard, io.LimitReader(events, 1)); err != nil {
		t.Error(err)
	}
	slow := openStream(t, dial(t, p), "/sse?n=2&every=1h") // the headers come before any event
	if line, err := slow.ReadString('\n'); err != nil || line == "" {
		t.Errorf("no headers before the first event: %q, %v", line, err)
	}
}

func TestStreamAndTrailers(t *testing.T) {
	p := Start(t, Options{})
	raw, _ := exchange(t, p, strings.Replace(hello("/stream?n=2&bytes=3"), "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
	sum := sha256.Sum256([]byte{0, 1, 2, 3, 4, 5})
	want := "3\r\n\x00\x01\x02\r\n3\r\n\x03\x04\x05\r\n0\r\nX-Chunks: 2\r\nX-Sha256: " + hex.EncodeToString(sum[:]) + "\r\n\r\n"
	if _, _, body := head(t, raw); body != want {
		t.Errorf("got %q, want %q", body, want)
	}
	r := mustGet(t, p.URL+"/trailers", 200)
	if r.Trailer.Get("X-Announced") != "1" || r.Trailer.Get("X-Unannounced") != "2" {
		t.Errorf("trailers %v", r.Trailer)
	}
}

func TestEarlyHints(t *testing.T) {
	p := Start(t, Options{})
	var links []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		links = append(links, fmt.Sprint(code, h.Get("Link")))
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", p.URL+"/1xx?n=3", nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || len(links) != 3 || !strings.HasPrefix(links[2], "103</style-3.css>") || resp.Header.Get("Link") != "" {
		t.Errorf("%d after %v", resp.StatusCode, links)
	}
}

func TestUploadAndDownload(t *testing.T) {
	p := Start(t, Options{})
	const n = 1_000_000
	body := mustGet(t, fmt.Sprintf("%s/download?bytes=%d", p.URL, n), 200)
	if len(body.body) != n || body.ContentLength != n || body.body[n-1] != byte((n-1)%patternPeriod) {
		t.Errorf("%d bytes of %d", len(body.body), body.ContentLength)
	}
	for i, b := range body.body {
		if b != byte(i%patternPeriod) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
	r, err := request(t, "PUT", p.URL+"/upload", string(body.body))
	sum := sha256.Sum256(body.body)
	want := Upload{Bytes: n, SHA256: hex.EncodeToString(sum[:]), PID: p.PID}
	if err != nil || decode[Upload](t, r) != want {
		t.Errorf("%s, %v", r.body, err)
	}
	start := time.Now()
	if r, err = request(t, "PUT", p.URL+"/upload?rate=1000", strings.Repeat("x", 200)); err != nil || decode[Upload](t, r).Bytes != 200 {
		t.Errorf("%s, %v", r.body, err)
	}
	if took := time.Since(start); took < 180*time.Millisecond {
		t.Errorf("200 bytes at 1000 a second took %v", took)
	}

	// 100 Continue comes before the body is sent, and not before it is read.
	conn := dial(t, p)
	r2 := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, "POST /upload HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r2.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := io.WriteString(conn, "abc"); err != nil {
		t.Fatal(err)
	}
	if _, err := r2.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if line, err := r2.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestStatusAndHeaders(t *testing.T) {
	p := Start(t, Options{})
	for _, code := range []int{200, 204, 304, 404, 503, 599} {
		mustGet(t, fmt.Sprintf("%s/status?code=%d", p.URL, code), code)
	}
	mustGet(t, p.URL+"/status?code=101", 400)
	if cookies := mustGet(t, p.URL+"/set-cookie?n=4", 200).Header.Values("Set-Cookie"); len(cookies) != 4 || cookies[0] == cookies[3] {
		t.Errorf("cookies %v", cookies)
	}
	raw, _ := exchange(t, p, strings.Replace(hello("/headers"), "HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n", 1))
	for _, line := range []string{"X-Foo: hop", "Keep-Alive: timeout=5", "Te: trailers", "Upgrade: h2c", "X-End: to-end", "Proxy-Authenticate: "} {
		if !strings.Contains(raw, "\r\n"+line) {
			t.Errorf("no %q in %q", line, raw)
		}
	}
	// On a connection that stays open, where net/http adds nothing of its own.
	if h := mustGetKept(t, p, "/headers"); h.Get("Connection") != "X-Foo" {
		t.Errorf("Connection is %q", h.Get("Connection"))
	}
}

func mustGetKept(t *testing.T, p *Process, path string) http.Header {
	t.Helper()
	r := openStream(t, dial(t, p), path)
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	return http.Header(h)
}
