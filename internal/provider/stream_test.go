package provider

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close() // into memory
	return b.Bytes()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStreamIsNotCollected: the provider sends a piece only after the gateway has
// got the one before it.
func TestStreamIsNotCollected(t *testing.T) {
	got := make(chan struct{})
	const pieces = 50
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		for i := range pieces {
			fmt.Fprintf(w, "data: {\"n\":%d} sk-re\n\n", i)
			if flush() != nil {
				return
			}
			select {
			case <-got:
			case <-r.Context().Done():
				return
			}
		}
	})
	resp, err := w.client.Do(w.request(http.MethodPost, "openai/chat/completions", `{"model":"m","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range pieces {
		want := fmt.Sprintf("data: {\"n\":%d} sk-re\n\n", i)
		b := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
			t.Fatalf("piece %d: %q, %v", i, b, err)
		}
		got <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
}

// TestBodiesAreIdentical: random bytes in random pieces come as they were sent, both
// ways, over HTTP/1.1 and HTTP/2.
func TestBodiesAreIdentical(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		random := rand.New(rand.NewPCG(1, 2))
		body := make([]byte, 3<<20)
		for i := range body {
			body[i] = byte("sk-real\n\"{}:usage\x00\xff"[random.IntN(19)])
		}
		var protocol atomic.Value
		handler := func(w http.ResponseWriter, r *http.Request) {
			protocol.Store(r.Proto)
			rest := body
			for len(rest) > 0 {
				n := min(1+random.IntN(1<<uint(random.IntN(18))), len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}
		w := newWorld(t, handler)
		if h2 {
			w.provider.Close()
			w.provider = httptest.NewUnstartedServer(w.provider.Config.Handler)
			w.provider.EnableHTTP2 = true
			w.provider.StartTLS()
			w.restart()
		}
		sent := `{"model":"m","x":"` + strings.Repeat("0123456789", 200000) + `"}`
		resp, got := w.do(w.request(http.MethodPost, "openai/chat/completions", sent))
		if resp.StatusCode != 200 || got != string(body) {
			t.Errorf("h2 %v: %s, %d bytes of %d", h2, resp.Status, len(got), len(body))
		}
		if _, arrived := w.seen.last(t); arrived != sent {
			t.Errorf("h2 %v: %d bytes have arrived of %d", h2, len(arrived), len(sent))
		}
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]; protocol.Load() != want {
			t.Errorf("spoken was %v, not %s", protocol.Load(), want)
		}
	}
}

// TestEarlyAnswer: a provider that answers before it has read the request is heard to
// the end of its answer.
func TestEarlyAnswer(t *testing.T) {
	text := strings.Repeat("no more of that. ", 20000)
	early := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // it always can
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, text[:1000])
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text[1000:])
	}))
	defer early.Close()
	w := newWorld(t, answerOK)
	base, err := parseBase(early.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy.byName[openAIName].Base = base
	for range 20 {
		body, in := io.Pipe()
		r := w.request(http.MethodPost, "openai/files", "")
		r.Header.Set("Content-Type", "application/octet-stream") // JSON is read for the model first
		r.Body, r.ContentLength = body, -1
		resp, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = io.WriteString(in, strings.Repeat("x", 1<<20)) // while the answer goes on
			_ = in.Close()
		}()
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(got) != text || resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("%s, %d bytes, %v", resp.Status, len(got), err)
		}
	}
}

// TestBackpressure: a gateway that does not read stops the provider.
func TestBackpressure(t *testing.T) {
	stopped := make(chan int, 1)
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		written := 0
		for written < 1<<30 {
			_ = rc.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			n, err := w.Write(make([]byte, 64<<10))
			if written += n; err != nil {
				break
			}
		}
		stopped <- written
	})
	resp, err := w.client.Do(w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	select {
	case n := <-stopped:
		if n > 64<<20 { // what sockets hold, many times over
			t.Errorf("the provider could write %d bytes that nobody reads", n)
		}
	case <-time.After(testWait):
		t.Error("the provider was never stopped")
	}
}

// TestGatewayLeaves: the provider is told at once, before and during the answer.
func TestGatewayLeaves(t *testing.T) {
	for _, begun := range []bool{false, true} {
		gone, asked := make(chan struct{}), make(chan struct{})
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
			if begun {
				_, _ = io.WriteString(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
			}
			close(asked)
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(t.Context())
		r := w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`).WithContext(ctx)
		go func() {
			<-asked
			cancel()
		}()
		resp, err := w.client.Do(r)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close() // canceled
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("begun %v: %v", begun, err)
		}
		select {
		case <-gone:
		case <-time.After(testWait):
			t.Fatal("the provider was not told")
		}
		w.usageOf("m", func(u ModelUsage) bool { return u.Errors[ErrCanceled] == 1 && u.Requests == 1 })
	}
}

// TestBrokenAnswer: an answer that breaks off does not end like a whole one.
func TestBrokenAnswer(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: begun\n\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := w.client.Do(w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil || string(body) != "data: begun\n\n" {
		t.Errorf("got %q and %v", body, err)
	}
	w.usageOf("m", func(u ModelUsage) bool { return u.Errors[ErrCut] == 1 })
}

// TestSentOnce: a provider that hangs up without an answer has got the request once,
// on a new connection and on one that is kept.
func TestSentOnce(t *testing.T) {
	var hangUp atomic.Bool
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) {
		if hangUp.Load() {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "{}")
	})
	w.chat("m")
	hangUp.Store(true)
	for range 3 {
		before := w.seen.count()
		resp, body := w.chat("m")
		if n := w.seen.count() - before; resp.StatusCode != http.StatusBadGateway || n != 1 || !strings.Contains(body, "provider_unreachable") {
			t.Errorf("%s %s, sent %d times", resp.Status, body, n)
		}
	}
	w.usageOf("m", func(u ModelUsage) bool { return u.Errors[ErrNetwork] == 3 && u.Requests == 4 })
}

// TestUnreadBody: a request of which nobody has read the body, since its provider cannot
// be reached, is answered, and its connection is good for the next one.
func TestUnreadBody(t *testing.T) {
	w := newWorld(t, answerOK)
	for _, to := range w.proxy.byName { // nobody listens at a port that was taken and is free
		to.Base = freeBase(t)
	}
	for _, size := range []int{0, 1, 100, 5 << 10, 200 << 10} {
		for _, path := range []string{"openai/files", "google/v1beta/models/m:generateContent"} {
			for range 5 {
				r := w.request(http.MethodPost, path, strings.Repeat("x", size))
				r.Header.Set("Content-Type", "application/octet-stream")
				if resp, body := w.do(r); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "cannot be reached") {
					t.Fatalf("%s with %d bytes: %s %s", path, size, resp.Status, body)
				}
			}
		}
	}
	r := w.request(http.MethodPost, "openai/files", "x")
	r.Header.Set("Content-Type", "application/octet-stream")
	r.ContentLength = -1 // it may be too much to be read for nothing
	if resp, _ := w.do(r); resp.StatusCode != http.StatusBadGateway || !resp.Close {
		t.Errorf("%s, the connection is to be closed: %v", resp.Status, resp.Close)
	}
	w.restart() // what is logged is logged by then
	if log := w.log.String(); strings.Contains(log, "panic") || !strings.Contains(log, "connection refused") {
		t.Errorf("%.3000s", log)
	}
}

func freeBase(t *testing.T) *url.URL {
	t.Helper()
	gone := httptest.NewServer(http.NotFoundHandler())
	base, err := parseBase(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	return base
}

// TestPatience: who does not begin to answer is given up; who has begun may take its
// time, and so may who is still being sent a body.
func TestPatience(t *testing.T) {
	const limit = 300 * time.Millisecond
	begin := make(chan bool, 1)
	ended := make(chan struct{}, 1)
	// On a busy machine the provider itself may begin too late: then once more.
	whole := func(what string, ask func() (*http.Response, string)) {
		t.Helper()
		var resp *http.Response
		var body string
		for range 5 {
			begin <- true
			if resp, body = ask(); resp.StatusCode != http.StatusGatewayTimeout {
				break
			}
		}
		if resp.StatusCode != 200 || body != "late, and whole" {
			t.Errorf("%s: %s %s", what, resp.Status, body)
		}
	}
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if !<-begin {
			<-r.Context().Done()
			ended <- struct{}{}
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-time.After(3 * limit) // the time that passes is what is tested
		_, _ = io.WriteString(w, "late, and whole")
	}, withFirstByte(limit))
	begin <- false
	resp, body := w.do(w.request(http.MethodPost, "anthropic/v1/messages", `{"model":"m"}`))
	if resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(body, `"type":"error"`) || !strings.Contains(body, "provider_timeout") {
		t.Errorf("%s %s", resp.Status, body)
	}
	select {
	case <-ended:
	case <-time.After(testWait):
		t.Error("the provider was not told")
	}
	whole("a slow answer", func() (*http.Response, string) { return w.chat("m") })
	whole("a slow body", func() (*http.Response, string) {
		slow, in := io.Pipe()
		r := w.request(http.MethodPost, "openai/files", "").WithContext(t.Context())
		r.Body, r.ContentLength = slow, -1
		go func() {
			for range 4 {
				<-time.After(limit / 2)
				_, _ = io.WriteString(in, "part of a body ")
			}
			_ = in.Close()
		}()
		return w.do(r)
	})
}

// TestMasker: whatever the pieces that come and that are asked for, the same comes
// out.
func TestMasker(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	forms := formsOf(realKey)
	for range 300 {
		var b strings.Builder
		for range 20 {
			b.WriteString(realKey[:random.IntN(len(realKey)+1)])
			if random.IntN(3) == 0 {
				b.WriteString(realKey)
			}
		}
		want := []byte(b.String())
		mask(want, forms)
		var from io.Reader = strings.NewReader(b.String())
		switch random.IntN(3) {
		case 0:
			from = iotest.OneByteReader(from)
		case 1:
			from = iotest.DataErrReader(from)
		}
		m := &masker{from: from, forms: forms}
		var out []byte
		for {
			p := make([]byte, 1+random.IntN(200))
			n, err := m.Read(p)
			out = append(out, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("got  %q\nwant %q", out, want)
		}
	}
}
