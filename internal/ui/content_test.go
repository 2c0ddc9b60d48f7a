package ui

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"creel/internal/auth"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/history"
	"creel/internal/openclaw"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
	"creel/internal/wording"
)

// hostile would do something as markup, as an attribute, or as script.
const hostile = `"><script>alert(1)</script><b id='x' onclick=`

// TestEscape: whatever devices, gateways and people have written, none of it
// becomes markup.
func TestEscape(t *testing.T) {
	w := full()
	for i := range w.desk.list {
		d := &w.desk.list[i]
		d.Name, d.Label, d.Platform, d.Client, d.Address, d.Role, d.Scopes = hostile, hostile, hostile, hostile, hostile, hostile, []string{hostile}
	}
	for i := range w.cellar.list {
		s := &w.cellar.list[i]
		s.Note, s.Machine, s.AppVersion, s.Damaged, s.Shrunk = hostile, hostile, hostile, hostile, hostile
		w.cellar.files[s.ID]["state/"+strings.ReplaceAll(hostile, "/", "|")] = hostile
	}
	for i := range w.people.sessions {
		w.people.sessions[i].Name, w.people.sessions[i].Agent, w.people.sessions[i].Address = hostile, hostile, hostile
	}
	w.people.tokens[0].Name = hostile
	w.health[0].Message, w.health[0].Hint = hostile, hostile
	w.pending[0].New = hostile
	w.tail.lines = append(w.tail.lines, "error "+hostile)
	w.journal.add(event.Event{Kind: event.Kind(hostile), Message: hostile, Cause: hostile, Fields: map[string]any{"hint": hostile, "log": []string{hostile}, hostile: hostile}})
	st := w.sup.st
	st.Name, st.Reason, st.State = hostile, hostile, gateway.Failed
	st.LastEnd = &gateway.End{Cause: hostile, Message: hostile, Hint: hostile, Log: []string{hostile}, At: time.Now()}
	w.sup.set(st)
	// The devices are asked of a gateway that is ready.
	ready := full()
	ready.desk = w.desk
	ready.opts.Devices = w.desk
	who := anna
	who.Name = hostile
	markup := regexp.MustCompile(`<script>|<b id=|"[^<>]*" onclick=`)
	h, hr := serve(t, w.opts, func() auth.Principal { return who }), serve(t, ready.opts, asOwner)
	seen := 0
	for _, path := range append(w.paths(), Prefix+"snapshots/x%22%3E%3Cscript%3E", Prefix+"logs?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", Prefix+"snapshots/diff?from=%3Cscript%3E") {
		for _, h := range []http.Handler{h, hr} {
			_, body := get(t, h, path)
			if m := markup.FindString(body); m != "" {
				t.Errorf("%s has the markup %s", path, m)
			}
			seen += strings.Count(body, "&lt;script&gt;")
		}
	}
	if seen < 100 {
		t.Errorf("only %d of the texts are on the pages at all", seen)
	}
	l := &Loading{Gateway: demanded{w.sup}, Who: func(*http.Request) auth.Principal { return anna }}
	rec := httptest.NewRecorder()
	if !l.Waiting(rec, browser()) || markup.MatchString(rec.Body.String()) || !strings.Contains(rec.Body.String(), "&lt;script&gt;") {
		t.Errorf("the page in the gateway's place: %s", rec.Body)
	}
}

// demanded is a supervisor that takes no notice of demand.
type demanded struct{ *supervisor }

func (demanded) Demand() {}

// TestRedacted: a secret that slipped into a reason, a message or the output is
// on no page.
func TestRedacted(t *testing.T) {
	const secret = "made-up-secret-Zx81kk2"
	if err := telemetry.Register(secret); err != nil {
		t.Fatal(err)
	}
	w := full()
	w.tail.lines = append(w.tail.lines, "info: token is "+secret)
	w.journal.add(event.Event{Kind: event.Exited, Message: "it said " + secret, Fields: map[string]any{"log": []any{"last " + secret}, "what": secret}})
	w.health[0].Message = secret
	st := w.sup.st
	st.Reason, st.State = "given up: "+secret, gateway.Backoff
	st.LastEnd = &gateway.End{Message: secret, Log: []string{secret}}
	w.sup.set(st)
	h := serve(t, w.opts, asOwner)
	for _, path := range append(w.paths(), Prefix+"logs/download") {
		if _, body := get(t, h, path); strings.Contains(body, secret) {
			t.Errorf("%s shows it", path)
		}
	}
}

// TestStates: each state has words of its own, on the overview and for those who
// wait.
func TestStates(t *testing.T) {
	seen := map[string]gateway.State{}
	for _, state := range gateway.States {
		w := full()
		st := w.sup.st
		st.State, st.Reason = state, "as a test has it"
		w.sup.set(st)
		p := pillOf(st)
		sentence := stateSentence(st)
		if p.Word == "" || p.Tone == "" || sentence == "" {
			t.Errorf("%s has no words: %+v %q", state, p, sentence)
		}
		if other, ok := seen[sentence]; ok {
			t.Errorf("%s and %s say the same", state, other)
		}
		seen[sentence] = state
		_, body := get(t, serve(t, w.opts, asOwner), Prefix)
		for _, want := range []string{p.Word, sentence, "As a test has it", "it ran out of memory"} {
			if !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
				t.Errorf("%s: the overview does not say %q", state, want)
			}
		}
		starts := strings.Contains(body, `action="/_creel/gateway/start"`)
		if want := state == gateway.Stopped || state == gateway.Failed || state == gateway.Backoff; starts != want {
			t.Errorf("%s: it can be started: %v", state, starts)
		}
		if words(state) == "" {
			t.Errorf("%s has no words for those who wait", state)
		}
	}
	asked := gateway.Status{State: gateway.Stopped, StopAsked: true}
	if pillOf(asked).Word != "Stopped" || !strings.Contains(stateSentence(asked), "Somebody stopped it") {
		t.Error("a stop that was asked for is told like one that was not")
	}
}

// TestHuge: no page grows without bound.
func TestHuge(t *testing.T) {
	w := full()
	now := time.Now()
	for i := range 3000 {
		w.journal.add(event.Event{Kind: event.Exited, Generation: uint64(i), Message: fmt.Sprint("it ended ", i), Fields: map[string]any{"log": []string{strings.Repeat("x", 500)}}})
		w.cellar.list = append(w.cellar.list, aSnapshot(i+100, now.Add(time.Duration(i)*time.Second)))
		w.tail.lines = append(w.tail.lines, fmt.Sprint("error: ", strings.Repeat("y", 200), i))
	}
	w.tail.lines = append(w.tail.lines, strings.Repeat("z", 1<<20))
	last := w.cellar.list[len(w.cellar.list)-1]
	w.cellar.files[last.ID] = map[string]string{"state/": "", "state/agents/": ""}
	for i := range 5000 {
		w.cellar.files[last.ID][fmt.Sprintf("state/f%05d", i)] = "x"
	}
	h := serve(t, w.opts, asOwner)
	for _, path := range w.paths() {
		status, body := get(t, h, path)
		if status != http.StatusOK || len(body) > 1<<20 {
			t.Errorf("%s: %d, %d bytes", path, status, len(body))
		}
	}
	_, body := get(t, h, Prefix+"timeline")
	older := regexp.MustCompile(`href="(/_creel/timeline\?kind=&amp;before=\d+)"`).FindStringSubmatch(body)
	if older == nil {
		t.Fatal("there is no way to older entries")
	}
	_, next := get(t, h, strings.ReplaceAll(older[1], "&amp;", "&"))
	if !strings.Contains(next, "It ended 2899") || strings.Contains(next, "It ended 2900") || !strings.Contains(body, "It ended 2900") {
		t.Error("the older entries do not follow upon the newer ones")
	}
}

// TestCharts: what a picture shows is said in words, and what is not known is a
// gap.
func TestCharts(t *testing.T) {
	now := time.Now()
	at := func(i int) time.Time { return now.Add(time.Duration(i-5) * time.Minute) }
	list := charts(now, []history.Sample{
		{At: at(0), Generation: 1, Used: true, Memory: 100 << 20, CPU: .5, Requests: 3},
		{At: at(1), Generation: 1, Used: true, Memory: 150 << 20, CPU: .25},
		{At: at(2)},
		{At: at(3), Generation: 2, Used: true, Memory: 90 << 20, Failed: 2},
		{At: at(4), Generation: 2, Used: true, Memory: 96 << 20, CPU: .1, Requests: 12},
	}, time.Hour)
	for i, want := range []string{
		"Memory: now 96.0 MiB; between 90.0 MiB and 150.0 MiB in the last hour. Another instance began once.",
		"Processor: now 10 %; between 0 % and 50 % in the last hour. Another instance began once.",
		"Requests: now 12 /s; between 0 /s and 12 /s in the last hour. Another instance began once. Up to 2.0 /s failed.",
	} {
		if list[i].Text != want {
			t.Errorf("%q, want %q", list[i].Text, want)
		}
	}
	if n := strings.Count(string(list[0].Line), "M"); n != 2 {
		t.Errorf("the gap is bridged: %d lines", n)
	}
	if !regexp.MustCompile(`^d="[ML0-9. ]+"$`).MatchString(string(list[0].Line)) {
		t.Errorf("%s", list[0].Line)
	}
	for _, c := range charts(now, nil, time.Hour)[:2] {
		if !c.Empty || !strings.Contains(c.Text, "nothing was measured") {
			t.Errorf("of nothing: %+v", c)
		}
	}
}

// TestPolicy: the policy names the one style sheet that is in the page, and lets no
// script run but creel's file.
func TestPolicy(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	for _, path := range w.paths() {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", "br, gzip")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, patiently(r))
		z, err := gzip.NewReader(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		body, policy := string(b), rec.Header().Get("Content-Security-Policy")
		style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(body, -1)
		if len(style) != 1 {
			t.Fatalf("%s has %d style sheets", path, len(style))
		}
		sum := sha256.Sum256([]byte(style[0][1]))
		if !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "script-src 'nonce-") || !strings.Contains(body, `nonce="`+nonceIn(policy)+`"`) || !strings.Contains(policy, "default-src 'none'") {
			t.Fatalf("%s: %s", path, policy)
		}
		if m := regexp.MustCompile(`<script>|<script [^>]*>[^<]| on[a-z]+=| style=|javascript:|https?://`).FindString(strings.ReplaceAll(body, style[0][0], "")); m != "" {
			t.Errorf("%s has %q", path, m)
		}
		if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("X-Frame-Options") != "DENY" || rec.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, rec.Header())
		}
	}
}

// nonceIn is the nonce that a policy lets run.
func nonceIn(policy string) string {
	_, rest, _ := strings.Cut(policy, "'nonce-")
	nonce, _, _ := strings.Cut(rest, "'")
	return nonce
}

// TestAssets may be kept for ever, since their names change with them.
func TestAssets(t *testing.T) {
	h := serve(t, full().opts, func() auth.Principal { return auth.Principal{} })
	for _, file := range []string{"creel.js", "icon.svg"} {
		for _, coding := range []string{"", "gzip, br", "gzip;q=0"} {
			r := httptest.NewRequest(http.MethodGet, assetPath(file), nil)
			r.Header.Set("Accept-Encoding", coding)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			body := rec.Body.Bytes()
			if rec.Header().Get("Content-Encoding") == "gzip" {
				z, err := gzip.NewReader(rec.Body)
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			if zipped := rec.Header().Get("Content-Encoding") == "gzip"; zipped != (coding == "gzip, br") {
				t.Errorf("%s with %q: compressed: %v", file, coding, zipped)
			}
			want, err := files.ReadFile("assets/" + file)
			if err != nil || string(body) != string(want) || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") {
				t.Errorf("%s with %q: %v, %v", file, coding, err, rec.Header())
			}
		}
	}
	if status, _ := get(t, h, assetPrefix+"creel-000000000000.js"); status != http.StatusNotFound {
		t.Errorf("another version: %d", status)
	}
}

// TestAttention: what a person should look at leads to where it is dealt with.
func TestAttention(t *testing.T) {
	for _, c := range health.Conditions {
		if link := conditionLink(c); !strings.HasPrefix(link, Prefix) || link == Prefix+"timeline" {
			t.Errorf("%s leads to %s", c, link)
		}
	}
	one := askingDevices([]openclaw.Device{{Name: "A"}})
	many := askingDevices(make([]openclaw.Device, 9))
	if one.Title != "A device asks to pair: A" || many.Title != "9 devices ask to pair" || !strings.Contains(many.Text, "and 5 more") {
		t.Errorf("%+v %+v", one, many)
	}
}

// TestKindsOfEvents: all events that creel knows are told by name and found by a
// filter.
func TestKindsOfEvents(t *testing.T) {
	for _, kind := range kindsInSource(t) {
		if _, ok := wording.Events[kind]; !ok {
			t.Errorf("%s has no name", kind)
		}
	}
	for kind, a := range wording.Events {
		found := false
		for _, k := range kindsOfTimeline {
			found = found || k.Name == a.Kind
		}
		if !found || a.Title == "" || a.Tone == "" {
			t.Errorf("%s: %+v", kind, a)
		}
	}
	for kind, want := range map[string]string{"login": "signin", "passkey_added": "signin", "something_new": "health"} {
		if got := wording.Event(event.Event{Kind: event.Kind(kind)}); got.Kind != want || got.Title == "" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
	if a := wording.Event(event.Event{Kind: event.Exited, Cause: "asked"}); a.Kind != "start" || a.Tone == toneBad {
		t.Errorf("an end that was asked for: %+v", a)
	}
}

// kindsInSource reads the kinds that package event has.
func kindsInSource(t *testing.T) []event.Kind {
	t.Helper()
	var kinds []event.Kind
	for _, name := range []string{"event.go", "subscribe.go"} {
		source, err := os.ReadFile(filepath.Join("..", "event", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)Kind += "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
			kinds = append(kinds, event.Kind(m[1]))
		}
	}
	if len(kinds) < 50 {
		t.Fatalf("only %d kinds were found", len(kinds))
	}
	return kinds
}

// TestLevels: a line's level is what it says it is.
func TestLevels(t *testing.T) {
	for line, want := range map[string]string{
		"2026-11-26 ERROR cannot": "error", `{"level":"warn","msg":"x"}`: "warn", "level=info msg=x": "info", "[debug] x": "debug", "terror and errors-in-name": "",
		"plain": "", "Uncaught exception": "error", "12:00 INF started": "info", "x\x1b[31mERR\x1b[0m": "", "\x1b[31mERR\x1b[0m no": "error",
	} {
		if got := lineOf(line); got.Level != want || strings.ContainsRune(got.Text, 0x1b) {
			t.Errorf("%q is %+v, want %q", line, got, want)
		}
	}
	if !levelPasses("error", "warn") || levelPasses("info", "warn") || levelPasses("", "error") || !levelPasses("", "info") || levelPasses("debug", "info") || !levelPasses("debug", "") {
		t.Error("the filter of levels")
	}
}

// TestMemo: one question at a time, and no answer that is older than a change.
func TestMemo(t *testing.T) {
	w := full()
	u := New(w.opts)
	defer u.Close()
	asked, answer := make(chan struct{}), make(chan int)
	m := newMemo(u.spawn, time.Hour, func(ctx context.Context) (int, error) {
		select {
		case asked <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		select {
		case n := <-answer:
			return n, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.get(soon); err != errNotYet {
		t.Errorf("without an answer: %v", err)
	}
	<-asked
	m.forget() // it changed while it was being asked
	got := make(chan int)
	go func() { n, _ := m.get(t.Context()); got <- n }()
	answer <- 1
	<-asked
	if n, err := m.get(soon); n != 1 || err != nil {
		t.Errorf("who cannot wait gets the last answer: %d, %v", n, err)
	}
	answer <- 2
	if n := <-got; n != 2 {
		t.Errorf("the answer is older than the change: %d", n)
	}
	if n, err := m.get(soon); n != 2 || err != nil {
		t.Errorf("a fresh answer: %d, %v", n, err)
	}
}

// TestConnectedUnseen: a device that connected in the midst of its approval is
// connected, though OpenClaw has not noted yet when it saw it.
func TestConnectedUnseen(t *testing.T) {
	w := full()
	w.desk.list = []openclaw.Device{{ID: strings.Repeat("c3", 32), State: openclaw.DevicePaired, Name: "Phone", Since: time.Now(), Connected: true}}
	if _, page := get(t, serve(t, w.opts, asOwner), Prefix+"devices"); !strings.Contains(page, "<dd>connected now</dd>") {
		t.Errorf("it is not said that it is connected: %s", page)
	}
}

// TestSnapshotWords: every reason has words.
func TestSnapshotWords(t *testing.T) {
	for _, r := range []store.Reason{store.Asked, store.OnChange, store.OnInterval, store.BeforeUpgrade, store.BeforeRestore, store.OnStop, store.Imported} {
		if w := reasonWords(r); w == "" || strings.Contains(w, "_") {
			t.Errorf("%s: %q", r, w)
		}
	}
	for text, want := range map[string]string{
		"it ended": "It ended", "creel stops": "creel stops", "creeping": "Creeping", "anna@example.org signed in": "anna@example.org signed in",
		"gateway.env was": "gateway.env was", "ended: 3": "Ended: 3", "": "", "ärger": "Ärger",
	} {
		if got := capital(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", 61 * time.Second: "1 min 1 s", 3 * time.Hour: "3 h 0 min", 50 * time.Hour: "2 d 2 h"} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	if count(-1234567) != "-1\u202f234\u202f567" || count(999) != "999" || size(1536) != "1.5 KiB" {
		t.Error(count(-1234567), size(1536))
	}
}
