package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/problem"
	"creel/internal/snapshot"
)

// TestScopes: the table says what each path needs, and pages show nobody what they
// may not do.
func TestScopes(t *testing.T) {
	w := full()
	u := New(w.opts)
	defer u.Close()
	public := 0
	for _, r := range u.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		switch {
		case method == http.MethodPost && r.Needs != auth.Operate && r.Needs != auth.Admin:
			t.Errorf("%s needs %q", r.Pattern, r.Needs)
		case method == http.MethodGet && r.Needs == auth.Public:
			public++
			if !strings.HasPrefix(path, Prefix+"ui/assets/") && path != Prefix+"ui/waiting" && !strings.HasPrefix(path, "/_admin") {
				t.Errorf("%s is for anyone", r.Pattern)
			}
		case method != http.MethodGet && method != http.MethodPost:
			t.Errorf("%s is neither read nor done", r.Pattern)
		}
		if strings.Contains(path, "/restore") && r.Needs != auth.Admin || strings.Contains(path, "/content") && r.Needs != auth.Admin {
			t.Errorf("%s needs %q", r.Pattern, r.Needs)
		}
	}
	if public != 4 {
		t.Errorf("%d paths are for anyone", public)
	}
	reader := auth.Principal{Name: "reader", Kind: auth.KindSession, Scopes: auth.ReaderScopes}
	operator := auth.Principal{Name: "op", Kind: auth.KindToken, Scopes: []auth.Scope{auth.Read, auth.Operate}}
	hr, ho := serve(t, w.opts, func() auth.Principal { return reader }), serve(t, w.opts, func() auth.Principal { return operator })
	looked := 0
	for _, path := range w.paths() {
		status, body := get(t, hr, path)
		if status == http.StatusForbidden {
			continue
		}
		looked++
		body = strings.ReplaceAll(body, `<form method="post" action="/_creel/logout"`, "") // everyone may leave
		for _, hidden := range []string{`method="post"`, "/restore", "/remove", "/revoke", "/reject", "/content", "/gateway/", "/_creel/open", "sessions-title", "192.168.1.12"} {
			if strings.Contains(strings.ReplaceAll(body, "signed in by a link from 192.168.1.12", ""), hidden) {
				t.Errorf("a reader's %s has %q", path, hidden)
			}
		}
		if status, body := get(t, ho, path); status == http.StatusOK && (strings.Contains(body, "/content") || strings.Contains(body, "/remove") || strings.Contains(body, "sessions-title")) {
			t.Errorf("an operator's %s shows what is the owner's", path)
		}
	}
	if looked < 12 {
		t.Errorf("a reader sees only %d pages", looked)
	}
	if _, body := get(t, ho, Prefix+"devices"); !strings.Contains(body, "/devices/approve") {
		t.Error("an operator cannot approve")
	}
}

// TestActions: each form does what it says, once, and says so on the next page.
func TestActions(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	pending, paired := w.desk.list[0], w.desk.list[2]
	first := string(w.cellar.list[0].ID)
	for _, tt := range []struct {
		path string
		form url.Values
		says string
		did  func() []string
		what string
	}{
		{"gateway/restart", nil, "being restarted", w.sup.was, "restart"},
		{"gateway/stop", nil, "being stopped", w.sup.was, "stop"},
		{"gateway/start", nil, "being started", w.sup.was, "start"},
		{"devices/approve", url.Values{"id": {pending.ID}}, "Chrome on Pixel 9 was approved", w.deskWas, "approve " + pending.ID},
		{"devices/approve-all", nil, "iPad of Bert was approved", w.deskWas, "approve " + w.desk.list[1].ID},
		{"devices/rename", url.Values{"id": {paired.ID}, "label": {"Kitchen"}}, "has its new name", w.deskWas, "rename " + paired.ID},
		{"devices/revoke", url.Values{"id": {paired.ID}}, "was revoked", w.deskWas, "revoke " + paired.ID},
		{"snapshots/create", url.Values{"note": {"now"}}, "Snapshot taken: 1", w.cellar.was, "create now"},
		{"snapshots/" + first + "/pin", nil, "kept until it is unpinned", w.cellar.was, "pin " + first},
		{"snapshots/" + first + "/verify", nil, "read back and found whole", w.cellar.was, "verify " + first},
		{"snapshots/" + first + "/remove", nil, "was removed", w.cellar.was, "remove " + first},
		{"settings/sessions/revoke", url.Values{"id": {"s2"}}, "session was ended", nil, ""},
		{"settings/tokens/revoke", url.Values{"id": {"t1"}}, "token was revoked", nil, ""},
	} {
		to, page := post(t, h, Prefix+tt.path, tt.form)
		if !strings.Contains(page, tt.says) || !strings.Contains(page, `role="status"`) {
			t.Errorf("%s leads to %s, which does not say %q", tt.path, to, tt.says)
		}
		if tt.did != nil && !slices.Contains(tt.did(), tt.what) {
			t.Errorf("%s has not done %q but %v", tt.path, tt.what, tt.did())
		}
		if _, again := get(t, h, to); strings.Contains(again, tt.says) && strings.Contains(again, `class="flash`) {
			t.Errorf("%s: the message is shown twice", tt.path)
		}
	}
	if len(w.people.Sessions()) != 1 || len(w.people.Tokens()) != 0 {
		t.Errorf("sessions and tokens: %v %v", w.people.Sessions(), w.people.Tokens())
	}
}

func (w *world) deskWas() []string {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	return slices.Clone(w.desk.asked)
}

// TestFailures: what could not be done is said, and nothing else.
func TestFailures(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	w.sup.err = errors.New("creel is stopping")
	w.desk.err = &openclaw.DeviceError{Code: openclaw.DeviceNotPending, Message: "it does not wait for approval"}
	w.cellar.err = errors.New("the store is away")
	for path, says := range map[string]string{
		"gateway/restart": "creel is stopping.", "devices/approve": "It does not wait for approval.", "snapshots/create": "The store is away.", "settings/sessions/revoke": "No such session.",
		"settings/tokens/create": "A token needs a name",
	} {
		if to, page := post(t, h, Prefix+path, url.Values{"id": {"x"}}); !strings.Contains(page, says) || !strings.Contains(page, `role="alert"`) {
			t.Errorf("%s leads to %s, which does not say %q", path, to, says)
		}
	}
	for _, path := range []string{"devices", "snapshots"} {
		if status, body := get(t, h, Prefix+path); status != http.StatusOK || !strings.Contains(body, "</html>") {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestSecretOnce: a token's secret is on one page, once, for whoever made it.
func TestSecretOnce(t *testing.T) {
	w := full()
	var who atomic.Pointer[auth.Principal]
	who.Store(&anna)
	h := serve(t, w.opts, func() auth.Principal { return *who.Load() })
	make := func(form url.Values) (string, *httptest.ResponseRecorder) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, Prefix+"settings/tokens/create", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		h.ServeHTTP(rec, r)
		return rec.Header().Get("Location"), rec
	}
	const secret = "creel_made_up_secret_0123456789"
	form := url.Values{"name": {"script"}, "scope": {"read", "operate"}, "expires": {"30d"}}
	to, rec := make(form)
	if strings.Contains(to, secret) || strings.Contains(rec.Body.String(), secret) {
		t.Fatalf("it is in the redirect: %s", to)
	}
	other := anna
	other.Session = "s9"
	who.Store(&other)
	if _, body := get(t, h, to); strings.Contains(body, secret) {
		t.Error("another session sees it")
	}
	who.Store(&anna)
	r := httptest.NewRequest(http.MethodGet, to, nil)
	r.Header.Set("Accept-Encoding", "gzip")
	first := httptest.NewRecorder()
	h.ServeHTTP(first, r)
	if !strings.Contains(first.Body.String(), secret) || first.Header().Get("Content-Encoding") != "" {
		t.Error("who made it does not see it, or it was compressed")
	}
	if _, body := get(t, h, to); strings.Contains(body, secret) {
		t.Error("it is shown twice")
	}
	token := w.people.Tokens()[1]
	if !slices.Equal(token.Scopes, []auth.Scope{auth.Read, auth.Operate}) || time.Until(token.Expires).Round(time.Hour) != 30*24*time.Hour {
		t.Errorf("the token: %+v", token)
	}
	limited := auth.Principal{Name: "a", Kind: auth.KindToken, Scopes: []auth.Scope{auth.Read, auth.Admin}}
	who.Store(&limited)
	for _, form := range []url.Values{
		{"name": {"x"}, "scope": {"operate"}, "expires": {"30d"}}, {"name": {"x"}, "scope": {"root"}, "expires": {"30d"}}, {"name": {"x"}, "expires": {"30d"}}, {"name": {"x"}, "scope": {"read"}, "expires": {"99y"}},
	} {
		if to, _ := make(form); !strings.Contains(to, "flash=") {
			t.Errorf("%v: %s", form, to)
		}
	}
	if n := len(w.people.Tokens()); n != 2 {
		t.Errorf("%d tokens: rights were handed on that nobody had", n)
	}
}

// TestJob: what takes its time has a page that shows how far it is, which can be
// left, and says how it ended.
func TestJob(t *testing.T) {
	w := full()
	w.cellar.hold = make(chan struct{})
	h := serve(t, w.opts, asOwner)
	id := string(w.cellar.list[1].ID)
	to, page := post(t, h, Prefix+"snapshots/"+id+"/restore", nil)
	if !strings.HasPrefix(to, Prefix+"jobs/") || !strings.Contains(page, "is being restored") || !strings.Contains(page, `http-equiv="refresh"`) {
		t.Fatalf("%s: %s", to, page)
	}
	w.cellar.mu.Lock()
	w.cellar.st.Doing = []snapshot.Doing{{What: "restore", Stage: "checking", Files: 5, OfFiles: 20, Since: time.Now()}}
	w.cellar.mu.Unlock()
	if _, page := get(t, h, to); !strings.Contains(page, `max="20" value="5"`) {
		t.Errorf("how far it is: %s", page)
	}
	if _, list := get(t, h, Prefix+"snapshots"); !strings.Contains(list, to) {
		t.Error("the list of snapshots does not lead to it")
	}
	w.cellar.mu.Lock()
	w.cellar.st.Doing = nil
	w.cellar.mu.Unlock()
	ready := w.sup.Status()
	starting := ready
	starting.State, starting.UsualStart = gateway.Starting, 34*time.Second
	w.sup.set(starting)
	if _, page := get(t, h, to); !strings.Contains(page, "The gateway: Starting") || !strings.Contains(page, "A start usually takes 34 s.") || !strings.Contains(page, "<progress") {
		t.Errorf("what is waited for: %s", page)
	}
	w.sup.set(ready)
	close(w.cellar.hold)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // polled, with a deadline
		if _, page = get(t, h, to); strings.Contains(page, "Done") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not end: %s", page)
		}
	}
	if !strings.Contains(page, "is in place, and the gateway runs on it") || !strings.Contains(page, "; it took ") || strings.Contains(page, `http-equiv="refresh"`) {
		t.Errorf("the end: %s", page)
	}
	if !slices.Contains(w.cellar.was(), "restore "+id) {
		t.Errorf("asked for: %v", w.cellar.was())
	}
}

// listen opens a stream and gives its events.
func listen(t *testing.T, server *httptest.Server, view string) (next func() (name, data string), ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+Prefix+"ui/live/"+view, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%v", resp.Header)
	}
	over, events := make(chan struct{}), make(chan [2]string, 100)
	go func() {
		defer close(over)
		lines, name := bufio.NewScanner(resp.Body), ""
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
			case "event":
				name = value
			case "data":
				events <- [2]string{name, value}
			}
		}
	}()
	return func() (string, string) {
		select {
		case e := <-events:
			return e[0], e[1]
		case <-ctx.Done():
			return "nothing", ""
		}
	}, over
}

// TestStream: a page is told of what has changed, and of nothing else; who was
// shut out is told nothing more.
func TestStream(t *testing.T) {
	w := full()
	server := httptest.NewServer(serve(t, w.opts, asOwner))
	t.Cleanup(server.Close)
	next, ended := listen(t, server, "overview")
	if name, data := next(); name != "patch" || !strings.Contains(data, "Running") {
		t.Fatalf("the first event: %s %s", name, data)
	}
	st := w.sup.Status()
	st.State = gateway.Failed
	w.sup.set(st)
	for {
		name, data := next()
		var p patch
		if err := json.Unmarshal([]byte(data), &p); name != "patch" || err != nil {
			t.Fatalf("%s %s: %v", name, data, err)
		}
		if p.Announce == "" {
			continue // words such as "just now" have changed
		}
		if _, ok := p.Regions["safety"]; ok || !strings.Contains(p.Regions["now"], "Given up") || !strings.Contains(p.Regions["pill"], "Given up") || p.Announce != "Gateway: Given up." {
			t.Errorf("the patch: %+v", p)
		}
		break
	}
	if err := w.people.RevokeSession("s1"); err != nil {
		t.Fatal(err)
	}
	for {
		name, _ := next()
		if name == "over" {
			break
		}
		if name != "patch" {
			t.Fatalf("%s", name)
		}
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
	if status, _ := get(t, serve(t, w.opts, asOwner), Prefix+"ui/live/settings"); status != http.StatusNotFound {
		t.Errorf("a page that stays as it is: %d", status)
	}
}

// TestClose ends streams, and what nobody will wait for.
func TestClose(t *testing.T) {
	w := full()
	w.cellar.hold = make(chan struct{})
	u := New(w.opts)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r = r.WithContext(auth.With(r.Context(), anna))
		r.SetPathValue("view", "logs")
		u.live(rw, r)
	}))
	t.Cleanup(server.Close)
	next, ended := listen(t, server, "logs")
	for name, data := next(); ; name, data = next() {
		if name == "log" {
			if !strings.Contains(data, `"reset":true`) || !strings.Contains(data, "turn 259 of agent main") {
				t.Errorf("the lines: %s", data)
			}
			break
		}
		if name != "patch" {
			t.Fatalf("%s", name)
		}
	}
	if _, err := u.begin(httptest.NewRequest(http.MethodPost, "/", nil), "restore", "x", func(ctx context.Context) (string, string, error) {
		_, err := u.opts.Snapshots.Restore(ctx, snapshot.RestoreRequest{})
		return "", "", err
	}); err != nil {
		t.Fatal(err)
	}
	u.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
	if _, err := u.begin(httptest.NewRequest(http.MethodPost, "/", nil), "restore", "x", nil); err == nil {
		t.Error("something begins after the end")
	}
}

// TestProblemPages: browsers are told of a failure by a page with the same status;
// strangers learn no reason; programs get the document.
func TestProblemPages(t *testing.T) {
	st := gateway.Status{State: gateway.Ready, LastEnd: &gateway.End{Log: []string{"LAST WORDS"}}}
	for _, tt := range []struct {
		status int
		retry  time.Duration
	}{{502, 0}, {503, 7 * time.Second}, {504, 0}} {
		for _, who := range []auth.Principal{anna, {}} {
			l := &Loading{Gateway: &fake{status: st}, Who: func(*http.Request) auth.Principal { return who }}
			d := &problem.Document{Status: tt.status, Title: "TITLE", Detail: "REASON", Hint: "HINT", RequestID: "req-1", RetryAfter: tt.retry}
			rec := httptest.NewRecorder()
			rec.Header().Set("Connection", "close")
			rec.Header().Set("X-Of-The-App", "1")
			if !l.Problem(rec, browser(), d) {
				t.Fatalf("%d: a browser gets no page", tt.status)
			}
			h, body := rec.Header(), rec.Body.String()
			if rec.Code != tt.status || h.Get("Cache-Control") != "no-store" || h.Get("Connection") != "close" || h.Get("X-Of-The-App") != "" || (h.Get("Retry-After") == "7") != (tt.retry > 0) || !strings.Contains(body, "req-1") {
				t.Errorf("%d: %d %v %s", tt.status, rec.Code, h, body)
			}
			for _, text := range []string{"REASON", "HINT", "LAST WORDS"} {
				if strings.Contains(body, text) != who.May(auth.Read) {
					t.Errorf("%d for %q: %s", tt.status, who.Name, text)
				}
			}
			program := httptest.NewRequest(http.MethodGet, "/", nil)
			if rec := httptest.NewRecorder(); l.Problem(rec, program, d) || rec.Body.Len() > 0 {
				t.Error("a program gets a page")
			}
		}
	}
	if (&Loading{Gateway: &fake{status: st}}).Problem(httptest.NewRecorder(), browser(), &problem.Document{Status: 400}) {
		t.Error("a client's own mistake gets a page")
	}
}

// TestRefusals: a gateway that was stopped or given up is told of in words, and
// the reason only to those who may read.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		st    gateway.Status
		title string
	}{
		{gateway.Status{State: gateway.Stopped, StopAsked: true, Reason: "REASON"}, "is stopped"},
		{gateway.Status{State: gateway.Failed, Reason: "REASON", LastEnd: &gateway.End{Hint: "HINT", Log: []string{"LAST WORDS"}}}, "cannot be started"},
	} {
		for _, who := range []auth.Principal{anna, {}} {
			l := &Loading{Gateway: &fake{status: tt.st}, Who: func(*http.Request) auth.Principal { return who }}
			rec := httptest.NewRecorder()
			if !l.Waiting(rec, browser()) {
				t.Fatal("a browser gets no page")
			}
			body := rec.Body.String()
			if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || rec.Header().Get("Cache-Control") != "no-store" || !strings.Contains(body, tt.title) {
				t.Errorf("%s: %d %v %s", tt.title, rec.Code, rec.Header(), body)
			}
			for _, text := range []string{"REASON", "HINT", "LAST WORDS"} {
				if want := who.May(auth.Read) && (text == "REASON" || tt.st.LastEnd != nil); strings.Contains(body, text) != want {
					t.Errorf("%s for %q: %s", tt.title, who.Name, text)
				}
			}
		}
	}
}
