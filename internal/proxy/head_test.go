package proxy

import (
	"bufio"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// echoHead answers with the head as the gateway got it.
func echoHead(p *peer) {
	for h := p.head(); h != nil; h = p.head() {
		p.answer(200, h.raw)
	}
}

// lines are the lines of a head, sorted but for the first: the order of fields
// with different names says nothing.
func lines(raw string) []string {
	l := strings.Split(strings.TrimSuffix(raw, "\r\n\r\n"), "\r\n")
	slices.Sort(l[1:])
	return l
}

// TestRequestHead: what the gateway gets of a request's head, to the letter.
func TestRequestHead(t *testing.T) {
	const forwarded = "Forwarded: for=127.0.0.1;host=\"h\";proto=http\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Host: h\nX-Forwarded-Proto: http\n"
	for _, tt := range []struct{ name, request, want string }{
		{"plain", "GET / HTTP/1.1\nHost: h\nAccept: */*\n", "GET / HTTP/1.1\nHost: h\nAccept: */*\n" + forwarded},
		{"escapes kept", "GET /a%2Fb/../c%20d;x=%zz?q=%41&&r=[] HTTP/1.1\nHost: h\n", ""},
		{"double slash", "GET //evil.example/ HTTP/1.1\nHost: h\n", "GET //evil.example/ HTTP/1.1\nHost: h\n" + forwarded},
		{"raw path", "GET /a%2Fb/./../c%20d?q=%41&&r=[] HTTP/1.1\nHost: h\n", "GET /a%2Fb/./../c%20d?q=%41&&r=[] HTTP/1.1\nHost: h\n" + forwarded},
		{"absolute form", "GET http://h/x?y HTTP/1.1\nHost: other\n", "GET /x?y HTTP/1.1\nHost: h\n" + forwarded},
		{"asterisk", "OPTIONS * HTTP/1.1\nHost: h\n", "OPTIONS * HTTP/1.1\nHost: h\n" + forwarded},
		{"HTTP/1.0", "GET / HTTP/1.0\nHost: h\n", "GET / HTTP/1.1\nHost: h\n" + forwarded},
		{"own method", "BREW / HTTP/1.1\nHost: h\n", "BREW / HTTP/1.1\nHost: h\n" + forwarded},
		{"empty POST", "POST / HTTP/1.1\nHost: h\nContent-Length: 0\n", "POST / HTTP/1.1\nHost: h\nContent-Length: 0\n" + forwarded},
		{"hop by hop", "GET / HTTP/1.1\nHost: h\nConnection: keep-alive, X-Foo ,x-bar\nX-Foo: 1\nX-Bar: 2\nX-Baz: 3\nKeep-Alive: 1\nProxy-Connection: x\nProxy-Authorization: y\nTe: gzip\nUpgrade: h2c\nHttp2-Settings: z\n",
			"GET / HTTP/1.1\nHost: h\nX-Baz: 3\n" + forwarded},
		{"Connection names what must stay", "GET / HTTP/1.1\nHost: h\nConnection: X-Forwarded-For, Host\n", "GET / HTTP/1.1\nHost: h\n" + forwarded},
		{"trailers wanted", "GET / HTTP/1.1\nHost: h\nTe: trailers, gzip\n", "GET / HTTP/1.1\nHost: h\nConnection: TE\nTE: trailers\n" + forwarded},
		{"repeated fields", "GET / HTTP/1.1\nHost: h\nX-A: 1\nX-A: 2\n", "GET / HTTP/1.1\nHost: h\nX-A: 1\nX-A: 2\n" + forwarded},
		{"upgrade", "GET / HTTP/1.1\nHost: h\nConnection: keep-alive, Upgrade\nUpgrade: websocket\n", "GET / HTTP/1.1\nHost: h\nConnection: Upgrade\nUpgrade: websocket\n" + forwarded},
		{"upgrade to h2c", "GET / HTTP/1.1\nHost: h\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHttp2-Settings: AAM\n", "GET / HTTP/1.1\nHost: h\n" + forwarded},
		{"upgrade in HTTP/1.0", "GET / HTTP/1.0\nHost: h\nConnection: Upgrade\nUpgrade: websocket\n", "GET / HTTP/1.1\nHost: h\n" + forwarded},
		{"lies", "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\nX-Forwarded-User: root\nX-Real-Ip: 6.6.6.6\nForwarded: for=6.6.6.6\nX_Forwarded_For: 6.6.6.6\nX-Forwarded_User: root\n",
			"GET / HTTP/1.1\nHost: h\n" + forwarded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, echoHead)
			resp, body := w.dial().ask(strings.ReplaceAll(tt.request+"\n", "\n", "\r\n"))
			if tt.want == "" {
				if resp.StatusCode != 400 || len(w.rt.seen) > 0 {
					t.Errorf("status %d, %q; want 400", resp.StatusCode, body)
				}
				return
			}
			got, want := lines(body), lines(strings.ReplaceAll(tt.want+"\n", "\n", "\r\n"))
			if !slices.Equal(got, want) {
				t.Errorf("the gateway got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// TestHeadOverHTTP2: the same request over HTTP/2; and what HTTP/1 cannot say.
func TestHeadOverHTTP2(t *testing.T) {
	eachProtocol(t, echoHead, func(t *testing.T, w *world, c *http.Client, url string) {
		resp, body := fetch(t, c, "GET", url+"/a%2Fb?x=%41", nil, "X-A", "1", "Cookie", "a=1", "Cookie", "b=2")
		if resp.StatusCode != 200 || !strings.HasPrefix(body, "GET /a%2Fb?x=%41 HTTP/1.1\r\nHost: "+w.addr+"\r\n") || !strings.Contains(body, "\r\nX-A: 1\r\n") {
			t.Errorf("the gateway got\n%s", body)
		}
		if proto := strings.Split(url, ":")[0]; !strings.Contains(body, "\r\nX-Forwarded-Proto: "+proto+"\r\n") {
			t.Errorf("not told that it was %s:\n%s", proto, body)
		}
	})
}

func TestConnect(t *testing.T) {
	w := newWorld(t, echoHead)
	resp, body := w.dial().ask("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
	if resp.StatusCode != 501 || code(t, resp, body) != "method_not_supported" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestSoundTarget(t *testing.T) {
	for target, want := range map[string]bool{"/a?b": true, "/é": true, "*": true, "/a b": false, "/a\x7f": false, "/a?b c": false, "/\r\n": false} {
		if got := soundTarget(target); got != want {
			t.Errorf("%q: %t", target, got)
		}
	}
}

// TestForwarded: what the gateway is told of its clients, by who they are and
// what is trusted.
func TestForwarded(t *testing.T) {
	claims := http.Header{
		"X-Forwarded-For": {"203.0.113.9, 10.0.0.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"},
		"X-Forwarded-Port": {"8443"}, "X-Real-Ip": {"203.0.113.9"}, "Forwarded": {"for=203.0.113.9;proto=https"},
	}
	onlyPublic := func(a netip.Addr) bool { return a.IsValid() && !a.IsPrivate() && !a.IsLoopback() }
	for _, tt := range []struct {
		name, sender string
		trusted      []string
		attribute    func(netip.Addr) bool
		strip        bool
		want         string
	}{
		{"untrusted", "198.51.100.1:1", nil, nil, false,
			"X-Forwarded-For: 198.51.100.1|X-Forwarded-Host: h:81|X-Forwarded-Proto: http|Forwarded: for=198.51.100.1;host=\"h:81\";proto=http|"},
		{"trusted", "10.0.0.1:1", []string{"10.0.0.0/8"}, nil, false,
			"X-Forwarded-Port: 8443|X-Real-Ip: 203.0.113.9|X-Forwarded-For: 203.0.113.9, 10.0.0.7, 10.0.0.1|X-Forwarded-Host: public.example|X-Forwarded-Proto: https|Forwarded: for=203.0.113.9;proto=https, for=10.0.0.1;host=\"public.example\";proto=https|"},
		{"another is trusted", "10.0.0.1:1", []string{"10.0.0.2"}, nil, false,
			"X-Forwarded-For: 10.0.0.1|X-Forwarded-Host: h:81|X-Forwarded-Proto: http|Forwarded: for=10.0.0.1;host=\"h:81\";proto=http|"},
		{"IPv6", "[2001:db8::1]:1", nil, nil, false,
			"X-Forwarded-For: 2001:db8::1|X-Forwarded-Host: h:81|X-Forwarded-Proto: http|Forwarded: for=\"[2001:db8::1]\";host=\"h:81\";proto=http|"},
		{"IPv6 with a zone", "[fe80::1%eth0]:1", nil, nil, false,
			"X-Forwarded-For: fe80::1|X-Forwarded-Host: h:81|X-Forwarded-Proto: http|Forwarded: for=\"[fe80::1]\";host=\"h:81\";proto=http|"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"10.0.0.0/8"}, nil, true, ""},
		{"strip", "198.51.100.1:1", nil, nil, true, ""},
		{"strip, trusted", "10.0.0.1:1", []string{"10.0.0.0/8"}, nil, true, ""},
		{"not attributed", "127.0.0.1:1", nil, onlyPublic, false, ""},
		{"attributed through a trusted proxy", "127.0.0.1:1", []string{"127.0.0.1", "10.0.0.7"}, onlyPublic, false,
			"X-Forwarded-Port: 8443|X-Real-Ip: 203.0.113.9|X-Forwarded-For: 203.0.113.9, 10.0.0.7, 127.0.0.1|X-Forwarded-Host: public.example|X-Forwarded-Proto: https|Forwarded: for=203.0.113.9;proto=https, for=127.0.0.1;host=\"public.example\";proto=https|"},
		{"the last hop is not to be attributed", "127.0.0.1:1", []string{"127.0.0.1"}, onlyPublic, false, ""},
		{"no address", "@", nil, nil, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conf := testProxyConfig()
			conf.TrustedProxies = tt.trusted
			if tt.strip {
				conf.ForwardedHeaders = "strip"
			}
			p, err := New(Options{Name: "test", Config: conf, Attribute: tt.attribute})
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{Method: "GET", RequestURI: "/", Host: "h:81", Header: claims.Clone(), RemoteAddr: tt.sender, ProtoMajor: 1, ProtoMinor: 1}
			var out strings.Builder
			bw := bufio.NewWriter(&out)
			newPassage(p, nil, r).WriteHead(bw)
			if err := bw.Flush(); err != nil {
				t.Fatal(err)
			}
			got, want := lines(out.String()), lines("GET / HTTP/1.1\r\nHost: h:81\r\n"+strings.ReplaceAll(tt.want, "|", "\r\n")+"\r\n")
			got = slices.DeleteFunc(got, func(s string) bool { return s == "" })
			want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	conf := testProxyConfig()
	conf.TrustedProxies = []string{"nonsense"}
	if _, err := New(Options{Config: conf}); err == nil {
		t.Error("an address that is none is accepted")
	}
}

// TestSmuggling: requests whose end two servers could see differently are
// refused, and nothing of them reaches the gateway.
func TestSmuggling(t *testing.T) {
	const inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, request := range map[string]string{
		"two lengths":            "POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n" + inner,
		"list of lengths":        "POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 40\r\n\r\n" + inner,
		"signed length":          "POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n" + inner,
		"absurd length":          "POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n" + inner,
		"negative length":        "POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n" + inner,
		"two codings":            "POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + inner,
		"odd coding":             "POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner,
		"coding twice":           "POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"folded field":           "POST /r HTTP/1.1\r\nHost: h\r\nX-A: b\r\n Transfer-Encoding: chunked\r\nBad Name: x\r\n\r\n" + inner,
		"space before the colon": "POST /r HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner,
		"bare CR":                "POST /r HTTP/1.1\r\nHost: h\r\nX-A: b\rContent-Length: 40\r\n\r\n" + inner,
		"NUL":                    "POST /r HTTP/1.1\r\nHost: h\r\nX-A: b\x00\r\n\r\n" + inner,
		"no host":                "POST /r HTTP/1.1\r\n\r\n" + inner,
		"two hosts":              "POST /r HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + inner,
		"bad host":               "POST /r HTTP/1.1\r\nHost: a b\r\n\r\n" + inner,
		"no version":             "GET /r\r\n\r\n" + inner,
		"bad version":            "GET /r HTTP/9.9\r\nHost: h\r\n\r\n" + inner,
		"bad method":             "GE(T /r HTTP/1.1\r\nHost: h\r\n\r\n" + inner,
		"not HTTP":               "\x16\x03\x01\x02\x00\x01\x00 not HTTP at all\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, serveAll)
			c := w.dial()
			c.write(request)
			resp, err := http.ReadResponse(c.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode < 400 || !resp.Close && resp.ProtoAtLeast(1, 1) {
				t.Errorf("status %d, close %t", resp.StatusCode, resp.Close)
			}
			_ = c.closed()
			if len(w.rt.seen) > 0 {
				t.Errorf("the gateway saw %v", w.rt.seen)
			}
		})
	}
}

// TestLengthAndChunks: chunks win over a length (RFC 9112 §6.3), and the gateway
// gets one framing only.
func TestLengthAndChunks(t *testing.T) {
	w := newWorld(t, func(p *peer) {
		for h := p.head(); h != nil; h = p.head() {
			b, _, err := p.body(h)
			if err != nil {
				return
			}
			p.answer(200, string(b)+"|"+h.get("Content-Length")+"|"+h.get("Transfer-Encoding"))
		}
	})
	c := w.dial()
	c.write("POST /r HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
	resp, body := c.answer("POST")
	if resp.StatusCode == 200 && body != "hi||chunked" {
		t.Errorf("the gateway got %s", body)
	}
}

// TestBareLF: lines that end in a bare LF, which RFC 9112 §2.2 lets pass, reach
// the gateway with CRLF.
func TestBareLF(t *testing.T) {
	w := newWorld(t, echoHead)
	_, body := w.dial().ask("GET / HTTP/1.1\nHost: h\nX-A: 1\n\n")
	if !strings.Contains(body, "\r\nX-A: 1\r\n") || strings.Count(body, "\n") != strings.Count(body, "\r\n") {
		t.Errorf("the gateway got %q", body)
	}
}

// TestHugeHead: a head that is too large is refused before anything is done.
func TestHugeHead(t *testing.T) {
	w := newWorld(t, serveAll)
	resp, _ := w.dial().ask("GET / HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 80<<10) + "\r\n\r\n")
	if resp.StatusCode != 431 || len(w.rt.seen) > 0 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if resp, _ := w.dial().ask("GET / HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 60<<10) + "\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("a large one that is allowed: status %d", resp.StatusCode)
	}
}

// TestSlowloris: connections that send their head a byte at a time, or nothing
// at all, are closed; so are those that stay idle between requests.
func TestSlowloris(t *testing.T) {
	w := newWorld(t, serveAll, func(s *setting) {
		s.proxy.Config.Timeouts.RequestHeader = 20 * time.Millisecond
		s.proxy.Config.Timeouts.Idle = 20 * time.Millisecond
	})
	for name, sent := range map[string]string{"nothing": "", "part of a line": "GET / HT", "part of a head": "GET / HTTP/1.1\r\nHost: h\r\nX-", "part of an h2c preface": "PRI * HTTP/2.0\r\n"} {
		c := w.dial()
		c.write(sent)
		if err := c.closed(); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that sends %s keeps its connection", name)
		}
	}
	if n := len(w.rt.sightings("/")); n != 0 {
		t.Errorf("%d requests reached the gateway", n)
	}
	w = newWorld(t, serveAll, func(s *setting) { s.proxy.Config.Timeouts.Idle = 20 * time.Millisecond })
	c := w.dial()
	if resp, _ := c.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if err := c.closed(); err != nil {
		t.Errorf("an idle connection: %v", err)
	}
	if n := len(w.rt.sightings("/")); n != 1 {
		t.Errorf("%d requests reached the gateway", n)
	}
}
