package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
	"creel/internal/openclaw/rpc/rpctest"
	"creel/internal/telemetry"
)

// roster is the list of devices of a gateway that speaks OpenClaw's protocol.
type roster struct {
	mu      sync.Mutex
	pending []map[string]any
	paired  []map[string]any
}

func (r *roster) set(pending ...map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = pending
}

// withGateway puts a gateway that speaks OpenClaw's protocol, and creel's own
// connection to it, behind a world.
func (w *world) withGateway(t *testing.T) *roster {
	t.Helper()
	g, r := rpctest.New(t), &roster{}
	g.Answer("device.pair.list", func(json.RawMessage) (any, any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return map[string]any{"pending": append([]map[string]any{}, r.pending...), "paired": append([]map[string]any{}, r.paired...)}, nil
	})
	g.Answer("device.pair.approve", func(params json.RawMessage) (any, any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		var p struct{ RequestID string }
		if err := json.Unmarshal(params, &p); err != nil {
			t.Error(err)
		}
		i := slices.IndexFunc(r.pending, func(m map[string]any) bool { return m["requestId"] == p.RequestID })
		if i < 0 {
			return nil, map[string]any{"code": "INVALID_REQUEST", "message": "unknown requestId"}
		}
		r.paired = append(r.paired, r.pending[i])
		r.pending = slices.Delete(slices.Clone(r.pending), i, i+1)
		return map[string]any{}, nil
	})
	client := rpc.New(rpc.Options{Token: func() (telemetry.Secret, error) { return rpctest.Token, nil }})
	t.Cleanup(client.Close)
	client.Attend(rpc.Target{Generation: 1, Addr: g.Addr()})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.WaitFor(ctx, func(v rpc.View) bool { return v.Connected }); err != nil {
		t.Fatal(err)
	}
	w.opts.Devices = deviceDesk{openclaw.Devices{Client: client}}
	w.opts.OpenClaw.Requests = func(ctx context.Context) (list json.RawMessage, err error) {
		err = client.Call(ctx, "device.pair.list", nil, &list)
		return list, err
	}
	return r
}

func waits(request, device string) map[string]any {
	return map[string]any{"requestId": request, "deviceId": strings.Repeat(device, 16), "displayName": device, "platform": "web", "clientMode": "webchat", "ts": 1}
}

// asked makes a request of the public door's table, as an owner, and gives the
// JSON document of the answer.
func (w *world) asked(t *testing.T, method, path string, status int) map[string]any {
	t.Helper()
	got := serve(w.as(auth.OwnerScopes...), asks(t, method, path, "", ""))
	var v map[string]any
	if err := json.Unmarshal(got.Body.Bytes(), &v); err != nil || got.Code != status {
		t.Fatalf("%s %s: %d %s", method, path, got.Code, got.Body)
	}
	return v
}

// TestMoltworkersSteps are the steps of moltworker's end-to-end tests, by its names
// and shapes, against a gateway that speaks OpenClaw's protocol. Those with the
// real OpenClaw are in test/e2e.
func TestMoltworkersSteps(t *testing.T) {
	w := newWorld(t)
	r := w.withGateway(t)

	// pairing
	if v := w.asked(t, "GET", "/api/status", 200); v["ok"] != true || v["status"] != "running" || v["processId"] == "" {
		t.Errorf("status: %v", v)
	}
	r.set(waits("req-1", "aaaa"), waits("req-2", "bbbb"))
	v := w.asked(t, "GET", "/api/admin/devices", 200)
	first := v["pending"].([]any)[0].(map[string]any)
	if first["requestId"] != "req-1" || first["clientMode"] != "webchat" || first["ts"] != 1.0 || len(v["paired"].([]any)) != 0 {
		t.Errorf("devices: %v", v)
	}
	if v := w.asked(t, "POST", "/api/admin/devices/approve-all", 200); v["message"] != "Approved 2 of 2 device(s)" || len(v["approved"].([]any)) != 2 || len(v["failed"].([]any)) != 0 {
		t.Errorf("approve all: %v", v)
	}
	if v := w.asked(t, "POST", "/api/admin/devices/approve-all", 200); v["message"] != "No pending devices to approve" || len(v["approved"].([]any)) != 0 {
		t.Errorf("approve nobody: %v", v)
	}

	// persistence
	backup := regexp.MustCompile(`^[0-9a-f-]+$`)
	storage := func() string {
		v := w.asked(t, "GET", "/api/admin/storage", 200)
		id, _ := v["lastBackupId"].(string)
		at, _ := v["lastSync"].(string)
		if _, err := time.Parse(time.RFC3339, at); v["configured"] != true || !backup.MatchString(id) || err != nil {
			t.Errorf("storage: %v", v)
		}
		return id
	}
	storage()
	w.shelf.live = "e2e-persistence-test"
	if v := w.asked(t, "POST", "/api/admin/storage/sync", 200); v["success"] != true || v["message"] != "Snapshot created successfully" || v["backupId"] != storage() || v["lastSync"] == nil {
		t.Errorf("sync: %v", v)
	}
	if v := w.asked(t, "POST", "/api/admin/gateway/restart", 200); v["success"] != true || v["previousProcessId"] != "generation-7" {
		t.Errorf("restart: %v", v)
	}
	if v := w.asked(t, "GET", "/api/status", 200); v["ok"] != true {
		t.Errorf("status after it: %v", v)
	}
	if v := w.asked(t, "GET", "/debug/processes", 200); v["count"] != 2.0 || !strings.Contains(v["processes"].([]any)[0].(map[string]any)["command"].(string), "start-openclaw") {
		t.Errorf("processes: %v", v)
	}
	w.shelf.err = context.DeadlineExceeded
	if v := w.asked(t, "POST", "/api/admin/storage/sync", 500); v["success"] != false || v["error"] == "" || v["details"] == "" {
		t.Errorf("a sync that fails: %v", v)
	}
	w.opts.Snapshots = nil
	if v := w.asked(t, "POST", "/api/admin/storage/sync", 400); v["success"] != false || !strings.Contains(v["error"].(string), "not configured") {
		t.Errorf("a sync to nowhere: %v", v)
	}
	if v := w.asked(t, "GET", "/api/admin/storage", 200); v["configured"] != false || len(v["missing"].([]any)) != 1 || v["lastSync"] != nil {
		t.Errorf("storage nowhere: %v", v)
	}
}

// TestApproveByAnyId: a device that has tried again has another request; the one on
// the screen still means it.
func TestApproveByAnyId(t *testing.T) {
	w := newWorld(t)
	r := w.withGateway(t)
	r.set(waits("req-1", "aaaa"))
	w.asked(t, "GET", "/api/admin/devices", 200)
	r.set(waits("req-2", "aaaa"), waits("req-9", "bbbb"))
	if v := w.asked(t, "POST", "/api/admin/devices/req-1/approve", 200); v["success"] != true || v["requestId"] != "req-1" || v["message"] != "Device approved" || !strings.Contains(strings.ToLower(v["stdout"].(string)), "approved") {
		t.Errorf("by an older request: %v", v)
	}
	if v := w.asked(t, "POST", "/api/admin/devices/"+strings.Repeat("bbbb", 16)+"/approve", 200); v["success"] != true {
		t.Errorf("by the device's id: %v", v)
	}
	if v := w.asked(t, "POST", "/api/admin/devices/req-77/approve", 200); v["success"] != false || v["message"] != "Approval may have failed" || v["stderr"] == "" {
		t.Errorf("by an unknown one: %v", v)
	}
	if len(r.paired) != 2 || len(r.pending) != 0 {
		t.Errorf("in the end: %v, %v", r.pending, r.paired)
	}
	w.opts.OpenClaw.Requests = func(context.Context) (json.RawMessage, error) { return nil, &rpc.NotConnectedError{} }
	if v := w.asked(t, "GET", "/api/admin/devices", 503); v["error"] == nil {
		t.Errorf("without a gateway: %v", v)
	}
}

func TestRequestBook(t *testing.T) {
	var b requestBook
	for i := range 2 * mostRequests {
		b.note(string(rune('a'+i%26))+strings.Repeat("x", i/26), "d")
	}
	if len(b.devices) != mostRequests || len(b.order) != mostRequests {
		t.Errorf("%d are remembered", len(b.devices))
	}
}

// TestCompatStatus: in each state an answer in moltworker's words; nothing is
// started, and strangers learn no reason.
func TestCompatStatus(t *testing.T) {
	words := map[gateway.State]string{
		gateway.Ready: "running", gateway.Suspect: "not_responding", gateway.Draining: "not_responding", gateway.Stopping: "not_responding", gateway.Stopped: "not_running",
		gateway.Starting: "starting", gateway.Restoring: "starting", gateway.Backoff: "starting", gateway.Failed: "start_failed",
	}
	for _, state := range gateway.States {
		w := newWorld(t)
		w.gateway.status = gateway.Status{State: state, PID: 42, Generation: 3, Reason: "SECRET", LastEnd: &gateway.End{Cause: gateway.CauseRestore}}
		got := serve(w.as(), asks(t, "GET", "/api/status", "", ""))
		var v map[string]any
		if err := json.Unmarshal(got.Body.Bytes(), &v); err != nil || got.Code != 200 || v["status"] != words[state] || v["ok"] != (state == gateway.Ready) {
			t.Errorf("%s: %d %s", state, got.Code, got.Body)
		}
		if _, tells := v["restoreError"]; tells != (words[state] == "starting" || words[state] == "start_failed") {
			t.Errorf("%s: %s", state, got.Body)
		}
		if strings.Contains(got.Body.String(), "SECRET") || strings.Contains(got.Body.String(), "42") {
			t.Errorf("%s: strangers are told %s", state, got.Body)
		}
		if w.gateway.Status().State != state {
			t.Errorf("%s: it was started", state)
		}
	}
}

// TestWhosePathIsIt: of moltworker's paths creel takes exactly those, and only with
// the preset.
func TestWhosePathIsIt(t *testing.T) {
	w := newWorld(t)
	mux := http.NewServeMux()
	for _, r := range w.Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	for path, ours := range map[string]bool{
		"/": false, "/_creelx": false, "/api/status": true, "/api/status/": false, "/api/status/x": false, "/api/channels/x": false, "/api": false, "/api/admin": false,
		"/api/admin/devices": true, "/api/admin/devices/approve-all": true, "/api/admin/devices/x/approve": true, "/api/admin/devices/x/y/approve": false,
		"/api/admin/devices/x": false, "/api/admin/storage/sync": true, "/sandbox-health": true, "/sandbox-healthy": false,
		"/debug/version": true, "/debug/other": false, "/debug": false,
	} {
		for _, method := range allMethods {
			if _, pattern := mux.Handler(httptest.NewRequest(method, path, nil)); (pattern != "") != ours {
				t.Errorf("%s %s is creel's: %v", method, path, !ours)
			}
		}
	}
	w.opts.OpenClaw = nil
	if got := serve(w.as(auth.OwnerScopes...), asks(t, "GET", "/api/status", "", "")); got.Code != 404 {
		t.Errorf("another gateway's path is answered: %d", got.Code)
	}
}

// TestDebugRoutes: off unless turned on; they look at this gateway alone, run
// nothing and tell no secret.
func TestDebugRoutes(t *testing.T) {
	w := newWorld(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		http.Redirect(w, r, "http://example.com/", http.StatusFound)
	}))
	defer app.Close()
	w.gateway.status.Addr = app.Listener.Addr().String()
	if v := w.asked(t, "GET", "/debug/gateway-api?path=/x", 200); v["status"] != 302.0 {
		t.Errorf("%v", v)
	}
	for _, path := range []string{"http://example.com/", "//example.com/", "@example.com", "x"} {
		w.asked(t, "GET", "/debug/gateway-api?path="+path, 400)
	}
	v := w.asked(t, "GET", "/debug/container-config", 200)
	config := v["config"].(map[string]any)
	if config["gateway"].(map[string]any)["auth"].(map[string]any)["token"] != "[redacted]" ||
		config["models"].(map[string]any)["providers"].(map[string]any)["x"].(map[string]any)["name"] != "fine" {
		t.Errorf("%v", v)
	}
	if v := w.asked(t, "GET", "/debug/logs", 200); v["status"] != "ok" || !strings.Contains(v["stdout"].(string), "ERROR down") {
		t.Errorf("%v", v)
	}
	if v := w.asked(t, "GET", "/debug/logs?id=generation-6", 200); v["process_status"] != "failed" || v["stdout"] != "last words" {
		t.Errorf("%v", v)
	}
	if v := w.asked(t, "GET", "/debug/logs?id=other", 404); v["status"] != "not_found" {
		t.Errorf("%v", v)
	}
	if v := w.asked(t, "GET", "/debug/env", 200); v["has_openai_key"] != true || v["has_anthropic_key"] != false {
		t.Errorf("%v", v)
	}
	w.gateway.status.PID = 0
	if v := w.asked(t, "GET", "/debug/logs", 200); v["status"] != "no_process" {
		t.Errorf("%v", v)
	}
	w.debug = false
	for _, name := range []string{"version", "processes", "gateway-api", "cli", "logs", "env", "container-config"} {
		if v := w.asked(t, "GET", debugPrefix+name, 404); v["error"] != "Debug routes are disabled" {
			t.Errorf("%s: %v", name, v)
		}
	}
}
