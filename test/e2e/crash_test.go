//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// testCrash kills the gateway with SIGKILL. Requests under way, and those that
// come next, are answered by the next instance though their clients do nothing
// for it; an open WebSocket is told to reconnect, and its reconnect waits.
func testCrash(t *testing.T, l *life) {
	before, known := l.status(t), lastSeq(l.events(t))
	open, err := l.dial(t.Context(), l.token)
	if err != nil {
		t.Fatal(err)
	}
	ended := open.watch(t.Context())
	clients := begin(t, l.asks("/"), l.asks("/healthz"), l.asks("/"), l.asks("/healthz"))
	defer clients.end()

	killed := time.Now()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/", "/healthz"}
	answers := make(chan answer, len(paths))
	for _, path := range paths {
		go func() { answers <- l.get(t.Context(), path) }()
	}
	if end := <-ended; end.code != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v, want close code 1012", end.err)
	}
	t.Logf("WebSocket closed %v after the kill", time.Since(killed).Round(time.Microsecond))
	// The connection may break a moment before the kernel reports the exit.
	for deadline := time.Now().Add(5 * time.Second); ; {
		a := l.get(t.Context(), "/_creel/readyz")
		if a.status == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("while the gateway is down: %v", a)
			break
		}
	}
	type reconnect struct {
		*operator
		err error
	}
	reconnected := make(chan reconnect, 1)
	go func() {
		o, err := l.dial(t.Context(), l.token)
		reconnected <- reconnect{o, err}
	}()
	l.until(t, bootLimit, "all requests and the handshake wait for the next instance", func(s status) bool {
		if s.State == "ready" {
			t.Fatalf("it is ready already, and they did not wait: %v", s)
		}
		return s.Held == len(clients.answers)+len(paths)+1
	})

	for range paths {
		if a := <-answers; !isRight(a) {
			t.Errorf("a request made right after the kill: %v", a)
		}
	}
	t.Logf("answered %v after the kill", time.Since(killed).Round(time.Millisecond))
	clients.end()
	again := <-reconnected
	if again.err != nil {
		t.Fatalf("the reconnect failed: %v", again.err)
	}
	defer again.close()
	if again.boot == open.boot {
		t.Error("the reconnect reached the instance that was killed")
	}

	s := l.status(t)
	if s.State != "ready" || s.Generation != before.Generation+1 || s.Restarts != before.Restarts+1 || s.PID == before.PID || s.Held != 0 {
		t.Errorf("after the crash: %v, before: %v", s, before)
	}
	if s.LastEnd == nil || s.LastEnd.Cause != "signal" || !strings.Contains(s.LastEnd.Message, "SIGKILL") || s.LastEnd.Generation != before.Generation {
		t.Errorf("how it ended: %+v", s.LastEnd)
	}
	list := l.events(t)
	for kind, want := range map[string]int{"exited": 1, "starting": 1, "ready": 1, "backoff": 0, "failed": 0} {
		if got := count(list, kind, known); got != want {
			t.Errorf("%d events %s, want %d: %v", got, kind, want, list)
		}
	}
}
