package proxy

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"creel/internal/gateway"
)

// readAll reads an answer's body.
func readAll(resp *http.Response) (string, error) {
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// readerOf is a request's head, as it came, and what follows it.
func readerOf(h *head, p *peer) *bufio.Reader {
	return bufio.NewReader(io.MultiReader(strings.NewReader(h.raw), p.br))
}

// untilReady waits for the present instance to be ready.
func (w *world) untilReady() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := w.sup.WaitFor(ctx, gateway.Status.Ready); err != nil {
		w.t.Fatal(err)
	}
}

// crashWindow is a setting: see testProxyConfig.
func crashWindow(d time.Duration) func(*setting) {
	return func(s *setting) { s.proxy.Config.Replay.CrashWindow = d }
}
