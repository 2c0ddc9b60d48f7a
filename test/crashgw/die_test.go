package crashgw

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDieModes looks at the bytes on the connection, at the exit code and at the
// ledger.
func TestDieModes(t *testing.T) {
	const item = `{"id":"1","pid":` // how the answer begins
	tests := []struct {
		mode     mode
		executed int
		check    func(t *testing.T, raw string)
	}{
		{onArrival, 0, nothing},
		{midRequestBody, 0, nothing},
		{beforeHeaders, 1, nothing},
		{afterHeaders, 1, func(t *testing.T, raw string) {
			status, h, body := head(t, raw)
			if status != "HTTP/1.1 200 OK" || h.Get("Content-Length") == "" || body != "" {
				t.Errorf("got %q", raw)
			}
		}},
		{midBody, 1, func(t *testing.T, raw string) {
			_, h, body := head(t, raw)
			var declared int
			fmt.Sscan(h.Get("Content-Length"), &declared)
			if declared < 10 || len(body) != declared/2 || !strings.HasPrefix(item, body[:5]) {
				t.Errorf("got %q", raw)
			}
		}},
		{midChunked, 1, func(t *testing.T, raw string) {
			_, h, body := head(t, raw)
			got, err := io.ReadAll(newChunked(body))
			if h.Get("Content-Length") != "" || err != io.ErrUnexpectedEOF || len(got) < 5 || !strings.HasPrefix(item, string(got[:5])) {
				t.Errorf("got %q: %v", raw, err)
			}
			if !strings.HasSuffix(body, "\r\n") {
				t.Errorf("the last chunk that is there is not whole: %q", body)
			}
		}},
		{then500, 1, func(t *testing.T, raw string) {
			status, h, body := head(t, raw)
			if !strings.HasPrefix(status, "HTTP/1.1 500") || h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("Connection") != "" {
				t.Errorf("got %q", raw)
			}
		}},
		{close500, 1, func(t *testing.T, raw string) {
			status, h, body := head(t, raw)
			if !strings.HasPrefix(status, "HTTP/1.1 500") || h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("Connection") != "close" {
				t.Errorf("got %q", raw)
			}
		}},
	}
	if len(tests) != len(modes[whole]) {
		t.Errorf("%d modes are tested, there are %d", len(tests), len(modes[whole]))
	}
	for i, tt := range tests {
		t.Run(string(tt.mode), func(t *testing.T) {
			p := Start(t, Options{Ledger: ledgerPath(t)})
			code := 20 + i
			raw, _ := exchange(t, p, fmt.Sprintf("POST /item?id=1&die=%s&code=%d HTTP/1.1\r\n"+
				"Host: test\r\nContent-Length: 10\r\n\r\n0123456789", tt.mode, code))
			tt.check(t, raw)
			wantExit(t, p, code)
			if n := p.Ledger().Executions()["1"]; n != tt.executed {
				t.Errorf("executed %d times, want %d", n, tt.executed)
			}
		})
	}
}

func nothing(t *testing.T, raw string) {
	if raw != "" {
		t.Errorf("got %q, want nothing", raw)
	}
}

// newChunked decodes chunks.
func newChunked(body string) io.Reader {
	resp, err := http.ReadResponse(newReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+body), nil)
	if err != nil {
		panic(err)
	}
	return resp.Body
}

func TestDieOfSignal(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{
		"KILL": syscall.SIGKILL, "SIGABRT": syscall.SIGABRT, "segv": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	} {
		t.Run(name, func(t *testing.T) {
			p := Start(t, Options{})
			if r, err := request(t, "GET", p.URL+"/echo?die=before-headers&signal="+name, ""); err == nil {
				t.Errorf("got an answer: %s", r.body)
			}
			ws := p.Wait(testFor)
			if !ws.Signaled() || ws.Signal() != sig {
				t.Errorf("ended with %v, want signal %v", p.state, sig)
			}
			if strings.Contains(p.Output(), "goroutine") {
				t.Errorf("it printed its stacks:\n%s", p.Output())
			}
		})
	}
}

func TestDieMistakesKillNobody(t *testing.T) {
	p := Start(t, Options{Ledger: ledgerPath(t)})
	for _, path := range []string{
		"/echo?die=slowly", "/echo?die=on-arrival&code=256", "/echo?die=on-arrival&signal=CHLD",
		"/echo?die=on-arrival&signal=NOPE", "/echo?die=on-arrival&delay=soon", "/echo?die=on-arrival&times=1",
		"/sse?die=500-then-exit", "/hang?die=mid-body", "/item?die=before-headers", "/status?code=7&die=mid-body",
	} {
		mustGet(t, p.URL+path, 400)
	}
	mustGet(t, p.URL+"/healthz", 200)
	if n := len(p.Ledger().Entries); n != 0 {
		t.Errorf("the ledger has %d entries, want none", n)
	}
}

// TestMidRequestBody does not send the second half: the process must not wait
// for it.
func TestMidRequestBody(t *testing.T) {
	for name, head := range map[string]string{
		"declared": "Content-Length: 10\r\n\r\n01234",
		"chunked":  "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
		"after":    "Content-Length: 1000000\r\nCrashgw-After: 3\r\n\r\n012",
		"none":     "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := Start(t, Options{})
			raw, _ := exchange(t, p, "POST /upload?die=mid-request-body HTTP/1.1\r\nHost: test\r\n"+head)
			nothing(t, raw)
			wantExit(t, p, 1)
		})
	}
	t.Run("not before half", func(t *testing.T) {
		p := Start(t, Options{})
		conn := dial(t, p)
		begin := "POST /upload?die=mid-request-body HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
		want := "HTTP/1.1 100 Continue\r\n\r\n" // it has begun to read
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v", got, err)
		}
		mustGet(t, p.URL+"/echo", 200) // alive
		if _, err := io.WriteString(conn, "01234"); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p, 1)
	})
}

func TestDieByHeader(t *testing.T) {
	p := Start(t, Options{})
	_, err := request(t, "GET", p.URL+"/echo", "", "Crashgw-Die: on-arrival", "Crashgw-Code: 9")
	if err == nil {
		t.Error("got an answer")
	}
	wantExit(t, p, 9)

	q := Start(t, Options{})
	r, err := request(t, "GET", q.URL+"/status?code=201", "", "Crashgw-Code: 202")
	if err != nil || r.StatusCode != 201 {
		t.Errorf("the query does not win: %v %v", r.Response, err)
	}
}

func TestDieWithin(t *testing.T) {
	const within = 300 * time.Millisecond
	p := Start(t, Options{})
	start := time.Now()
	mustGet(t, p.URL+"/echo?die=500-then-exit&within="+within.String(), 500)
	wantExit(t, p, 1)
	if took := time.Since(start); took < within {
		t.Errorf("exited after %v, want %v or more", took, within)
	}

	// Meanwhile the same connection is served.
	q := Start(t, Options{})
	raw, _ := exchange(t, q, hello("/echo?die=500-then-exit&within=1h")+
		strings.Replace(hello("/echo"), "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
	if strings.Count(raw, "HTTP/1.1 500") != 1 || strings.Count(raw, "HTTP/1.1 200") != 1 {
		t.Errorf("got %q", raw)
	}
}

func TestDelay(t *testing.T) {
	const delay = 100 * time.Millisecond
	p := Start(t, Options{Ledger: ledgerPath(t)})
	start := time.Now()
	mustGet(t, p.URL+"/echo?delay="+delay.String(), 200)
	if took := time.Since(start); took < delay {
		t.Errorf("answered after %v, want %v or more", took, delay)
	}
	// The delay comes before the work.
	conn := dial(t, p)
	if _, err := io.WriteString(conn, hello("/item?id=late&delay=1h")); err != nil {
		t.Fatal(err)
	}
	mustGet(t, p.URL+"/item?id=now", 200)
	p.Kill()
	if n := p.Ledger().Executions(); n["late"] != 0 || n["now"] != 1 {
		t.Errorf("executed %v", n)
	}
	// Later generations need not delay.
	younger := Start(t, Options{}, "CREEL_GENERATION=2")
	mustGet(t, younger.URL+"/echo?delay=1h&below=2", 200)
	requireSilence(t, younger.URL+"/echo?delay=1h&below=3")
	mustGet(t, younger.URL+"/echo?below=2", 400)
	mustGet(t, Start(t, Options{}).URL+"/echo?delay=1h&below=2", 400)
	// A request that is to kill does so even when its client has left.
	q := Start(t, Options{})
	conn = dial(t, q)
	if _, err := io.WriteString(conn, hello("/echo?die=before-headers&delay=50ms")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, q, 1)
}

// TestDieTimes is the request that kills twice and is then served, across
// processes.
func TestDieTimes(t *testing.T) {
	ledger, port := ledgerPath(t), FreePort(t)
	for life := 1; life <= 3; life++ {
		p := Start(t, Options{Port: port, Ledger: ledger})
		mustGet(t, p.URL+"/item?id=other", 200)
		r, err := request(t, "GET", p.URL+"/item?id=x&die=on-arrival&times=2", "")
		if life < 3 {
			if err == nil {
				t.Fatalf("life %d: answered %d", life, r.StatusCode)
			}
			wantExit(t, p, 1)
			continue
		}
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("life %d: %v %v", life, r.Response, err)
		}
		if n := p.Ledger().Executions()["x"]; n != 1 {
			t.Errorf("executed %d times, want 1", n)
		}
	}
}

// TestDieInTheMiddle is about answers that are sent piece by piece.
func TestDieInTheMiddle(t *testing.T) {
	tests := []struct {
		path     string
		has, not string
	}{
		{"/sse?n=4&die=after-headers", "text/event-stream", "id: 1"},
		{"/sse?n=4&die=mid-chunked", "id: 2", "id: 3"},
		{"/sse?n=0&die=mid-body", "text/event-stream", "id:"},
		{"/stream?n=4&bytes=3&die=mid-chunked", "\r\n3\r\n\x03\x04\x05\r\n", "\x06"},
		{"/slow-body?bytes=4&rate=4000&die=mid-body", "Content-Length: 4\r\n", "\x00\x01\x02\x03"},
		{"/eof-body?bytes=4&die=after-headers", "\r\n\r\n", "\x00"},
		{"/eof-body?bytes=4&die=mid-body", "\x00\x01", "\x02"},
		{"/1xx?n=2&die=mid-body", "style-1.css", "style-2.css"},
		{"/1xx?n=2&die=before-headers", "", "HTTP"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			p := Start(t, Options{})
			raw, _ := exchange(t, p, hello(tt.path))
			if !strings.Contains(raw, tt.has) || strings.Contains(raw, tt.not) {
				t.Errorf("got %q, want it with %q and without %q", raw, tt.has, tt.not)
			}
			wantExit(t, p, 1)
		})
	}
}
