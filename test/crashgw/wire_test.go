package crashgw

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// TestBad holds each kind against what is characteristic of it on the wire.
func TestBad(t *testing.T) {
	p := Start(t, Options{})
	wants := map[string]string{
		"status-line":        "HTTP/1.1 OK fine\r\n",
		"garbage":            "\x16\x03\x01\x00\xff",
		"huge-headers":       "aaa\r\nX-Filler: aaa",
		"endless-header":     strings.Repeat("a", 2<<20),
		"double-length":      "Content-Length: 2\r\nContent-Length: 3\r\n",
		"length-and-chunked": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"bad-chunk":          "\r\nxyz\r\n",
		"negative-length":    "Content-Length: -1\r\n",
		"header-injection":   "X-Reflected: a\r\nSet-Cookie: injected=1\r\n",
		"lf-in-header":       "200 OK\nX-One: 1\n",
		"nul-in-header":      "a\x00b",
		"space-in-name":      "X-Space : 1",
		"empty":              "",
	}
	for _, kind := range badKinds() {
		t.Run(kind, func(t *testing.T) {
			if kind == "extra-bytes" {
				testExtraBytes(t, p)
				return
			}
			want, ok := wants[kind]
			if !ok {
				t.Fatal("this kind has no test")
			}
			raw, _ := exchange(t, p, hello("/bad?kind="+kind))
			if !strings.Contains(raw, want) || (want == "") != (raw == "") {
				t.Errorf("got %.200q, want it with %.60q", raw, want)
			}
		})
	}
	mustGet(t, p.URL+"/bad?kind=good", 400)
	raw, _ := exchange(t, p, hello("/bad?kind=huge-headers&bytes=5000"))
	if len(raw) < 5000 || len(raw) > 8000 {
		t.Errorf("5000 bytes of headers become %d", len(raw))
	}
	raw, _ = exchange(t, p, hello("/bad?kind=header-injection&value=b%0d%0aX-Evil:%201"))
	if _, h, _ := head(t, raw); h.Get("X-Evil") != "1" {
		t.Errorf("the value is not injected: %q", raw)
	}
}

// testExtraBytes: the first answer is whole, the rest comes unasked, and the
// connection stays open.
func testExtraBytes(t *testing.T, p *Process) {
	conn := dial(t, p)
	if _, err := io.WriteString(conn, hello("/bad?kind=extra-bytes")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for _, want := range []string{"ok", "smug!"} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want || resp.Close {
			t.Errorf("got %q, %v, close %v; want %q on an open connection", b, err, resp.Close, want)
		}
	}
}

func TestEOFBody(t *testing.T) {
	p := Start(t, Options{})
	for _, version := range []string{"1.0", "1.1"} {
		raw, reset := exchange(t, p, hello("/eof-body?bytes=1000&version="+version))
		status, h, body := head(t, raw)
		if status != "HTTP/"+version+" 200 OK" || h.Get("Content-Length") != "" || reset {
			t.Errorf("got %q", raw[:80])
		}
		if want, _ := io.ReadAll(PatternReader(1000)); !bytes.Equal([]byte(body), want) {
			t.Errorf("a body of %d bytes, want %d of the pattern", len(body), len(want))
		}
	}
	mustGet(t, p.URL+"/eof-body?version=2", 400)
}

func TestEarlyAnswer(t *testing.T) {
	p := Start(t, Options{})
	// The body is never sent: the answer comes nevertheless.
	raw, reset := exchange(t, p, "POST /early-answer HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
	if status, h, _ := head(t, raw); !strings.HasPrefix(status, "HTTP/1.1 413") || h.Get("Content-Length") == "" || reset {
		t.Errorf("got %q, reset %v", raw, reset)
	}
	// With rst the unread bytes make the kernel reset the connection.
	_, reset = exchange(t, p, "POST /early-answer?rst=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 100_000))
	if !reset {
		t.Error("the connection was not reset")
	}
}
