package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a gateway that does at once what it is asked to, or never.
type fake struct {
	mu     sync.Mutex
	status gateway.Status
	stuck  bool
	left   bool // by this creel
	err    error
	demand int       // how often it was asked for
	lent   chan bool // gets true when a lease is lent, false when it is given back; nil: those that are lent have ended
}

func (f *fake) Status() gateway.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) Held() int { return 3 }

func (f *fake) set(s gateway.State, more uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && !f.stuck {
		f.status.State = s
		f.status.Generation += more
	}
	return f.err
}

func (f *fake) Start(context.Context) error { return f.set(gateway.Ready, 1) }
func (f *fake) Stop(context.Context) error  { return f.set(gateway.Stopped, 0) }
func (f *fake) Demand() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.demand++
}

func (f *fake) Restart(context.Context) error { return f.set(gateway.Ready, 1) }

func (f *fake) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	if st := f.Status(); holds(st) {
		return st, nil
	}
	if f.left {
		return f.Status(), errors.New("it was left")
	}
	<-ctx.Done()
	return f.Status(), ctx.Err()
}

func (f *fake) AwaitEnd(ctx context.Context, generation uint64) (gateway.Fate, error) {
	if generation < f.Status().Generation {
		return gateway.Fate{Crashed: true}, nil
	}
	<-ctx.Done()
	return gateway.Fate{}, ctx.Err()
}

func (f *fake) Lend(_ context.Context, generation uint64, underWay bool) (gateway.Lease, error) {
	st := f.Status()
	if generation < st.Generation || st.State == gateway.Draining && !underWay {
		return gateway.Lease{}, gateway.ErrNotLent
	}
	i := gateway.NewForeign(generation, "127.0.0.1:1")
	if f.lent == nil {
		i.End(gateway.Fate{}) // so that no answer goes on
		return i.Lease(nil), nil
	}
	f.lent <- true
	return i.Lease(func() { f.lent <- false }), nil
}

type journal struct{ list []event.Event }

func (j *journal) Recent(n int) []event.Event { return j.list[max(0, len(j.list)-n):] }
func (j *journal) Subscribe(ctx context.Context, after uint64) iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		if yield(event.Event{Seq: after + 1, Kind: event.Ready, Message: "later"}) {
			<-ctx.Done()
		}
	}
}

func newAPI(t *testing.T, f *fake, j *journal) *API {
	t.Helper()
	return New(Options{Gateway: f, Journal: j, Metrics: http.NotFoundHandler(), LogPath: filepath.Join(t.TempDir(), "log"), Version: "1", Logger: slog.New(slog.DiscardHandler),
		Link: func() string { return "http://127.0.0.1:8080/#token=secret" }})
}

func do(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// TestPublic: what strangers see, in each state. It never has a reason, a pid,
// an address, a link or a log line.
func TestPublic(t *testing.T) {
	for _, state := range gateway.States {
		f := &fake{status: gateway.Status{Name: "g", State: state, Reason: "SECRET", PID: 42, Addr: "SECRET", LastEnd: &gateway.End{Message: "SECRET"}}}
		h := behindGate(newAPI(t, f, &journal{}), stranger)
		st := do(h, "GET", "/_creel/status")
		var got map[string]any
		if err := json.Unmarshal(st.Body.Bytes(), &got); err != nil || st.Code != 200 {
			t.Fatalf("%s: %d %s", state, st.Code, st.Body)
		}
		if got["ok"] != (state == gateway.Ready) || got["status"] != string(state) {
			t.Errorf("%s: %s", state, st.Body)
		}
		ready := do(h, "GET", "/_creel/readyz")
		if (ready.Code == 200) != (state == gateway.Ready) || (ready.Code == 503) != (state != gateway.Ready) {
			t.Errorf("%s: readyz answers %d", state, ready.Code)
		}
		if ready.Code == 503 && ready.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", state)
		}
		if live := do(h, "GET", "/_creel/healthz"); live.Code != 200 {
			t.Errorf("%s: healthz answers %d", state, live.Code)
		}
		for _, w := range []*httptest.ResponseRecorder{st, ready} {
			if strings.Contains(w.Body.String(), "SECRET") || strings.Contains(w.Body.String(), "42") || strings.Contains(w.Body.String(), "token") {
				t.Errorf("%s: strangers are told %s", state, w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: may be stored", state)
			}
		}
	}
}

// TestStrangersGetNothing: of the public door's table there is next to nothing for
// them.
func TestStrangersGetNothing(t *testing.T) {
	w := newWorld(t)
	h := behindGate(w.API, stranger)
	open := map[string]bool{"/_creel/status": true, "/_creel/healthz": true, "/_creel/readyz": true, v1("openapi.json"): true, "/sandbox-health": true, "/api/status": true}
	for _, r := range w.table() {
		if got := do(h, r.method, r.path); (got.Code == http.StatusForbidden) == open[r.path] {
			t.Errorf("%s answers %d", r.pattern(), got.Code)
		}
	}
}

func TestActs(t *testing.T) {
	for _, test := range []struct {
		name   string
		path   string
		fake   *fake
		status int
		state  gateway.State
	}{
		{"start", "start?wait=1s", &fake{status: gateway.Status{State: gateway.Failed}}, 200, gateway.Ready},
		{"start without waiting", "start", &fake{stuck: true, status: gateway.Status{State: gateway.Starting}}, 200, gateway.Starting},
		{"restart", "restart?wait=1s", &fake{status: gateway.Status{State: gateway.Ready, Generation: 4}}, 200, gateway.Ready},
		{"restart waits for a later generation", "restart?wait=20ms", &fake{stuck: true, status: gateway.Status{State: gateway.Ready, Generation: 4}}, 504, ""},
		{"stop", "stop?wait=1s", &fake{status: gateway.Status{State: gateway.Ready}}, 200, gateway.Stopped},
		{"stop takes too long", "stop?wait=20ms", &fake{stuck: true, status: gateway.Status{State: gateway.Stopping}}, 504, ""},
		{"no duration", "stop?wait=soon", &fake{}, 400, ""},
		{"creel ends", "stop", &fake{err: errors.New("creel is stopping")}, 503, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := do(newAPI(t, test.fake, &journal{}).Control(), "POST", v1Prefix+test.path)
			if w.Code != test.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if test.state == "" {
				return
			}
			var st Status
			if err := json.Unmarshal(w.Body.Bytes(), &st); err != nil || st.State != test.state {
				t.Errorf("%s (%v)", w.Body, err)
			}
		})
	}
}

func TestStatusTellsTheOwnerAll(t *testing.T) {
	f := &fake{status: gateway.Status{Name: "g", State: gateway.Ready, PID: 42, Addr: "127.0.0.1:9"}}
	a := newAPI(t, f, &journal{})
	a.opts.Health = func() []health.Report {
		return []health.Report{{Condition: health.Journal, Message: "no space left", Hint: "make some"}}
	}
	w := do(a.Control(), "GET", v1Prefix+"status")
	for _, want := range []string{`"ok":true`, `"pid":42`, `"address":"127.0.0.1:9"`, `"held":3`, "#token=", "no space left; make some", `"condition":"journal_not_written"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the status lacks %s: %s", want, w.Body)
		}
	}
}

func TestEvents(t *testing.T) {
	j := &journal{list: []event.Event{{Seq: 1, Message: "a"}, {Seq: 2, Message: "b"}}}
	a := newAPI(t, &fake{}, j)
	if w := do(a.Control(), "GET", v1Prefix+"events?tail=1"); !strings.Contains(w.Body.String(), `"seq":2`) || strings.Contains(w.Body.String(), `"seq":1`) {
		t.Errorf("tail: %s", w.Body)
	}
	if w := do(a.Control(), "GET", v1Prefix+"events?tail=-1"); w.Code != 400 {
		t.Errorf("a negative tail: %d", w.Code)
	}
	if w := do(a.Control(), "GET", v1Prefix+"events?after=x"); w.Code != 400 {
		t.Errorf("after nothing: %d", w.Code)
	}
	lines := follow(t, a, mediaNDJSON, "events?follow=1&tail=1")
	for _, want := range []string{`"seq":2`, `"seq":3`} {
		if line := lines(); !strings.Contains(line, want) {
			t.Errorf("following gives %q, not %s", line, want)
		}
	}
}

// TestLogs: lines are redacted, and a followed log shows whole lines only.
func TestLogs(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	if err := telemetry.Register(secret); err != nil {
		t.Fatal(err)
	}
	a := newAPI(t, &fake{}, &journal{})
	if err := os.WriteFile(a.opts.LogPath, []byte("one\nkey "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := do(a.Control(), "GET", v1Prefix+"logs?tail=5")
	if strings.Contains(w.Body.String(), secret) || !strings.HasPrefix(w.Body.String(), "one\nkey ") {
		t.Errorf("got %s", w.Body)
	}
	lines := follow(t, a, mediaText, "logs?follow=1&tail=1")
	if line := lines(); strings.Contains(line, secret) || !strings.HasPrefix(line, "key ") {
		t.Errorf("followed: %q", line)
	}
	f, err := os.OpenFile(a.opts.LogPath, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, piece := range []string{"again " + secret[:10], secret[10:] + "\n"} {
		if _, err := f.WriteString(piece); err != nil {
			t.Fatal(err)
		}
	}
	if line := lines(); strings.Contains(line, secret[:10]) || !strings.HasPrefix(line, "again ") {
		t.Errorf("a secret in two pieces shows: %q", line)
	}
}

// follow opens a stream and gives its lines.
func follow(t *testing.T, a *API, accept, what string) func() string {
	t.Helper()
	server := httptest.NewServer(a.Control())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+v1Prefix+what, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	lines := bufio.NewReader(resp.Body)
	return func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		return line
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(SocketPath(dir), nil, 0o600); err != nil { // left by an earlier creel
		t.Fatal(err)
	}
	l, err := ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: newAPI(t, &fake{}, &journal{}).Control(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	info, err := os.Stat(SocketPath(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v (%v)", info.Mode(), err)
	}
	resp, err := Client(dir).Get(ControlURL("status"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil || !bytes.Contains(b, []byte(`"ok"`)) {
		t.Errorf("got %s, %v", b, err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
	for _, path := range []string{SocketPath(dir), filepath.Join(dir, hiddenSocket)} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	}
}

func TestSocketPathTooLong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if _, err := ListenControl(dir); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("got %v", err)
	}
}
