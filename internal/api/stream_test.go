package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot"
)

// opened is a stream as a client reads it.
type opened struct {
	t     *testing.T
	lines *bufio.Reader
	close func()
}

// open opens a stream on a server of its own.
func (w *world) open(t *testing.T, path, accept string, header ...string) *opened {
	t.Helper()
	server := httptest.NewServer(w.Control())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != accept {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	o := &opened{t: t, lines: bufio.NewReader(resp.Body), close: sync.OnceFunc(func() {
		cancel()
		_ = resp.Body.Close() // it was cut
		server.Close()
	})}
	t.Cleanup(o.close)
	return o
}

// message reads up to the next message of server-sent events.
func (o *opened) message() (id string, data map[string]any) {
	o.t.Helper()
	for {
		line, err := o.lines.ReadString('\n')
		if err != nil {
			o.t.Fatalf("the stream ended: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			id = rest
		}
		if rest, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(rest), &data); err != nil {
				o.t.Fatal(err)
			}
		}
		if line == "" && data != nil {
			return id, data
		}
	}
}

func (w *world) note(message string, kind event.Kind) {
	w.journal.Record(event.Event{Kind: kind, Gateway: "g", Message: message})
}

// TestEventStream: what comes is given as it comes; whoever was away gets exactly
// what was missed.
func TestEventStream(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, v1("events?limit=1"), mediaSSE)
	if id, e := s.message(); id != "1" || e["kind"] != "ready" {
		t.Errorf("first: %s %v", id, e)
	}
	w.note("a", event.Exited)
	id, e := s.message()
	if id != "2" || e["message"] != "a" {
		t.Errorf("then: %s %v", id, e)
	}
	s.close()
	for _, m := range []string{"b", "c"} {
		w.note(m, event.Exited)
	}
	w.note("other", event.Ready)
	s = w.open(t, v1("events?kind=exited"), mediaSSE, "Last-Event-ID", id)
	for _, want := range []string{"b", "c"} {
		if _, e := s.message(); e["message"] != want {
			t.Errorf("resumed: %v, want %s", e, want)
		}
	}
	w.note("d", event.Exited)
	if _, e := s.message(); e["message"] != "d" {
		t.Errorf("resumed, then: %v", e)
	}
	// 0 is a number, too: from the first event on.
	s.close()
	s = w.open(t, v1("events?kind=exited&after=0"), mediaSSE)
	for _, want := range []string{"a", "b", "c", "d"} {
		if _, e := s.message(); e["message"] != want {
			t.Errorf("after 0: %v, want %s", e, want)
		}
	}
	s.close()
	// A number of a journal that was lost does not keep new events away.
	s = w.open(t, v1("events"), mediaSSE, "Last-Event-ID", "9000")
	w.note("e", event.Exited)
	if _, e := s.message(); e["message"] != "e" {
		t.Errorf("after a lost journal: %v", e)
	}
}

// TestEventHistory: filters, pages, and what has left memory.
func TestEventHistory(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	j, err := event.Open(event.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		kind := event.Ready
		if i%10 == 0 {
			kind = event.Exited
		}
		j.Record(event.Event{Kind: kind, Message: fmt.Sprint(i)})
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if j, err = event.Open(event.Options{Dir: dir, Memory: 8}); err != nil { // the next one remembers 8 of them
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	w.opts.Journal = j
	get := func(query string) (string, bool) {
		t.Helper()
		got := serve(w.Control(), asks(t, "GET", v1("events")+query, "", ""))
		var list EventList
		if err := json.Unmarshal(got.Body.Bytes(), &list); err != nil || got.Code != 200 {
			t.Fatalf("%s: %d %s", query, got.Code, got.Body)
		}
		var words []string
		for _, e := range list.Events {
			words = append(words, e.Message)
		}
		return strings.Join(words, " "), list.More
	}
	for _, test := range []struct {
		query, want string
		more        bool
	}{
		{"?limit=2", "38 39", true},
		{"?kind=exited", "0 10 20 30", false},
		{"?kind=exited&limit=2", "20 30", true},
		{"?kind=exited&limit=1&before=21", "10", true},
		{"?kind=exited&before=11", "0", false},
		{"?after=38", "38 39", false},
		{"?kind=exited&after=1&limit=3", "10 20 30", false},
		{"?since=0s", "", false},
		{"?kind=nothing", "", false},
		{"?limit=0", "", true},
	} {
		if got, more := get(test.query); got != test.want || more != test.more {
			t.Errorf("%s: %q %v, want %q %v", test.query, got, more, test.want, test.more)
		}
	}
}

// TestStatusStream: the status now, and when it has changed.
func TestStatusStream(t *testing.T) {
	w := newWorld(t)
	s := w.open(t, v1("status"), mediaSSE)
	if _, st := s.message(); st["state"] != "ready" {
		t.Errorf("%v", st)
	}
	if err := w.gateway.set(gateway.Stopped, 0); err != nil {
		t.Fatal(err)
	}
	if _, st := s.message(); st["state"] != "stopped" {
		t.Errorf("%v", st)
	}
}

// TestLogFilter: levels, the lines that belong to others, and words.
func TestLogFilter(t *testing.T) {
	w := newWorld(t)
	for query, want := range map[string]string{
		"": "INFO up|ERROR down|at line 1|plain words", "?level=error": "ERROR down|at line 1", "?level=info": "INFO up|ERROR down|at line 1",
		"?search=LINE": "at line 1", "?level=error&search=down": "ERROR down", "?tail=1": "plain words", "?tail=1&level=info": "at line 1",
	} {
		got := serve(w.Control(), asks(t, "GET", v1("logs")+query, mediaText, ""))
		var lines []string
		for line := range strings.Lines(got.Body.String()) {
			_, line, _ = strings.Cut(" "+strings.TrimSpace(line), "] ")
			lines = append(lines, line)
		}
		text := strings.ReplaceAll(got.Body.String(), "\n", "|")
		for _, part := range strings.Split(want, "|") {
			if !strings.Contains(text, part) || len(lines) != strings.Count(want, "|")+1 {
				t.Errorf("%s: %s, want %s", query, text, want)
			}
		}
	}
	// The last line: what is written before the file is opened for the stream counts.
	s := w.open(t, v1("logs?tail=1&level=warn"), mediaSSE)
	f, err := os.OpenFile(w.opts.LogPath, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, "[x] INFO no\n[x] WARN yes\n"); err != nil {
		t.Fatal(err)
	}
	if _, l := s.message(); l["text"] != "[x] WARN yes" || l["level"] != "warn" {
		t.Errorf("%v", l)
	}
}

// TestLongCall: how far it is, then the result; as one answer with its own status
// where that is asked for. A client that goes away does not end it.
func TestLongCall(t *testing.T) {
	w := newWorld(t)
	w.shelf.doing = []snapshot.Doing{{What: "restore", Stage: "checking", Files: 1, OfFiles: 2}}
	w.shelf.hold, w.shelf.begun = make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(w.Control())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+v1("snapshots/restore?or_fresh=1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", mediaSSE)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s := &opened{t: t, lines: bufio.NewReader(resp.Body)}
	if _, l := s.message(); l["doing"] == nil {
		t.Errorf("no progress: %v", l)
	}
	close(w.shelf.hold)
	for {
		_, l := s.message()
		if l["doing"] != nil {
			continue
		}
		if r, _ := l["result"].(map[string]any); r["snapshot"] != "20261126T010000Z-aaaa" {
			t.Errorf("the result: %v", l)
		}
		break
	}
	if !w.shelf.asked.OrFresh || w.shelf.asked.Fresh {
		t.Errorf("asked for %+v", w.shelf.asked)
	}
	w.shelf.hold, w.shelf.err = nil, &snapshot.KeptError{ID: "x", Why: "y"}
	if got := serve(w.Control(), asks(t, "POST", v1("snapshots"), mediaJSON, "")); got.Code != 409 {
		t.Errorf("a failure as one answer: %d %s", got.Code, got.Body)
	}
	if got := serve(w.Control(), asks(t, "POST", v1("snapshots"), "", "")); got.Code != 200 || !strings.Contains(got.Body.String(), `"problem":{`) {
		t.Errorf("a failure at the end of a stream: %d %s", got.Code, got.Body)
	}
}

// TestRestoreOutlivesItsClient: the call goes on, and the handler with it.
func TestRestoreOutlivesItsClient(t *testing.T) {
	w := newWorld(t)
	w.shelf.hold, w.shelf.begun = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve(w.Control(), asks(t, "POST", v1("snapshots/restore"), "", "").WithContext(ctx))
	}()
	<-w.shelf.begun
	w.shelf.live = "two"
	cancel()
	select {
	case <-ended:
		t.Error("nobody waits for the restore")
	case <-time.After(20 * time.Millisecond):
	}
	close(w.shelf.hold)
	<-ended
	if w.shelf.live != "one" {
		t.Errorf("the state is %q", w.shelf.live)
	}
}

// TestHeartbeat: a silent stream of events says that it lives, and tells the client
// when to ask again.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, &fake{}, &journal{list: []event.Event{{Seq: 1, Message: "a"}}})
		ctx, cancel := context.WithTimeout(t.Context(), 3*heartbeat+time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "GET", v1("events"), nil)
		r.Header.Set("Accept", mediaSSE)
		got := serve(a.Control(), r).Body.String()
		if !strings.HasPrefix(got, "retry: 2000\n\n") || strings.Count(got, ": still here\n\n") != 3 {
			t.Errorf("%q", got)
		}
	})
}

// TestStreamsAreBounded: one too many is refused, and its place is free again when
// one ends.
func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.streams.open.Store(mostStreams)
	got := serve(w.Control(), asks(t, "GET", v1("events"), mediaSSE, ""))
	if got.Code != 503 || got.Header().Get("Retry-After") == "" || !strings.Contains(got.Body.String(), "too_many_streams") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	w.streams.open.Store(0)
	w.open(t, v1("events"), mediaSSE).close()
	deadline := time.Now().Add(10 * time.Second)
	for w.streams.open.Load() != 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // polling
	}
	if n := w.streams.open.Load(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

// TestStreamsEndWithTheJournal: whoever follows a creel that hands over asks its
// successor.
func TestStreamsEndWithTheJournal(t *testing.T) {
	for _, path := range []string{v1("events"), v1("logs"), v1("status")} {
		w := newWorld(t)
		s := w.open(t, path, mediaSSE)
		if err := w.journal.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s.lines); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		s.close()
	}
}

func TestAccept(t *testing.T) {
	offered := []string{mediaJSON, mediaNDJSON, mediaSSE}
	for accept, want := range map[string]string{
		"": mediaJSON, "*/*": mediaJSON, "text/event-stream": mediaSSE, "application/*": mediaJSON, "text/html, */*;q=0.8": mediaJSON,
		"application/x-ndjson, */*;q=0.5": mediaNDJSON, "application/json;q=0.1, application/x-ndjson;q=0.2": mediaNDJSON,
		"application/json;q=0, */*": mediaNDJSON, "TEXT/Event-Stream": mediaSSE, "image/png": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		if got := choose(httptest.NewRecorder(), r, offered...); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	got := serve(w.Control(), asks(t, "GET", v1("config"), "", ""))
	var s Settings
	if err := json.Unmarshal(got.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	find := func(key string) Setting {
		i := slices.IndexFunc(s.Settings, func(s Setting) bool { return s.Key == key })
		if i < 0 {
			t.Fatalf("there is no %s", key)
		}
		return s.Settings[i]
	}
	if v := find("gateway.env.API_KEY"); v.Value != "[redacted]" || v.Source.Origin != "env" {
		t.Errorf("%+v", v)
	}
	if v := find("listen"); v.Value != "127.0.0.1:8080" || v.Source.Origin != "default" || v.Needs == "" {
		t.Errorf("%+v", v)
	}
	if v := find("gateway.command"); v.Source.Name != "the command line" {
		t.Errorf("%+v", v)
	}
	if len(s.Pending) != 1 {
		t.Errorf("%+v", s.Pending)
	}
}
