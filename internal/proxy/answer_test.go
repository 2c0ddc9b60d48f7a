package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// script answers each request on a connection with the same bytes; unless they
// say that it stays open, the connection is closed behind them.
func script(answer string) func(*peer) {
	return func(p *peer) {
		for h := p.head(); h != nil; h = p.head() {
			p.write(answer)
			// An end that the answer does not tell of would meet the next request, and be waited for.
			if !strings.Contains(answer, "Length") && !strings.Contains(answer, "chunked") || strings.Contains(answer, "Connection: close") {
				return
			}
		}
	}
}

// TestAnswers: framings and fields come through.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, method, answer string
		status               int
		body                 string
		fields               http.Header
		absent               []string
	}{
		{name: "Content-Length", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello", status: 200, body: "hello",
			fields: http.Header{"Content-Length": {"5"}, "Content-Type": {"a/b"}}},
		{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", status: 200, body: "hello"},
		{name: "close-delimited", answer: "HTTP/1.1 200 OK\r\n\r\nhello", status: 200, body: "hello"},
		{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\n\r\nhello", status: 200, body: "hello"},
		{name: "HEAD", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", status: 200, fields: http.Header{"Content-Length": {"5"}}},
		{name: "HEAD chunked", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200},
		{name: "204", answer: "HTTP/1.1 204 No Content\r\nX-Content-Length: no\r\n\r\n", status: 204},
		{name: "304", answer: "HTTP/1.1 304 Not Modified\r\nX-Content-Length: no\r\nEtag: \"x\"\r\n\r\n", status: 304, fields: http.Header{"Etag": {`"x"`}}},
		{name: "no body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200},
		{name: "unknown status", answer: "HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nhi", status: 799, body: "hi"},
		{name: "cookies", answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2, c\r\nContent-Length: 0\r\n\r\n", status: 200,
			fields: http.Header{"Set-Cookie": {"a=1", "b=2, c"}}},
		{name: "no sniffing", answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", status: 200, body: "<html>", absent: []string{"Content-Type"}},
		{name: "encoding", answer: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x01", status: 200, body: "\x1f\x8b\x00\x01",
			fields: http.Header{"Content-Encoding": {"gzip"}}},
		{name: "hop by hop", answer: "HTTP/1.1 200 OK\r\nConnection: X-Foo, keep-alive\r\nX-Foo: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Bar: 2\r\nContent-Length: 0\r\n\r\n",
			status: 200, fields: http.Header{"X-Bar": {"2"}}, absent: []string{"Connection", "X-Foo", "Keep-Alive", "Proxy-Authenticate", "Upgrade"}},
		{name: "no reason phrase", answer: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", status: 200},
	} {
		eachProtocolNamed(t, tt.name, func(t *testing.T, protocol string, change ...func(*setting)) {
			w := newWorld(t, script(tt.answer), change...)
			c, url := w.httpClient(protocol)
			method := tt.method
			if method == "" {
				method = "GET"
			}
			for range 2 { // the second time on the connection that was kept
				resp, body := fetch(t, c, method, url+"/r", nil)
				if resp.StatusCode != tt.status || body != tt.body {
					t.Errorf("status %d, %q; want %d, %q", resp.StatusCode, body, tt.status, tt.body)
				}
				for name, want := range tt.fields {
					if got := resp.Header[name]; !slices.Equal(got, want) {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				for _, name := range tt.absent {
					if got, ok := resp.Header[name]; ok {
						t.Errorf("%s: %q, want none", name, got)
					}
				}
			}
		})
	}
}

// TestTrailers: fields after an answer's body, announced and not.
func TestTrailers(t *testing.T) {
	for name, announce := range map[string]string{"announced": "Trailer: X-Sum\r\n", "not announced": ""} {
		for _, flushed := range []bool{true, false} {
			answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + announce + "\r\n5\r\nhello\r\n"
			end := "0\r\nX-Sum: 42\r\nContent-Length: 666\r\n\r\n"
			eachProtocolNamed(t, fmt.Sprint(name, flushed), func(t *testing.T, protocol string, change ...func(*setting)) {
				more := make(chan struct{})
				w := newWorld(t, func(p *peer) {
					if p.head() == nil {
						return
					}
					if !flushed {
						p.write(answer + end)
					} else {
						p.write(answer)
						<-more
						p.write(end)
					}
					p.gone()
				}, change...)
				c, url := w.httpClient(protocol)
				resp, err := c.Get(url + "/r")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b := make([]byte, 5)
				if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "hello" {
					t.Fatal(err, string(b))
				}
				close(more)
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Fatal(err)
				}
				if got := resp.Trailer; got.Get("X-Sum") != "42" || got.Get("Content-Length") != "" {
					t.Errorf("trailer %v", got)
				}
			})
		}
	}
}

// TestInterim: 1xx answers are passed on, each as it comes, but for 100, which
// is the server's own business, and to HTTP/1.0.
func TestInterim(t *testing.T) {
	const early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Foo\r\nX-Foo: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
	const final = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	eachProtocol(t, script(early+final), func(t *testing.T, w *world, c *http.Client, url string) {
		var links []string
		r, err := http.NewRequest("GET", url+"/r", nil)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				links = append(links, fmt.Sprint(code, h.Get("Link"), h.Get("X-Foo")))
				return nil
			},
		}))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if want := []string{"103</a>", "103</b>"}; !slices.Equal(links, want) {
			t.Errorf("interim answers %q, want %q", links, want)
		}
		if resp.StatusCode != 200 || resp.Header.Get("Link") != "" {
			t.Errorf("the final answer: %d, %v", resp.StatusCode, resp.Header)
		}
	})
	w := newWorld(t, script(early+final))
	c := w.dial()
	if resp, body := c.ask("GET /r HTTP/1.0\r\n\r\n"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("HTTP/1.0: %d %q", resp.StatusCode, body)
	}
}

// TestInterimKeepsFields: what creel has put into the head of the final answer is not
// in interim ones, and not lost with them.
func TestInterimKeepsFields(t *testing.T) {
	w := newWorld(t, script("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	ours := w.srv.Handler
	w.srv.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Ours", "1")
		ours.ServeHTTP(rw, r)
	})
	c := w.dial()
	c.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp, _ := c.answer("GET"); resp.StatusCode != 103 || resp.Header.Get("Link") != "</a>" || resp.Header.Get("X-Ours") != "" {
		t.Errorf("the interim answer is %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := c.answer("GET"); resp.StatusCode != 200 || resp.Header.Get("Link") != "" || resp.Header.Get("X-Ours") != "1" {
		t.Errorf("the answer is %d %v", resp.StatusCode, resp.Header)
	}
}

// TestOwnCookie: the gateway sets no cookie of creel's, in whichever answer and however
// written; its own it does.
func TestOwnCookie(t *testing.T) {
	const cookies = "Set-Cookie: creel-1=x; Path=/_creel\r\nset-cookie: a=creel-1\r\nSet-Cookie: \tcreel-1 =x\r\nSet-Cookie: =creel-1=x\r\nSet-Cookie: = creel-1=x\r\nSet-Cookie: creel-10=y\r\n"
	own := func(s *setting) { s.proxy.OwnCookie = func(name string) bool { return name == "creel-1" } }
	want := []string{"a=creel-1", "creel-10=y"}
	w := newWorld(t, script("HTTP/1.1 103 Early Hints\r\n"+cookies+"\r\nHTTP/1.1 200 OK\r\n"+cookies+"Content-Length: 0\r\n\r\n"), own)
	c, url := w.httpClient("h1")
	r, err := http.NewRequest("GET", url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	var early []string
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		early = h["Set-Cookie"]
		return nil
	}}))
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !slices.Equal(early, want) || !slices.Equal(resp.Header["Set-Cookie"], want) {
		t.Errorf("early %q, then %q, want %q", early, resp.Header["Set-Cookie"], want)
	}
	for answer, want := range map[string][]string{
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n" + cookies + "\r\n": want,
		"HTTP/1.1 200 OK\r\nSet-Cookie: creel-1=x\r\nContent-Length: 0\r\n\r\n":                          nil,
	} {
		c := newWorld(t, script(answer), own).dial()
		if resp, _ := c.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"); !slices.Equal(resp.Header["Set-Cookie"], want) {
			t.Errorf("%.20s: %q, want %q", answer, resp.Header["Set-Cookie"], want)
		}
	}
}

// TestEndlessInterim: a gateway that never comes to the point is given up.
func TestEndlessInterim(t *testing.T) {
	w := newWorld(t, script(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 200)), crashWindow(time.Millisecond))
	resp, body := fetchH1(t, w, "GET", "/r")
	if code(t, resp, body) != "bad_response" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func fetchH1(t *testing.T, w *world, method, path string) (*http.Response, string) {
	c, url := w.httpClient("h1")
	return fetch(t, c, method, url+path, nil)
}

// TestCutAnswer: an answer that breaks off is seen to be broken, by every client.
func TestCutAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"Content-Length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
		"chunked":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
		"in a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\npart",
		"bad chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nxyz\r\n",
	} {
		cut := func(p *peer) {
			if p.head() != nil {
				p.write(answer)
				p.crash()
			}
		}
		eachProtocolNamed(t, name, func(t *testing.T, protocol string, change ...func(*setting)) {
			w := newWorld(t, cut, change...)
			c, url := w.httpClient(protocol)
			resp, err := c.Get(url + "/r")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Error("the client takes it for whole")
			}
			if got := w.rt.sightings("/r"); !slices.Equal(got, []uint64{1}) {
				t.Errorf("seen by %v", got)
			}
			eventually(t, "the outcome", func() bool { return w.tally.outcome(Failed) == 1 && w.tally.problem("answer_cut") == 1 })
		})
		// To a client of HTTP/1.0 an answer without a length ends where the
		// connection ends: only a reset tells.
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/HTTP/1.0, TLS=%t", name, secure), func(t *testing.T) {
				w := newWorld(t, cut, func(s *setting) {
					if secure {
						s.tls = testTLS(t)
					}
				})
				c := w.dial()
				if secure {
					c = newClient(t, tls.Client(c.c, &tls.Config{InsecureSkipVerify: true}))
				}
				c.write("GET /r HTTP/1.0\r\n\r\n")
				if err := c.closed(); err == nil {
					t.Error("the connection ends in good order")
				}
			})
		}
	}
}

// TestCloseDelimited: an answer that ends where the gateway's connection ends is
// whole if that ends in good order, and cut if it is reset.
func TestCloseDelimited(t *testing.T) {
	for _, reset := range []bool{false, true} {
		t.Run(fmt.Sprint("reset=", reset), func(t *testing.T) {
			begun := make(chan struct{})
			w := newWorld(t, func(p *peer) {
				if p.head() == nil {
					return
				}
				p.write("HTTP/1.1 200 OK\r\n\r\nsome")
				<-begun
				if reset {
					p.reset()
				}
			})
			c, url := w.httpClient("h1")
			resp, err := c.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b := make([]byte, 4)
			if _, err := io.ReadFull(resp.Body, b); err != nil {
				t.Fatal(err)
			}
			close(begun)
			if _, err = io.ReadAll(resp.Body); (err != nil) != reset {
				t.Errorf("the client saw %v", err)
			}
		})
	}
}

// TestStreamsAtOnce: each piece of an answer reaches the client before the
// gateway sends the next, whatever the framing.
func TestStreamsAtOnce(t *testing.T) {
	piece := func(i int) string { return fmt.Sprintf("data: %d\n\n", i) }
	const n = 5
	for name, form := range map[string]struct {
		head  string
		frame func(string) string
		end   string
	}{
		"events":          {"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked", chunk, "0\r\n\r\n"},
		"chunks":          {"Transfer-Encoding: chunked", chunk, "0\r\n\r\n"},
		"length":          {fmt.Sprint("Content-Length: ", n*len(piece(0))), plain, ""},
		"close-delimited": {"X-Nothing: 1", plain, ""},
	} {
		eachProtocolNamed(t, name, func(t *testing.T, protocol string, change ...func(*setting)) {
			next := make(chan struct{})
			w := newWorld(t, func(p *peer) {
				if p.head() == nil {
					return
				}
				p.write("HTTP/1.1 200 OK\r\n" + form.head + "\r\n\r\n")
				for i := range n {
					<-next
					p.write(form.frame(piece(i)))
				}
				p.write(form.end)
			}, change...)
			c, url := w.httpClient(protocol)
			resp, err := c.Get(url + "/r") // the head comes before the first piece
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			for i := range n {
				next <- struct{}{}
				b := make([]byte, len(piece(i)))
				if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != piece(i) {
					t.Fatalf("piece %d is %q (%v)", i, b, err)
				}
			}
			if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
				t.Errorf("the end: %q, %v", rest, err)
			}
		})
	}
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
func plain(s string) string { return s }

// TestBothWays: request and answer stream at the same time.
func TestBothWays(t *testing.T) {
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
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				break
			}
			p.write(chunk(string(b)))
		}
		p.write("0\r\n\r\n")
	}, func(t *testing.T, w *world, c *http.Client, url string) {
		body, pw := io.Pipe()
		r, err := http.NewRequest("POST", url+"/r", body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r) // before anything of the body is sent
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for _, want := range []string{"a", "b", "c"} {
			if _, err := io.WriteString(pw, want); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
				t.Fatalf("got %q (%v), want %q", b, err, want)
			}
		}
		_ = pw.Close()
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Errorf("the end: %q, %v", rest, err)
		}
	})
}

// TestBadAnswers: what is not HTTP is refused, and said so.
func TestBadAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"status line":     "HTTP/1.1 OK fine\r\nContent-Length: 2\r\n\r\nok",
		"garbage":         "\x16\x03\x01\x00\xff\x00 this is not HTTP \xfe\xfd\r\n\r\n",
		"huge head":       ok + strings.Repeat("X-Filler: "+strings.Repeat("a", 1000)+"\r\n", 2000) + "\r\n",
		"endless field":   ok + "X-Filler: " + strings.Repeat("a", 2<<20) + "\r\n\r\n",
		"two lengths":     ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
		"negative length": ok + "Content-Length: -1\r\n\r\nok",
		"absurd length":   ok + "Content-Length: 99999999999999999999\r\n\r\nok",
		"NUL in a value":  ok + "X-Nul: a\x00b\r\nContent-Length: 2\r\n\r\nok",
		"space in a name": ok + "X-Space : 1\r\nContent-Length: 2\r\n\r\nok",
		"status 000":      "HTTP/1.1 000 X\r\nContent-Length: 2\r\n\r\nok",
		"status 099":      "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/2":          "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"unknown coding":  ok + "Transfer-Encoding: gzip\r\n\r\nok",
		"not asked for":   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	} {
		eachProtocolNamed(t, name, func(t *testing.T, protocol string, change ...func(*setting)) {
			w := newWorld(t, func(p *peer) {
				if p.head() != nil {
					p.write(answer)
					p.gone()
				}
			}, append(change, crashWindow(time.Millisecond))...)
			c, url := w.httpClient(protocol)
			resp, body := fetch(t, c, "GET", url+"/r", nil)
			if resp.StatusCode != 502 || code(t, resp, body) != "bad_response" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if got := w.rt.sightings("/r"); len(got) != 1 {
				t.Errorf("it was asked %d times", len(got))
			}
		})
	}
}

// TestGarbageAndDeath: bytes that make no sense from an instance that ends count
// as no answer.
func TestGarbageAndDeath(t *testing.T) {
	w := newWorld(t, func(p *peer) {
		if p.generation() > 1 {
			serveAll(p)
			return
		}
		if p.head() != nil {
			p.write("HTTP/1.1 2")
			p.crash()
		}
	})
	if resp, body := fetchH1(t, w, "GET", "/r"); resp.StatusCode != 200 || body != "generation 2" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestUnsolicited: a connection on which the gateway has sent what nobody asked
// for is not used again, so that nobody gets another's answer.
func TestUnsolicited(t *testing.T) {
	for _, atOnce := range []bool{true, false} {
		t.Run(fmt.Sprint("at once=", atOnce), func(t *testing.T) {
			idle := make(chan struct{})
			extra := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmug!"
			w := newWorld(t, func(p *peer) {
				if p.number > 1 {
					serveAll(p)
					return
				}
				if p.head() == nil {
					return
				}
				if atOnce {
					p.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
				} else {
					p.answer(200, "ok")
					<-idle
					p.write(extra)
					idle <- struct{}{}
				}
				p.gone()
			})
			c, url := w.httpClient("h1")
			if _, body := fetch(t, c, "GET", url+"/1", nil); body != "ok" {
				t.Fatal(body)
			}
			if !atOnce {
				idle <- struct{}{}
				<-idle
			}
			if _, body := fetch(t, c, "GET", url+"/2", nil); body != "generation 1" {
				t.Errorf("the second request got %q", body)
			}
		})
	}
}

// TestKeepAliveRace: a gateway that closes connections in the moment of their
// next use costs nobody an answer; what may not be sent twice never goes on one.
func TestKeepAliveRace(t *testing.T) {
	var raced atomic.Int64
	w := newWorld(t, func(p *peer) {
		for i := 0; ; i++ {
			h := p.head()
			switch {
			case h == nil:
				return
			case i > 0:
				raced.Add(1)
				return // the connection was kept, and is closed on its second request
			}
			p.answer(200, "ok")
		}
	}, crashWindow(time.Millisecond))
	c, url := w.httpClient("h1")
	for i := range 40 {
		method := "GET"
		if i%2 == 1 {
			method = "POST"
		}
		if resp, body := fetch(t, c, method, fmt.Sprint(url, "/", i), nil); resp.StatusCode != 200 {
			t.Fatalf("%s %d: status %d %s", method, i, resp.StatusCode, body)
		}
		if got := len(w.rt.sightings(fmt.Sprint("/", i))); method == "POST" && got != 1 {
			t.Errorf("POST %d was seen %d times", i, got)
		}
	}
	if raced.Load() == 0 {
		t.Error("no kept connection was ever used: the test shows nothing")
	}
}

// TestSlowReader: a client that does not take its answer is let go, and the
// gateway with it.
func TestSlowReader(t *testing.T) {
	closed := make(chan struct{})
	w := newWorld(t, func(p *peer) {
		if p.head() == nil {
			return
		}
		p.write("HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(p.tcp, zeros{})
		close(closed)
	}, func(s *setting) { s.proxy.Config.Timeouts.WriteIdle = time.Millisecond })
	c := w.dial()
	c.write("GET /r HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, "the gateway's connection to be closed", closed)
	eventually(t, "the outcome", func() bool { return w.tally.outcome(Canceled) == 1 })
}
