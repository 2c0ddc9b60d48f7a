//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// testRestart restarts the gateway in good order under load: each request is
// answered, none is refused.
func testRestart(t *testing.T, l *life) {
	before, known := l.status(t), lastSeq(l.events(t))
	open, err := l.dial(t.Context(), l.token)
	if err != nil {
		t.Fatal(err)
	}
	ended := open.watch(t.Context())

	clients := begin(t, l.asks("/"), l.asks("/healthz"), l.asks("/healthz"), l.invoke)
	defer clients.end()
	type outcome struct {
		result
		err error
	}
	restarted := make(chan outcome, 1)
	go func() {
		r, err := l.tryCommand(t.Context(), "restart")
		restarted <- outcome{r, err}
	}()
	l.until(t, momentLimit, "all clients wait", func(s status) bool { return s.Held == len(clients.answers) })
	if end := <-ended; end.code != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v, want close code 1012", end.err)
	}
	r := <-restarted
	clients.end()
	if r.err != nil || r.code != 0 {
		t.Fatalf("creel restart: %+v", r)
	}
	t.Logf("answers during the restart, per client: %v", clients.count())

	s := l.status(t)
	if s.State != "ready" || s.PID == before.PID || s.Generation != before.Generation+1 || s.Restarts != before.Restarts {
		t.Errorf("after the restart: %v, before: %v", s, before)
	}
	if _, ok := readProcess(before.PID); ok {
		t.Error("the earlier instance still runs")
	}
	list := l.events(t)
	for kind, want := range map[string]int{"draining": 1, "killed": 0, "exited": 1, "starting": 1, "ready": 1} {
		if got := count(list, kind, known); got != want {
			t.Errorf("%d events %s, want %d: %v", got, kind, want, list)
		}
	}
	// If OpenClaw's work has taken a moment to end, that is told as well.
	if got := count(list, "stopping", known); got < 1 || got > 2 {
		t.Errorf("%d events stopping, want 1 or 2: %v", got, list)
	}
	l.wantReady(t)
}

// invoke calls a tool of OpenClaw's: a POST, which must not be sent twice.
func (l *life) invoke(ctx context.Context) answer {
	return l.do(ctx, http.MethodPost, "/tools/invoke", `{"tool":"sessions_list","args":{}}`,
		http.Header{"Authorization": {"Bearer " + l.token}, "Content-Type": {"application/json"}})
}
