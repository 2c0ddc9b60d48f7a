package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"creel/internal/auth"
	"creel/internal/problem"
)

// example is a request to an operation that succeeds.
type example struct {
	target string // path and query
	accept string
	body   string
	status int // 0: 200
	stream bool
}

// examples has each operation of the document at least once.
func examples(t *testing.T) map[string][]example {
	s := v1("snapshots/20261126T01")
	long := func(target string) []example {
		return []example{{target: target, stream: true}, {target: target, accept: mediaSSE, stream: true}, {target: target, accept: mediaJSON}}
	}
	one := func(target string) []example { return []example{{target: target}} }
	return map[string][]example{
		"getBareStatus": one("/_creel/status"), "isLive": one("/_creel/healthz"), "isReady": one("/_creel/readyz"), "scrape": one("/_creel/metrics"), "getMetrics": one(v1("metrics")),
		"getStatus":    {{target: v1("status")}, {target: v1("status"), accept: mediaSSE, stream: true}},
		"listGateways": one(v1("gateways")), "getVersion": one(v1("version")), "getConfig": one(v1("config")), "getFindings": one(v1("doctor")), "getDocument": one(v1("openapi.json")),
		"start": one(v1("start?wait=1s")), "stop": one(v1("stop")), "restart": one(v1("restart")),
		"listEvents": {{target: v1("events?kind=ready,exited&since=1h&limit=5")}, {target: v1("events"), accept: mediaNDJSON, stream: true}, {target: v1("events?limit=1"), accept: mediaSSE, stream: true}},
		"getLogs": {{target: v1("logs")}, {target: v1("logs?tail=2&level=error&search=DOWN"), accept: mediaJSON}, {target: v1("logs"), accept: mediaSSE, stream: true},
			{target: v1("logs?follow=1"), stream: true}, {target: v1("logs"), accept: mediaNDJSON, stream: true}},
		"listProviders": one(v1("providers")), "listOpenClawVersions": one(v1("openclaw/versions")),
		"upgradeOpenClaw": {{target: v1("openclaw/upgrade?version=2026.9.7"), stream: true}, {target: v1("openclaw/upgrade"), accept: mediaSSE, stream: true}},
		"listDevices":     one(v1("devices")), "approveDevice": one(v1("devices/approve?id=abcd")), "rejectDevice": one(v1("devices/reject?id=abcd")), "revokeDevice": one(v1("devices/revoke?id=abcd")),
		"approveAllDevices": one(v1("devices/approve-all")), "renameDevice": one(v1("devices/rename?id=abcd&label=Anna")),
		"listSnapshots": one(v1("snapshots")), "createSnapshot": long(v1("snapshots?note=x")), "getSnapshot": one(s), "deleteSnapshot": one(s), "pinSnapshot": one(s + "/pin"), "unpinSnapshot": one(s + "/unpin"),
		"acceptSnapshot": one(s + "/accept"), "verifySnapshot": long(s + "/verify"), "listSnapshotFiles": {{target: s + "/files?all=1", stream: true}}, "getSnapshotFile": one(s + "/content?path=note.txt"),
		"diffSnapshots": {{target: s + "/diff?to=20261126T02", stream: true}}, "exportSnapshot": {{target: s + "/export?dir=" + filepath.Join(t.TempDir(), "out"), accept: mediaJSON}, {target: s + "/export?dir=" + filepath.Join(t.TempDir(), "out"), stream: true}}, "restoreSnapshot": long(v1("snapshots/restore?id=20261126T01&accept_damaged=1")),
		"pruneSnapshots": one(v1("snapshots/prune?dry=true")), "takeOver": one(v1("snapshots/take-over")),
		"listSessions": one(v1("sessions")), "revokeSession": one(v1("sessions/s1")), "listTokens": one(v1("tokens")), "revokeToken": one(v1("tokens/t1")),
		"createToken": {{target: v1("tokens"), body: `{"name":"ci","scopes":["read"],"expires":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`, status: 201}},
		"createLogin": {{target: v1("login"), status: 201}},
		"getPassword": one(v1("owner/password")), "setPassword": {{target: v1("owner/password"), body: `{"password":"SECRET words"}`}}, "removePassword": one(v1("owner/password")),
		"listPasskeys": one(v1("owner/passkeys")), "removePasskey": one(v1("owner/passkeys/k1")),
		"getPlace": one(v1("place")), "awaitEnd": one(v1("place/end?generation=1")), "holdLease": one(v1("place/lease?generation=9")), "upgrade": one(v1("upgrade")), "reload": one(v1("reload")),
		"moltworkerHealth": one("/sandbox-health"), "moltworkerStatus": one("/api/status"), "moltworkerDevices": one("/api/admin/devices"), "moltworkerApprove": one("/api/admin/devices/req-1/approve"),
		"moltworkerApproveAll": one("/api/admin/devices/approve-all"), "moltworkerStorage": one("/api/admin/storage"), "moltworkerSync": one("/api/admin/storage/sync"), "moltworkerRestart": one("/api/admin/gateway/restart"),
		"moltworkerVersion": one("/debug/version"), "moltworkerProcesses": one("/debug/processes?logs=true"), "moltworkerLogs": one("/debug/logs"), "moltworkerEnviron": one("/debug/env"), "moltworkerConfig": one("/debug/container-config"),
		"moltworkerFetch": one("/debug/gateway-api?path=/healthz"), "moltworkerCommand": {{target: "/debug/cli?cmd=ls", status: 404}},
	}
}

// TestAnswersAreAsDocumented asks every operation of the document for each form of
// its answer, and checks what it really says against the document's schemas, in
// which no member may be missing that is always there, and none may come that is
// not told of. Every operation has a handler, and every handler an operation.
func TestAnswersAreAsDocumented(t *testing.T) {
	doc := parseDocument(t)
	all := examples(t)
	var described []string
	for path, item := range doc.Paths {
		for method, op := range item {
			described = append(described, op.ID)
			if len(all[op.ID]) == 0 {
				t.Errorf("%s %s (%s) has no example", method, path, op.ID)
			}
			for _, e := range all[op.ID] {
				w := newWorld(t)
				if op.ID == "moltworkerFetch" {
					app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeJSON(w, 200, map[string]string{"path": r.URL.Path}) }))
					defer app.Close()
					w.gateway.status.Addr = app.Listener.Addr().String()
				}
				doc.check(t, w, strings.ToUpper(method), op, e)
			}
			if method == "get" && len(all[op.ID]) > 0 && op.ID != "getPlace" && op.ID != "awaitEnd" && op.ID != "holdLease" { // where there is nothing yet
				doc.check(t, newBareWorld(t), "GET", op, all[op.ID][0])
			}
		}
	}
	for id := range all {
		if !slices.Contains(described, id) {
			t.Errorf("%s is not in the document", id)
		}
	}
	for _, r := range newWorld(t).table() {
		if doc.Paths[r.path][strings.ToLower(r.method)].ID != r.id {
			t.Errorf("%s is not in the document", r.pattern())
		}
	}
}

// documented is the part of the document that the tests look at.
type documented struct {
	Paths   map[string]map[string]operationDoc
	schemas *jsonschema.Compiler
}

type operationDoc struct {
	ID         string `json:"operationId"`
	SocketOnly bool   `json:"x-creel-socket-only"`
	Responses  map[string]struct {
		Content map[string]struct {
			Schema map[string]any
			Item   map[string]any `json:"x-creel-item"`
		}
	}
}

// closeObjects has schemas of objects, of which the document promises that they
// may get more members, refuse those that are not told of.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, open := v["additionalProperties"]; v["properties"] != nil && !open {
			v["additionalProperties"] = false
		}
		for _, part := range v {
			closeObjects(part)
		}
	case []any:
		for _, part := range v {
			closeObjects(part)
		}
	}
}

func parseDocument(t *testing.T) *documented {
	t.Helper()
	d := &documented{schemas: jsonschema.NewCompiler()}
	if err := json.Unmarshal(document, d); err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(parsed)
	if err := d.schemas.AddResource("openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	d.schemas.AssertFormat()
	return d
}

// check asks, and looks at the answer.
func (d *documented) check(t *testing.T, w *world, method string, op operationDoc, e example) {
	t.Helper()
	what := method + " " + e.target + " " + e.accept
	door := w.as(auth.OwnerScopes...)
	if op.SocketOnly {
		if got := serve(door, asks(t, method, e.target, e.accept, e.body)); got.Code < 400 {
			t.Errorf("%s is public: %d", what, got.Code)
		}
		door = w.Control()
	}
	request := asks(t, method, e.target, e.accept, e.body)
	var body []byte
	var head http.Header
	var status int
	if e.stream {
		status, head, body = begin(t, door, request)
	} else {
		got := serve(door, request)
		status, head, body = got.Code, got.Header(), got.Body.Bytes()
	}
	if want := max(e.status, 200); status != want {
		if w.bare && (status == http.StatusNotFound || status == http.StatusServiceUnavailable && op.ID == "isReady" || status == http.StatusInternalServerError && op.ID == "moltworkerFetch") {
			return
		}
		t.Errorf("%s: %d %s", what, status, body)
		return
	}
	media, _, _ := strings.Cut(head.Get("Content-Type"), ";")
	response, ok := op.Responses[httpStatus(status)]
	if !ok {
		t.Errorf("%s: a status %d is not in the document", what, status)
		return
	}
	content, ok := response.Content[media]
	if !ok {
		t.Errorf("%s: no %s is in the document", what, media)
		return
	}
	if e.stream {
		if media != mediaText {
			d.checkItems(t, what, content.Item, items(t, media, body))
		}
		return
	}
	if media == mediaJSON {
		d.checkItems(t, what, content.Schema, items(t, mediaNDJSON, bytes.ReplaceAll(body, []byte("\n"), nil)))
	}
	if head.Get("Cache-Control") != "no-store" || head.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s may be stored or guessed at: %v", what, head)
	}
	if strings.Contains(string(body), "SECRET") {
		t.Errorf("%s tells a secret: %s", what, body)
	}
}

func httpStatus(n int) string { b, _ := json.Marshal(n); return string(b) }

// begin takes the beginning of a stream that may go on for ever: what comes within
// a moment after its first piece.
func begin(t *testing.T, h http.Handler, r *http.Request) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	w := &beginning{ResponseRecorder: httptest.NewRecorder(), begun: func() { time.AfterFunc(200*time.Millisecond, cancel) }}
	h.ServeHTTP(w, r.WithContext(ctx))
	return w.Code, w.Header(), w.Body.Bytes()
}

// beginning calls begun when the first piece of a stream is there.
type beginning struct {
	*httptest.ResponseRecorder
	begun func() // nil: it was called
}

func (w *beginning) Write(b []byte) (int, error) {
	n, err := w.ResponseRecorder.Write(b)
	body := w.Body.String()
	if strings.HasPrefix(w.Header().Get("Content-Type"), mediaSSE) {
		_, body, _ = strings.Cut(body, "data: ") // another field may come first
	}
	if w.begun != nil && strings.Contains(body, "\n") {
		w.begun()
		w.begun = nil
	}
	return n, err
}

func (w *beginning) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// items are the documents of a stream.
func items(t *testing.T, media string, body []byte) []any {
	t.Helper()
	var list []any
	for line := range strings.Lines(string(body)) {
		if media == mediaSSE {
			var ok bool
			if line, ok = strings.CutPrefix(line, "data: "); !ok {
				continue
			}
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		t.Errorf("an empty stream: %s", body)
	}
	return list
}

func (d *documented) checkItems(t *testing.T, what string, item map[string]any, list []any) {
	t.Helper()
	if item == nil {
		t.Errorf("%s: the document does not say what its pieces are", what)
		return
	}
	refs := []any{item}
	if any, ok := item["anyOf"].([]any); ok {
		refs = any
	}
	for _, v := range list {
		var errs []error
		for _, r := range refs {
			ref, ok := r.(map[string]any)["$ref"].(string)
			if !ok { // an object of which nothing is promised
				continue
			}
			schema, err := d.schemas.Compile("openapi.json" + ref)
			if err != nil {
				t.Fatal(err)
			}
			errs = append(errs, schema.Validate(v))
		}
		if len(errs) > 0 && !slices.Contains(errs, nil) {
			t.Errorf("%s: %v: %v", what, v, errs)
		}
	}
}

// TestRefusals: what is not understood is refused, by every route, as the document
// says errors are.
func TestRefusals(t *testing.T) {
	d := parseDocument(t)
	all := examples(t)
	problems, err := d.schemas.Compile("openapi.json#/components/schemas/Problem")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	h := w.Control()
	refuses := func(r *http.Request, status int, code string) {
		t.Helper()
		got := serve(h, r)
		v, err := jsonschema.UnmarshalJSON(got.Body)
		if err != nil || got.Code != status || got.Header().Get("Content-Type") != problem.ContentType {
			t.Errorf("%s %s: %d %v (%v)", r.Method, r.URL, got.Code, v, err)
			return
		}
		if err := problems.Validate(v); err != nil || v.(map[string]any)["code"] != code {
			t.Errorf("%s %s: %v (%v)", r.Method, r.URL, v, err)
		}
		if allow := got.Header().Get("Allow"); (status == 405) != (allow != "") {
			t.Errorf("%s %s: Allow is %q", r.Method, r.URL, allow)
		}
	}
	for _, r := range w.table() {
		target := all[r.id][0].target
		with := "?"
		if strings.Contains(target, "?") {
			with = "&"
		}
		refuses(asks(t, r.method, target+with+"nonsense=1", "", ""), 400, "bad_request")
		refuses(asks(t, "PATCH", target, "", "{}"), 405, "method_not_allowed")
		if r.body == nil {
			refuses(asks(t, r.method, target, "", "{}"), 400, "bad_request")
		}
	}
	for _, test := range []struct {
		method, path, accept, body string
		status                     int
		code                       string
	}{
		{"GET", v1("nothing"), "", "", 404, "not_found"},
		{"GET", v1("events?limit=5000"), "", "", 400, "bad_request"},
		{"GET", v1("events?limit=1&limit=2"), "", "", 400, "bad_request"},
		{"GET", v1("events?limit=1&tail=2"), "", "", 400, "bad_request"},
		{"GET", v1("events?since=yesterday"), "", "", 400, "bad_request"},
		{"GET", v1("events"), "image/png", "", 406, "not_acceptable"},
		{"GET", v1("logs?level=loud"), "", "", 400, "bad_request"},
		{"GET", v1("logs?search=" + strings.Repeat("x", 300)), "", "", 400, "bad_request"},
		{"POST", v1("start?wait=-1s"), "", "", 400, "bad_request"},
		{"POST", v1("snapshots/restore?fresh=1&id=x"), mediaJSON, "", 400, "bad_request"},
		{"GET", v1("snapshots/x/content"), "", "", 400, "bad_request"},
		{"GET", v1("snapshots/zzz"), "", "", 404, "no_such_snapshot"},
		{"GET", v1("snapshots/zzz/content?path=x"), "", "", 404, "no_such_snapshot"},
		{"GET", v1("snapshots/20261126T02/content?path=x"), "", "", 404, "no_such_file"},
		{"GET", v1("snapshots/20261126T02/files?path=x"), "", "", 404, "no_such_file"},
		{"DELETE", v1("snapshots/20261126T02"), "", "", 409, "snapshot_kept"},
		{"DELETE", v1("sessions/none"), "", "", 404, "no_such_session"},
		{"DELETE", v1("tokens/none"), "", "", 404, "no_such_token"},
		{"DELETE", v1("owner/passkeys/none"), "", "", 404, "no_such_passkey"},
		{"PUT", v1("owner/password"), "", `{"password":"a","again":"a"}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":"x","scopes":["read"],"color":"red"}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":"x","scopes":["everything"]}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":"x","scopes":[]}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":" ","scopes":["read"]}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":"x","scopes":["read"],"expires":"2020-01-01T00:00:00Z"}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":"x"} {}`, 400, "bad_request"},
		{"POST", v1("tokens"), "", `{"name":"` + strings.Repeat("x", mostBody) + `"}`, 413, "too_large"},
	} {
		refuses(asks(t, test.method, test.path, test.accept, test.body), test.status, test.code)
	}
	form := asks(t, "POST", v1("tokens"), "", `{}`)
	form.Header.Set("Content-Type", "text/plain") // what a form of another site could send
	refuses(form, 415, "not_json")
	if got := serve(h, asks(t, "HEAD", v1("status"), "", "")); got.Code != 200 {
		t.Errorf("HEAD: %d", got.Code)
	}
}

// TestScopes: a token can be no wider than who makes it, and the link with the
// gateway's token is for the socket alone.
func TestScopes(t *testing.T) {
	w := newWorld(t)
	got := serve(w.as(auth.Read, auth.Admin), asks(t, "POST", v1("tokens"), "", `{"name":"x","scopes":["read","use"]}`))
	if got.Code != 403 || !strings.Contains(got.Body.String(), `"scope_too_wide"`) || len(w.people.tokens) != 1 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	for status, err := range map[int]error{400: auth.ErrInvalid, 409: auth.ErrFull, 404: auth.ErrUnknown, 503: io.ErrUnexpectedEOF} {
		w.people.err = fmt.Errorf("no: %w", err)
		for method, path := range map[string]string{"POST": v1("tokens"), "DELETE": v1("tokens/t1"), "delete": v1("sessions/s1")} {
			body := ""
			if method == "POST" {
				body = `{"name":"x","scopes":["read"]}`
			}
			if got := serve(w.Control(), asks(t, strings.ToUpper(method), path, "", body)); got.Code != status {
				t.Errorf("%s %s with %v: %d %s", method, path, err, got.Code, got.Body)
			}
		}
	}
	w.people.err = nil
	for _, path := range []string{v1("status"), "/_creel/status"} {
		if got := serve(w.as(auth.OwnerScopes...), asks(t, "GET", path, "", "")); strings.Contains(got.Body.String(), "token") || !strings.Contains(got.Body.String(), `"pid":42`) {
			t.Errorf("%s: %s", path, got.Body)
		}
		if got := serve(w.Control(), asks(t, "GET", path, "", "")); !strings.Contains(got.Body.String(), "#token=secret") {
			t.Errorf("%s on the socket: %s", path, got.Body)
		}
	}
	if got := serve(w.as(), asks(t, "GET", "/_creel/status", "", "")); strings.Contains(got.Body.String(), "pid") {
		t.Errorf("a stranger is told %s", got.Body)
	}
	for _, r := range w.table() { // a link that somebody follows changes nothing, and who only looks neither
		if looks := r.needs == auth.Public || r.needs == auth.Read; r.method == "GET" && r.needs == auth.Operate || r.method != "GET" && looks {
			t.Errorf("%s needs %s", r.pattern(), r.needs)
		}
	}
}
