package crash

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/test/crashgw"
	"creel/test/harness"
)

// TestGate: strangers neither reach a gateway nor wake it, over HTTP or WebSocket;
// whoever has signed in does, and still is over upgrades, a death of creel, and in
// a creel that drains; and no longer once the session was ended.
func TestGate(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("\nproxy:", "\n  start: on-demand\nauth: {mode: link}\nproxy:")
	c.Launch()
	c.WaitFor("creel", func(st api.Status) bool { return st.State == gateway.Stopped })
	harness.Poll(t, "the link, though the gateway sleeps", func() bool { return strings.Contains(c.Output.String(), c.URL("/_creel/login?code=")) }, c.Output.String)
	ask := func(path string, fields ...string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		resp, err := harness.Plain().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if got := []int{ask("/item?id=a"), ask("/", "Accept", "text/html"), ask("/ws", "Connection", "Upgrade", "Upgrade", "websocket"),
		ask("/_creel/metrics"), ask("/_creel/healthz"), ask("/_creel/login")}; !slices.Equal(got, []int{401, 303, 401, 401, 200, 200}) {
		t.Errorf("a stranger gets %v", got)
	}
	if st := c.WaitFor("an answer", func(api.Status) bool { return true }); st.Generation != 0 || st.State != gateway.Stopped {
		t.Errorf("strangers have started the gateway: %+v", st)
	}
	cookie := c.SignIn()
	if got := ask("/item?id=a", "Cookie", cookie); got != 200 {
		t.Errorf("signed in: %d", got)
	}
	before := c.WaitFor("ready", ready)
	c.Post("upgrade")
	c.WaitFor("the successor", func(st api.Status) bool { return st.OK && st.Creel.PID != before.Creel.PID })
	if got := ask("/item?id=b", "Cookie", cookie); got != 200 {
		t.Errorf("after an upgrade: %d", got)
	}
	if got := ask("/_creel/metrics", "Cookie", cookie); got != 200 {
		t.Errorf("creel's pages after an upgrade: %d", got)
	}
	// Until its end the old creel may accept a connection, and it hears a moment later
	// what its successor gives out and takes back.
	c.AwaitEnd(before.Creel.PID)
	if log := c.Output.String(); strings.Contains(log, strings.SplitN(cookie, "=", 2)[1]) {
		t.Error("what signs in is in the log")
	}
	if events := c.Events(); !strings.Contains(events, `"kind":"login"`) {
		t.Errorf("the journal does not know that somebody has signed in:\n%s", events)
	}
	if out := c.run("sessions", "list"); !strings.Contains(out, "link") || !strings.Contains(out, "127.0.0.1") {
		t.Errorf("creel sessions list:\n%s", out)
	}
	made := func(name string) (secret, id string) {
		t.Helper()
		var made api.NewToken
		if err := json.Unmarshal([]byte(c.run("tokens", "create", name, "--scope", "use", "--json")), &made); err != nil {
			t.Fatal(err)
		}
		return "Bearer " + made.Secret, made.Token.ID
	}
	dial := func(field, value string) *websocket.Conn {
		t.Helper()
		socket, _, err := websocket.Dial(t.Context(), "ws://"+c.Addr+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{field: {value}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = socket.CloseNow() }) // it is closed by then
		return socket
	}
	closed := func(what string, socket *websocket.Conn) {
		t.Helper()
		reading, stop := context.WithTimeout(t.Context(), harness.Patience)
		defer stop()
		var err error
		for err == nil {
			_, _, err = socket.Read(reading)
		}
		if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("%s was ended, and its WebSocket with %v", what, err)
		}
	}
	revoked, revokedID := made("revoked")
	other, otherID := made("other")
	sessions, program, bystander := dial("Cookie", cookie), dial("Authorization", revoked), dial("Authorization", other)
	c.run("sessions", "revoke", strings.Fields(strings.SplitN(c.run("sessions", "list"), "\n", 2)[1])[0])
	if got := ask("/item?id=c", "Cookie", cookie); got != 401 {
		t.Errorf("the session was ended, and its next request gets %d", got)
	}
	closed("the session", sessions)
	c.run("tokens", "revoke", revokedID)
	closed("the token", program)
	pinging, stop := context.WithTimeout(t.Context(), harness.Patience)
	defer stop()
	reads := bystander.CloseRead(pinging) // takes the pong, and what the gateway says
	if err := bystander.Ping(pinging); err != nil || reads.Err() != nil {
		t.Errorf("another token's WebSocket was closed, too: %v", err)
	}
	c.run("tokens", "revoke", otherID)
	token := strings.TrimSpace(c.run("tokens", "create", "prometheus", "--scope", "read"))
	if got := []int{ask("/_creel/metrics", "Authorization", "Bearer "+token), ask("/item?id=d", "Authorization", "Bearer "+token)}; !slices.Equal(got, []int{200, 403}) {
		t.Errorf("a token that may read gets %v", got)
	}
}

// TestEveryRoute asks a real creel for every route that its API describes, as those
// who may not: what is said of a route is what is done.
func TestEveryRoute(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("\nproxy:", "\nauth: {mode: link}\nproxy:")
	c.Launch()
	before := c.WaitFor("ready", ready)
	cookie, reader := c.SignIn(), "Bearer "+strings.TrimSpace(c.run("tokens", "create", "reader", "--scope", "read"))
	ask := func(method, path string, fields ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, c.URL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		resp, err := harness.Plain().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var d struct{ Code string }
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err == nil && resp.StatusCode >= 400 {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Fatalf("%s %s: %s %v %s", method, path, resp.Status, err, b)
		}
		return resp.StatusCode, d.Code
	}
	var document struct {
		Paths map[string]map[string]struct {
			Scope  string `json:"x-creel-scope"`
			Socket bool   `json:"x-creel-socket-only"`
		}
	}
	resp, err := api.Client(c.DataDir()).Get(api.ControlURL("openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil || len(document.Paths) < 20 {
		t.Fatalf("%d paths: %v", len(document.Paths), err)
	}
	asked := 0
	for path, operations := range document.Paths {
		path = strings.NewReplacer("{id}", "x", "{action}", "x").Replace(path)
		for method, o := range operations {
			method = strings.ToUpper(method)
			if !strings.HasPrefix(path, "/_creel/") || o.Scope == "" {
				continue // names that are the preset's; what strangers may see
			}
			asked++
			if status, code := ask(method, path); status != 401 || code != "unauthenticated" {
				t.Errorf("%s %s as a stranger: %d %s", method, path, status, code)
			}
			if status, code := ask(method, path, "Authorization", reader); !o.Socket && o.Scope != "read" && (status != 403 || code != "forbidden") {
				t.Errorf("%s %s as a reader: %d %s", method, path, status, code)
			}
			if method == "GET" {
				continue
			}
			if status, code := ask(method, path, "Cookie", cookie, "Origin", "https://evil.example"); status != 403 || code != "cross_origin" {
				t.Errorf("%s %s by another site's page: %d %s", method, path, status, code)
			}
		}
	}
	if st := c.WaitFor("an answer", func(api.Status) bool { return true }); asked < 30 || st.Generation != before.Generation || st.StopAsked {
		t.Errorf("%d routes asked for, and the gateway is %+v", asked, st)
	}
}

// TestNobodyAskedBeyondLoopback is refused before anything is started.
func TestNobodyAskedBeyondLoopback(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("\nproxy:", "\nauth: {mode: none}\nproxy:")
	_, port, _ := strings.Cut(c.Addr, ":")
	c.Args[slices.Index(c.Args, "--listen")+1] = "0.0.0.0:" + port
	c.Launch()
	c.WaitExit()
	if code := c.Cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(c.Output.String(), "auth.mode") || !strings.Contains(c.Output.String(), "remove auth.mode") {
		t.Errorf("exit code %d:\n%s", code, c.Output)
	}
	if _, err := os.Stat(c.DataDir()); !os.IsNotExist(err) {
		t.Errorf("something was made: %v", err)
	}
}

// run is a command of creel's that is to succeed; it gives its standard output.
func (c *creel) run(args ...string) string {
	c.T.Helper()
	stdout, stderr, code := c.command(args...)
	if code != 0 {
		c.T.Fatalf("creel %v: exit code %d: %s", args, code, stderr)
	}
	return stdout
}
