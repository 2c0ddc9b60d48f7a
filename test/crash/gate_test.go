package crash

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

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
	if log := c.Output.String(); strings.Contains(log, strings.SplitN(cookie, "=", 2)[1]) {
		t.Error("what signs in is in the log")
	}
	if events := c.Events(); !strings.Contains(events, `"kind":"login"`) {
		t.Errorf("the journal does not know that somebody has signed in:\n%s", events)
	}
	if out := c.run("sessions", "list"); !strings.Contains(out, "link") || !strings.Contains(out, "127.0.0.1") {
		t.Errorf("creel sessions list:\n%s", out)
	}
	c.run("sessions", "revoke", strings.Fields(strings.SplitN(c.run("sessions", "list"), "\n", 2)[1])[0])
	if got := ask("/item?id=c", "Cookie", cookie); got != 401 {
		t.Errorf("the session was ended, and its next request gets %d", got)
	}
	token := strings.TrimSpace(c.run("tokens", "create", "prometheus", "--scope", "read"))
	if got := []int{ask("/_creel/metrics", "Authorization", "Bearer "+token), ask("/item?id=d", "Authorization", "Bearer "+token)}; !slices.Equal(got, []int{200, 403}) {
		t.Errorf("a token that may read gets %v", got)
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
