package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// askRaw sends a request over HTTP/2 whose fields are taken as they are, which no
// client of a library's would send. It gives the status of the answer, "" where the
// stream was reset, and its body.
func (w *world) askRaw(fields ...string) (status, body string) {
	w.t.Helper()
	c := w.dial().c
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		w.t.Fatal(err)
	}
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			w.t.Fatal(err)
		}
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := f.WriteSettings(); err != nil {
		w.t.Fatal(err)
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		w.t.Fatal(err)
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			w.t.Fatal(err)
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status, ended = frame.PseudoValue("status"), frame.StreamEnded()
		case *http2.DataFrame:
			body += string(frame.Data())
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			return "", ""
		}
		if ended {
			return status, body
		}
	}
}

// TestUnsoundOverHTTP2: what HTTP/2 can say and HTTP/1 cannot is refused, and not
// written so that the gateway reads another request (RFC 9113 §10.3).
func TestUnsoundOverHTTP2(t *testing.T) {
	for name, tt := range map[string]struct{ method, authority string }{
		"a target in the method":   {"GET /other HTTP/1.1", "h"},
		"a space in the method":    {"GET /other?", "h"},
		"a tab in the method":      {"GET\t/other", "h"},
		"a colon in the method":    {"G:ET", "h"},
		"a method beyond ASCII":    {"GÉT", "h"},
		"a space in the authority": {"GET", "h other"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, echoHead)
			status, body := w.askRaw(":method", tt.method, ":scheme", "http", ":authority", tt.authority, ":path", "/r")
			if status != "400" || !strings.Contains(body, `"code":"bad_request"`) {
				t.Errorf("status %q: %s", status, body)
			}
			if len(w.rt.seen) > 0 {
				t.Errorf("the gateway saw %v", w.rt.seen)
			}
		})
	}
}

// TestUnsoundHost: an absolute target can name a host that a Host field cannot.
func TestUnsoundHost(t *testing.T) {
	w := newWorld(t, echoHead)
	resp, body := w.dial().ask("GET http://[fe80::1%25a%20b]/ HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.StatusCode != 400 {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
}

// TestHostBesideAuthority: the gateway gets one host, the one that creel went by
// (RFC 9113 §8.3.1).
func TestHostBesideAuthority(t *testing.T) {
	w := newWorld(t, echoHead)
	status, body := w.askRaw(":method", "GET", ":scheme", "http", ":authority", "h", ":path", "/r", "host", "other", "x-a", "1")
	if status != "200" || strings.Count(body, "\r\nHost: ") != 1 || !strings.Contains(body, "\r\nHost: h\r\n") || !strings.Contains(body, "\r\nX-A: 1\r\n") {
		t.Errorf("status %s; the gateway got\n%s", status, body)
	}
}

// TestAnnouncedTrailer: names of trailer fields that are none are not announced.
func TestAnnouncedTrailer(t *testing.T) {
	if got := announced(http.Header{"x t": nil, "a:b": nil, "X-Ok": nil, "Content-Length": nil}); got != "X-Ok" {
		t.Errorf("announced: %q", got)
	}
}

// TestOldClient: the connection of an HTTP/1.0 client ends with the answer, whatever
// it asks for, and what follows is no request (RFC 9112 §6.1, §9.3).
func TestOldClient(t *testing.T) {
	const inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, request := range map[string]string{
		"in chunks":           "POST /r HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + inner,
		"answer is a problem": "CONNECT h:1 HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" + inner,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, echoHead)
			c := w.dial()
			c.write(request)
			if resp, _ := c.answer("POST"); !resp.Close {
				t.Errorf("the connection stays after %s", resp.Status)
			}
			if err := c.closed(); err != nil {
				t.Errorf("it is not closed: %v", err)
			}
			if n := len(w.rt.sightings("/smuggled")); n > 0 {
				t.Errorf("the gateway saw %d requests that were part of another", n)
			}
		})
	}
}
