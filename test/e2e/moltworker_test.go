//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"creel/internal/api"
	"creel/test/fake"
)

// desk is a program that has an API token and comes by the public door.
type desk struct {
	t     *testing.T
	base  string
	token string
}

// newDesk makes a token by the control socket, as `curl --unix-socket` does.
func (f *folder) newDesk(t *testing.T, scopes string) *desk {
	t.Helper()
	resp, err := api.Client(f.data).Post(api.ControlURL("tokens"), "application/json", strings.NewReader(`{"name":"a script","scopes":`+scopes+`}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var made api.NewToken
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("making a token: %s, %v", resp.Status, err)
	}
	return &desk{t, "http://" + f.listen, made.Secret}
}

func (d *desk) do(method, path, accept string) (*http.Response, []byte) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), requestLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp, b
}

// ask gives the JSON document of an answer that must be 200.
func (d *desk) ask(method, path string) map[string]any {
	d.t.Helper()
	resp, b := d.do(method, path, "application/json")
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %s: %s %s", method, path, resp.Status, b)
	}
	return v
}

// running waits until moltworker's status says so, as its steps do.
func (d *desk) running() {
	d.t.Helper()
	eventually(d.t, bootLimit, "/api/status says that it runs", func() (bool, string) {
		v := d.ask("GET", "/api/status")
		return v["ok"] == true && v["status"] == "running", toJSON(d.t, v)
	})
}

// TestMoltworker goes through the steps of moltworker's end-to-end tests, by its
// names and shapes, with the real OpenClaw: pairing and conversation, and
// persistence. A container that moltworker restarted had lost its disk; here the
// state folder is removed instead, since creel puts no older state over one that
// is there unless it is asked to, which is tried as well.
func TestMoltworker(t *testing.T) {
	f, c, _, llm := upInWorld(t)
	token := tokenOf(t, f, c.link(t))
	defer http.DefaultClient.CloseIdleConnections()
	d := f.newDesk(t, `["read","operate","admin"]`)
	f.wantRights(t)
	f.wantPairing(t, d, llm, token)
	d.wantQuickList(t)
	d.wantAsDocumented(t)
	f.wantPersistence(t, d)
	f.end(t, c)
}

// wantRights: a stranger sees no more than how the gateway is, and whoever may look
// touches nothing.
func (f *folder) wantRights(t *testing.T) {
	t.Helper()
	reader, stranger := f.newDesk(t, `["read"]`), &desk{t: t, base: "http://" + f.listen}
	for _, test := range []struct {
		d            *desk
		method, path string
		status       int
	}{
		{stranger, "GET", "/api/status", 200}, {stranger, "GET", "/sandbox-health", 200}, {stranger, "GET", "/api/admin/devices", 401},
		{stranger, "POST", "/api/admin/gateway/restart", 401}, {stranger, "GET", "/_creel/api/v1/status", 401}, {stranger, "GET", "/_creel/api/v1/openapi.json", 200},
		{reader, "GET", "/api/admin/devices", 200}, {reader, "POST", "/api/admin/devices/approve-all", 403}, {reader, "GET", "/debug/version", 403},
		{reader, "POST", "/_creel/api/v1/stop", 403}, {reader, "GET", "/_creel/api/v1/tokens", 403}, {reader, "PUT", "/_creel/api/v1/status", 405},
		{reader, "GET", "/_creel/api/v1/place", 404},
	} {
		if resp, b := test.d.do(test.method, test.path, "application/json"); resp.StatusCode != test.status || strings.Contains(string(b), "#token=") {
			t.Errorf("%s %s: %s, want %d: %s", test.method, test.path, resp.Status, test.status, b)
		}
	}
}

// wantPairing: a device that nobody knows is let in by moltworker's names, and its
// person has a conversation.
func (f *folder) wantPairing(t *testing.T, d *desk, llm *fake.LLM, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	d.running()
	if v := d.ask("GET", "/sandbox-health"); v["status"] != "ok" {
		t.Errorf("%v", v)
	}
	browser, phone := fake.NewDevice(t, "Anna's browser", "203.0.113.9"), fake.NewDevice(t, "Ben's phone", "198.51.100.7")
	address := f.status(t).Address
	knock := func(device *fake.Device) {
		t.Helper()
		if _, err := device.Connect(ctx, address, token); err == nil || !strings.Contains(err.Error(), "pairing required") {
			t.Fatalf("an unknown device: %v", err)
		}
	}
	request := func(device *fake.Device) (id string) {
		t.Helper()
		for _, p := range d.ask("GET", "/api/admin/devices")["pending"].([]any) {
			if p := p.(map[string]any); p["deviceId"] == device.ID {
				id = p["requestId"].(string)
			}
		}
		return id
	}
	knock(browser)
	if id := request(browser); id == "" {
		t.Fatalf("the device is not in the list: %v", d.ask("GET", "/api/admin/devices"))
	}
	if v := d.ask("POST", "/api/admin/devices/approve-all"); v["message"] != "Approved 1 of 1 device(s)" {
		t.Errorf("approve all: %v", v)
	}
	conn, err := browser.Connect(ctx, address, token)
	if err != nil {
		t.Fatalf("a device that was let in: %v", err)
	}
	defer func() { _ = conn.CloseNow() }() // it may be closed by then
	conn.SetReadLimit(maxMessage)
	printed := llm.Use("exec", toJSON(t, map[string]any{"command": "echo $((847293 + 651824))"}))
	if err := (&operator{conn: conn}).turn(ctx, "What is 847293 + 651824? Reply with just the number."); err != nil {
		t.Fatal(err)
	}
	if got := <-printed; !strings.Contains(got, "1499117") {
		t.Errorf("the conversation: %s", got)
	}
	// Somebody looks, the device tries again meanwhile, and they click.
	knock(phone)
	seen := request(phone)
	knock(phone)
	if v := d.ask("POST", "/api/admin/devices/"+seen+"/approve"); v["success"] != true || v["message"] != "Device approved" {
		t.Errorf("approve by a request of before: %v", v)
	}
	again, err := phone.Connect(ctx, address, token)
	if err != nil {
		t.Fatalf("a device that was let in: %v", err)
	}
	_ = again.CloseNow() // it has served
}

// listLimit is what the list of devices may take in the middle. moltworker's took
// 10 to 15 s.
const listLimit = 20 * time.Millisecond

func (d *desk) wantQuickList(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/_creel/api/v1/devices", "/api/admin/devices"} {
		took := make([]time.Duration, 100)
		for i := range took {
			began := time.Now()
			d.ask("GET", path)
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		t.Logf("%s: p50 %v, p95 %v, worst %v", path, took[50], took[95], took[99])
		if took[50] > listLimit {
			t.Errorf("%s: p50 is %v, the most is %v", path, took[50], listLimit)
		}
	}
}

// wantAsDocumented: what a real creel answers is what its document says.
func (d *desk) wantAsDocumented(t *testing.T) {
	t.Helper()
	_, text := d.do("GET", "/_creel/api/v1/openapi.json", "application/json")
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	schemas := jsonschema.NewCompiler()
	schemas.AssertFormat()
	if err := schemas.AddResource("openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			SocketOnly bool `json:"x-creel-socket-only"`
			Responses  map[string]struct{ Content map[string]any }
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for path, item := range document.Paths {
		get, ok := item["get"]
		if !ok || get.SocketOnly || strings.Contains(path, "{") || strings.HasPrefix(path, "/debug/") || get.Responses["200"].Content["application/json"] == nil {
			continue
		}
		asked++
		resp, b := d.do("GET", path, "application/json")
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s %s (%v)", path, resp.Status, b, err)
			continue
		}
		at := "openapi.json#/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/get/responses/200/content/application~1json/schema"
		schema, err := schemas.Compile(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("GET %s: %v\n%s", path, err, b)
		}
	}
	t.Logf("%d answers are as documented", asked)
	if asked < 15 {
		t.Errorf("only %d answers were looked at", asked)
	}
}

// wantPersistence: what was saved comes back, by moltworker's names.
func (f *folder) wantPersistence(t *testing.T, d *desk) {
	t.Helper()
	if v := d.ask("GET", "/api/admin/storage"); v["configured"] != true {
		t.Fatalf("storage: %v", v)
	}
	marker := filepath.Join(f.workspace(), "e2e-marker.txt")
	if err := os.WriteFile(marker, []byte("e2e-persistence-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synced := d.ask("POST", "/api/admin/storage/sync")
	if synced["success"] != true || synced["message"] != "Snapshot created successfully" {
		t.Fatalf("sync: %v", synced)
	}
	storage := d.ask("GET", "/api/admin/storage")
	id, _ := storage["lastBackupId"].(string)
	at, _ := storage["lastSync"].(string)
	if when, err := time.Parse(time.RFC3339, at); !regexp.MustCompile(`^[0-9a-f-]+$`).MatchString(id) || id != synced["backupId"] || err != nil || time.Since(when) > requestLimit {
		t.Errorf("storage after it: %v", storage)
	}
	back := func(what string) {
		t.Helper()
		if b, err := os.ReadFile(marker); err != nil || !strings.Contains(string(b), "e2e-persistence-test") {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	// The machine's disk is lost.
	d.ask("POST", "/_creel/api/v1/stop?wait=1m")
	if err := os.RemoveAll(f.home()); err != nil {
		t.Fatal(err)
	}
	if v := d.ask("POST", "/api/admin/gateway/restart"); v["success"] != true {
		t.Errorf("restart: %v", v)
	}
	d.running()
	back("after the state was lost")
	// A file is lost, and somebody wants it back.
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if v := d.ask("POST", "/_creel/api/v1/snapshots/restore"); v["snapshot"] == "" {
		t.Errorf("restore: %v", v)
	}
	d.running() // the answer comes when it is ready
	back("after a restore")
	if v := d.ask("POST", "/api/admin/storage/sync"); v["success"] != true {
		t.Errorf("the last sync: %v", v)
	}
}
