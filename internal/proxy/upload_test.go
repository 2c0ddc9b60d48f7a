package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/config"
)

// pattern is a body whose every part is different.
func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func sum(b []byte) string { return fmt.Sprintf("%d %x", len(b), sha256.Sum256(b)) }

// answerSum answers with what it takes to know that a body is whole.
func answerSum(p *peer) {
	for {
		h := p.head()
		if h == nil {
			return
		}
		b, trailer, err := p.body(h)
		if err != nil {
			return
		}
		p.answer(200, sum(b)+" "+trailer.Get("X-Sum"))
	}
}

// crashAfter is an instance that crashes when n bytes of a body are there; its
// successors answer.
func crashAfter(n int, crashed chan<- struct{}) func(*peer) {
	return func(p *peer) {
		if p.generation() > 1 {
			answerSum(p)
			return
		}
		h := p.head()
		if h == nil {
			return
		}
		r, err := http.ReadRequest(readerOf(h, p))
		if err == nil {
			_, _ = io.CopyN(io.Discard, r.Body, int64(n))
		}
		p.crash()
		close(crashed)
	}
}

// noFiles fails if a folder has a file in it.
func noFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("%d files lie about, such as %s", len(entries), entries[0].Name())
	}
}

// TestUploadReplayed: a crash in the middle of a slow upload. The second
// instance gets every byte, the first ones from what was kept, while the client
// is still sending.
func TestUploadReplayed(t *testing.T) {
	body := pattern(300 << 10)
	for name, memory := range map[string]int64{"in memory": 1 << 20, "on disk": 10, "on both": 100 << 10} {
		eachProtocolNamed(t, name, func(t *testing.T, protocol string, change ...func(*setting)) {
			crashed := make(chan struct{})
			var dir string
			w := newWorld(t, crashAfter(len(body)/3, crashed), append(change, func(s *setting) {
				s.proxy.Config.Replay.BodyMemory = memory
				dir = s.proxy.BodyDir
			})...)
			c, url := w.httpClient(protocol)
			r, pw := io.Pipe()
			go func() {
				_, _ = pw.Write(body[:len(body)/2])
				<-crashed
				noFiles(t, dir)
				_, _ = pw.Write(body[len(body)/2:])
				_ = pw.Close()
			}()
			if resp, got := fetch(t, c, "PUT", url+"/r", r); resp.StatusCode != 200 || strings.TrimSpace(got) != sum(body) {
				t.Errorf("status %d, the second instance got %s, want %s", resp.StatusCode, got, sum(body))
			}
			if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{1, 2}) {
				t.Errorf("seen by %v", got)
			}
			noFiles(t, dir)
		})
	}
}

// TestBodyNotKept: what is too large to keep streams on, and is not sent again.
func TestBodyNotKept(t *testing.T) {
	body := pattern(64 << 10)
	limits := map[string]func(*setting){
		"body_max": func(s *setting) { s.proxy.Config.Replay.BodyMax = 30 << 10 },
		"budget":   func(s *setting) { s.proxy.Config.Replay.Budget = 30 << 10 },
	}
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, answerSum, limit)
			c, url := w.httpClient("h1")
			if _, got := fetch(t, c, "PUT", url+"/whole", bytes.NewReader(body)); strings.TrimSpace(got) != sum(body) {
				t.Errorf("without a crash: got %s, want %s", got, sum(body))
			}
		})
		t.Run(name+", crash", func(t *testing.T) {
			crashed := make(chan struct{})
			w := newWorld(t, crashAfter(len(body), crashed), limit)
			c, url := w.httpClient("h1")
			resp, got := fetch(t, c, "PUT", url+"/r", bytes.NewReader(body))
			if resp.StatusCode != 502 || code(t, resp, got) != "body_not_kept" {
				t.Errorf("status %d, %s", resp.StatusCode, got)
			}
			if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{1}) {
				t.Errorf("seen by %v", got)
			}
			if w.tally.reason("body_not_kept") != 1 {
				t.Errorf("the metric says %v", w.tally.notReplayable)
			}
		})
	}
}

// TestNoDiskForBodies: what the disk does not take is kept in memory, and sent
// again all the same; whoever looks after the disk is told.
func TestNoDiskForBodies(t *testing.T) {
	body := pattern(64 << 10)
	crashed := make(chan struct{})
	var told atomic.Int64
	w := newWorld(t, crashAfter(len(body), crashed), func(s *setting) {
		s.proxy.Config.Replay.BodyMemory = 1
		s.proxy.BodyDir = "/proc/creel-cannot-write-here"
		s.proxy.Disk = func(err error) {
			if err != nil {
				told.Add(1)
			}
		}
	})
	c, url := w.httpClient("h1")
	if resp, got := fetch(t, c, "PUT", url+"/r", bytes.NewReader(body)); resp.StatusCode != 200 || strings.TrimSpace(got) != sum(body) {
		t.Errorf("status %d, the second instance got %s, want %s", resp.StatusCode, got, sum(body))
	}
	if told.Load() != 1 { // not again for each piece
		t.Errorf("told %d times", told.Load())
	}
}

// TestBrokenOffBody: what a client has not sent whole, no gateway takes for whole.
func TestBrokenOffBody(t *testing.T) {
	for name, request := range map[string]string{
		"shorter than announced": "Content-Length: 10000\r\n\r\n12345",
		"small and shorter":      "Content-Length: 10\r\n\r\n12345",
		"chunks without an end":  "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
		"in a chunk":             "Transfer-Encoding: chunked\r\n\r\na\r\n12345",
		"bad chunk":              "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nzz\r\n",
	} {
		for _, method := range []string{"PUT", "POST"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				got := make(chan error, 10)
				w := newWorld(t, func(p *peer) {
					if h := p.head(); h != nil {
						_, _, err := p.body(h)
						got <- err
					}
				})
				c := w.dial()
				c.write(method + " /r HTTP/1.1\r\nHost: h\r\n" + request)
				if err := c.c.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				seen := 1
				if method == "POST" && name == "small and shorter" {
					seen = 0 // it is read first
				} else if err := receive(t, "the gateway's view", got); err == nil {
					t.Error("the gateway took it for whole")
				}
				resp, body := c.answer(method)
				if resp.StatusCode != 400 || code(t, resp, body) != "bad_request_body" || !resp.Close {
					t.Errorf("status %d, %s, close %t", resp.StatusCode, body, resp.Close)
				}
				if got := w.rt.sightings("/r"); len(got) != seen {
					t.Errorf("seen by %v", got)
				}
			})
		}
	}
}

// TestLongerBody: what follows a body is the next request, and no part of it.
func TestLongerBody(t *testing.T) {
	w := newWorld(t, answerSum)
	c := w.dial()
	resp, body := c.ask("PUT /r HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.StatusCode != 200 || strings.TrimSpace(body) != sum([]byte("12345")) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := c.answer("GET"); resp.StatusCode != 200 || len(w.rt.sightings("/next")) != 1 {
		t.Errorf("the next request got %d", resp.StatusCode)
	}
}

// TestSmallBody: a small body of a request that may not be repeated is read first,
// so that the gateway hears nothing of a client that does not send it.
func TestSmallBody(t *testing.T) {
	for _, protocol := range []string{"h1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			c, url := newWorld(t, answerSum).httpClient(protocol)
			for _, size := range []int{1, smallBody, smallBody + 1} {
				body := pattern(size)
				if resp, got := fetch(t, c, "POST", url+"/whole", bytes.NewReader(body)); resp.StatusCode != 200 || strings.TrimSpace(got) != sum(body) {
					t.Errorf("%d bytes: status %d, %s", size, resp.StatusCode, got)
				}
			}
			w := newWorld(t, answerSum, func(s *setting) { s.proxy.Config.Timeouts.BodyIdle = time.Millisecond })
			c, url = w.httpClient(protocol)
			for _, method := range []string{"POST", "PATCH"} {
				r, pw := io.Pipe()
				req, err := http.NewRequestWithContext(t.Context(), method, url+"/slow", r)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = 10
				go func() { _, _ = pw.Write([]byte("a part")) }()
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err = errors.Join(err, resp.Body.Close(), pw.Close()); err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != 408 || code(t, resp, string(body)) != "request_body_timeout" {
					t.Errorf("%s: status %d, %s", method, resp.StatusCode, body)
				}
				if got := w.rt.sightings("/slow"); len(got) > 0 {
					t.Errorf("%s: seen by %v", method, got)
				}
			}
		})
	}
}

// TestSlowBody: a client that pauses in its body is told, and let go.
func TestSlowBody(t *testing.T) {
	for _, method := range []string{"PUT", "POST"} {
		for _, protocol := range []string{"h1", "h2c"} {
			t.Run(method+"/"+protocol, func(t *testing.T) {
				closed := make(chan struct{})
				w := newWorld(t, func(p *peer) { p.head(); p.gone(); close(closed) }, func(s *setting) {
					s.proxy.Config.Timeouts.BodyIdle = time.Millisecond
				})
				c, url := w.httpClient(protocol)
				r, pw := io.Pipe()
				defer pw.Close()
				go func() { _, _ = pw.Write([]byte("a beginning")) }()
				resp, body := fetch(t, c, method, url+"/r", r)
				if resp.StatusCode != 408 || code(t, resp, body) != "request_body_timeout" {
					t.Errorf("status %d, %s", resp.StatusCode, body)
				}
				receive(t, "the gateway's connection to be closed", closed)
			})
		}
	}
}

// TestChunkedWithTrailers: chunks and trailer fields reach the gateway, from
// each protocol; those that would change the meaning of the head do not.
func TestChunkedWithTrailers(t *testing.T) {
	eachProtocol(t, answerSum, func(t *testing.T, w *world, c *http.Client, url string) {
		for _, method := range []string{"PUT", "POST"} {
			r, err := http.NewRequest(method, url+"/r", io.MultiReader(strings.NewReader("chunk"), strings.NewReader("ed")))
			if err != nil {
				t.Fatal(err)
			}
			r.Trailer = http.Header{"X-Sum": {"42"}, "X-Forwarded-For": {"6.6.6.6"}}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := readAll(resp)
			_ = resp.Body.Close()
			if want := sum([]byte("chunked")) + " 42"; b != want || err != nil {
				t.Errorf("%s: got %q (%v), want %q", method, b, err, want)
			}
		}
	})
	w := newWorld(t, func(p *peer) {
		h := p.head()
		_, trailer, err := p.body(h)
		p.answer(200, fmt.Sprint(trailer, err)+h.get("Trailer"))
	})
	c := w.dial()
	_, body := c.ask("POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\nX-Forwarded-For: 6.6.6.6\r\nHost: evil\r\n\r\n")
	if want := "map[X-Late:[1]] <nil>"; body != want {
		t.Errorf("the gateway got the trailer %s, want %s", body, want)
	}
}

// TestTrailersReplayed: trailers come with the second attempt too.
func TestTrailersReplayed(t *testing.T) {
	crashed := make(chan struct{})
	w := newWorld(t, crashAfter(5, crashed))
	c := w.dial()
	c.write("PUT /r HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
	<-crashed
	c.write("0\r\nX-Sum: 42\r\n\r\n")
	if _, body := c.answer("PUT"); body != sum([]byte("12345"))+" 42" {
		t.Errorf("the second instance got %q", body)
	}
}

// TestEarlyAnswer: an answer that comes before the body has been sent reaches
// the client at once, and what is left of the body is never taken for a request.
func TestEarlyAnswer(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1000\r\n"} {
		for _, method := range []string{"PUT", "POST"} {
			t.Run(method+" "+framing[:8], func(t *testing.T) {
				w := newWorld(t, func(p *peer) {
					if p.head() != nil {
						p.answer(413, "too large")
						p.gone()
					}
				})
				c := w.dial()
				resp, body := c.ask(method + " /r HTTP/1.1\r\nHost: h\r\n" + framing)
				if resp.StatusCode != 413 || body != "too large" || !resp.Close {
					t.Errorf("status %d, %q, close %t", resp.StatusCode, body, resp.Close)
				}
				// The client may go on sending, into the void.
				_, _ = io.WriteString(c.c, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
				_ = c.closed()
				if got := w.rt.sightings("/smuggled"); len(got) > 0 {
					t.Error("the rest of the body was taken for a request")
				}
			})
		}
	}
}

// TestEarlyAnswerWhileSending: a client that only sends, and looks for an answer
// afterwards, finds it.
func TestEarlyAnswerWhileSending(t *testing.T) {
	eachProtocol(t, func(p *peer) {
		if p.head() != nil {
			p.answer(413, "too large")
			p.gone()
		}
	}, func(t *testing.T, w *world, c *http.Client, url string) {
		for _, method := range []string{"PUT", "POST"} {
			resp, body := fetch(t, c, method, url+"/r", bytes.NewReader(pattern(150<<10)))
			if resp.StatusCode != 413 || body != "too large" {
				t.Errorf("status %d, %q", resp.StatusCode, body)
			}
		}
	})
}

// TestExpectContinue: the client's body is asked for, and reaches the gateway.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t, answerSum)
	c := w.dial()
	c.write("PUT /r HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != 100 {
		t.Fatalf("%v %v", resp, err)
	}
	c.write("hi")
	if _, body := c.answer("PUT"); strings.TrimSpace(body) != sum([]byte("hi")) {
		t.Errorf("got %q", body)
	}
}

// TestLargeUpload: a body larger than all buffers streams through in both
// directions, and is not buffered whole on the way.
func TestLargeUpload(t *testing.T) {
	const size = 96 << 20
	eachProtocol(t, func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		r, err := http.ReadRequest(readerOf(h, p))
		if err != nil {
			return
		}
		p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		b := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				p.write(fmt.Sprintf("%x\r\n%s\r\n", n, b[:n]))
			}
			if err != nil {
				break
			}
		}
		p.write("0\r\n\r\n")
	}, func(t *testing.T, w *world, c *http.Client, url string) {
		r, err := http.NewRequest("POST", url+"/r", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if n != size || err != nil {
			t.Errorf("%d bytes came back (%v), want %d", n, err, size)
		}
	})
}

// TestIdempotencyKey: it counts where the app honours it, and nowhere else.
func TestIdempotencyKey(t *testing.T) {
	w := newWorld(t, serveAll, func(s *setting) {
		s.proxy.Config.Replay.IdempotentRoutes = []config.IdempotentRoute{{Path: "/hooks/agent", Header: "Idempotency-Key"}, {Path: "/v1/*", Header: "X-Key"}}
	})
	for _, tt := range []struct {
		method, path, field string
		want                bool
	}{
		{"POST", "/hooks/agent", "Idempotency-Key", true},
		{"PATCH", "/hooks/agent", "Idempotency-Key", true},
		{"POST", "/hooks/agent/x", "Idempotency-Key", false},
		{"POST", "/hooks", "Idempotency-Key", false},
		{"POST", "/v1/a", "X-Key", true},
		{"POST", "/v1/a", "Idempotency-Key", false},
		{"PROPFIND", "/v1/a", "X-Key", false},
	} {
		r, err := http.NewRequest(tt.method, "http://h"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(tt.field, "k")
		if got := w.proxy.present.Load().keyed(r); got != tt.want {
			t.Errorf("%s %s with %s: %t, want %t", tt.method, tt.path, tt.field, got, tt.want)
		}
	}
}
