package provider

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// successor is the creel that takes over: it has the listener and the folder, and
// nothing else.
func (w *world) successor() (*Proxy, *Server, *Ledger, chan error) {
	w.t.Helper()
	file, err := w.server.Listener().(*net.TCPListener).File()
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		w.t.Fatal(err)
	}
	place, err := OpenPlace(filepath.Join(w.dir, "place.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := place.Took(l); err != nil || place.Port != w.place.Port {
		w.t.Fatal(err, place.Port)
	}
	ledger := openTestLedger(w.t, w, filepath.Join(w.dir, "usage.jsonl"))
	o := w.proxy.opts
	o.Credential, o.Ledger = place.Credential, ledger
	p := New(o)
	s := NewServer(l, p, o.Logger)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	return p, s, ledger, served
}

// TestHandover: while one creel hands over to another a stream goes on to its end,
// no new request is refused, and both are counted by the one that stays.
func TestHandover(t *testing.T) {
	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release() // a failure must not leave the world waiting for the stream
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: begun\n\n")
		if r.Header.Get("X-Slow") != "" {
			_ = http.NewResponseController(w).Flush()
			<-goOn
		}
		_, _ = io.WriteString(w, "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n")
	})
	r := w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`)
	r.Header.Set("X-Slow", "yes")
	slow, err := w.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	next, server, ledger, served := w.successor()
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	go func() { ended <- w.server.Shutdown(ctx) }()
	for i := range 20 { // of both while both accept, then of the successor
		if resp, body := w.chat("m"); resp.StatusCode != 200 || !strings.Contains(body, "usage") {
			t.Fatalf("request %d: %s %s", i, resp.Status, body)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("it has ended with a stream under way: %v", err)
	default:
	}
	release()
	if body, err := io.ReadAll(slow.Body); err != nil || !strings.HasSuffix(string(body), "4}}\n\n") {
		t.Errorf("the stream: %q, %v", body, err)
	}
	w.client.CloseIdleConnections() // on that of the stream there could be another call
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.ledger.Close()
	ledger.Add(ModelUsage{Day: "2026-11-26", Provider: "openai", Model: "one more"})
	w.proxy = next
	w.usageOf("m", func(u ModelUsage) bool { return u.Requests == 21 && u.InputTokens == 63 && u.OutputTokens == 84 })
	w.client.CloseIdleConnections()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	next.Close()
	ledger.Close()
}

// TestIdleWhileLeaving: a call that is sent on an idle connection after creel has begun
// to leave is served, and ends the connection.
func TestIdleWhileLeaving(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	addr := w.server.Listener().Addr().String()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	call := func(last bool) {
		t.Helper()
		r := w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`)
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.Close != last {
			t.Errorf("%s, close %v, %v", resp.Status, resp.Close, err)
		}
	}
	call(false)
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.server.Shutdown(ctx) }()
	for err == nil { // until it has begun
		var other net.Conn
		if other, err = net.Dial("tcp", addr); err == nil {
			err = other.Close()
		}
	}
	select {
	case err := <-ended:
		t.Errorf("it has ended with a connection that may be used: %v", err)
	default:
	}
	call(true)
	if err := <-ended; err != nil || ctx.Err() != nil {
		t.Error(err, ctx.Err())
	}
}

// TestCut: what is still under way when creel has no more time breaks off, and does
// not end like a whole answer.
func TestCut(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	resp, err := w.client.Do(w.request(http.MethodPost, "openai/chat/completions", `{"model":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "begun" {
		t.Errorf("%q, %v", body, err)
	}
}
