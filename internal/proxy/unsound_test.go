package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// askRaw sends a request over HTTP/2 whose fields are taken as they are, which no
// client of a library's would send. It gives the status of the answer and its body.
func (w *world) askRaw(fields ...string) (status, body string) {
	w.t.Helper()
	status, body, reset := w.askUnder(nil, fields...)
	if reset {
		return "", ""
	}
	return status, body
}

// askUnder is askRaw with settings of the client's (RFC 9113 §6.5.2). It tells whether
// the stream was reset.
func (w *world) askUnder(settings []http2.Setting, fields ...string) (status, body string, reset bool) {
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
	if err := f.WriteSettings(settings...); err != nil {
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
			return status, body, true
		}
		if ended {
			return status, body, false
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

// TestUntakenStream: an answer over HTTP/2 that its client takes nothing of comes to an
// end, however small it is; what needs no window does not.
func TestUntakenStream(t *testing.T) {
	none := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}
	for name, tt := range map[string]struct {
		method, answer string
		reset          bool
	}{
		"small":        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"until closed": {"GET", "HTTP/1.0 200 OK\r\n\r\nok", true},
		"in chunks":    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"a problem":    {"CONNECT", "", true},
		"a page":       {"BREW", "", true},
		"no content":   {"GET", "HTTP/1.1 204 No Content\r\n\r\n", false},
		"a head":       {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(p *peer) {
				if p.head() != nil {
					p.write(tt.answer)
				}
			}, func(s *setting) {
				s.proxy.Config.Timeouts.WriteIdle = time.Millisecond
				s.proxy.Waiting = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != "BREW" {
						return false
					}
					_, _ = w.Write(make([]byte, 10_000))
					return true
				}
			})
			fields := []string{":method", tt.method, ":scheme", "http", ":authority", "h", ":path", "/r"}
			if tt.method == "CONNECT" {
				fields = []string{":method", tt.method, ":authority", "h:1"}
			}
			status, body, reset := w.askUnder(none, fields...)
			if reset != tt.reset || status == "" || body != "" {
				t.Errorf("status %s, reset %t, %q", status, reset, body)
			}
		})
	}
}

// TestSlowAfterInterim: an interim answer sets no bound for the one that follows.
func TestSlowAfterInterim(t *testing.T) {
	w := newWorld(t, func(p *peer) {
		if p.head() == nil {
			return
		}
		p.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		quiet := time.NewTimer(deadlineStep + deadlineStep/2) // what is tested is that this does no harm
		<-quiet.C
		p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}, func(s *setting) { s.proxy.Config.Timeouts.WriteIdle = time.Millisecond })
	status, body, reset := w.askUnder(nil, ":method", "GET", ":scheme", "http", ":authority", "h", ":path", "/r")
	if status != "200" || body != "ok" || reset {
		t.Errorf("status %s, %q, reset %t", status, body, reset)
	}
}
