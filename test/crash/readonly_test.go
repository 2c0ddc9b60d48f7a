package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"

	"creel/internal/api"
	"creel/internal/health"
	"creel/test/crashgw"
	"creel/test/harness"
)

// onReadOnlyDisk is a creel whose data folder, the gateway's state in it, can be made
// read-only and writable again. It is ready.
func onReadOnlyDisk(t *testing.T) *creel {
	t.Helper()
	c := prepare(t, crashgw.Options{})
	state := filepath.Join(c.DataDir(), "state")
	c.Args = slices.Insert(c.Args, slices.Index(c.Args, "--"), "--state", state)
	if err := os.Mkdir(c.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	c.mount("tmpfs", "tmpfs", 0, "size=64m")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "kept"), []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Launch()
	c.WaitFor("ready", ready)
	return c
}

// becomeReadOnly makes the data folder read-only: see TestDataFolderReadOnly.
func (c *creel) becomeReadOnly() {
	c.T.Helper()
	c.mount(c.DataDir(), "", unix.MS_BIND, "")
	c.mountReadOnly()
}

func (c *creel) becomeWritable() {
	c.T.Helper()
	if err := unix.Mount("", c.DataDir(), "", unix.MS_BIND|unix.MS_REMOUNT, ""); err != nil {
		c.T.Fatal(err)
	}
}

// waitOverHTTP polls the status that clients get: there is no control socket.
func (c *creel) waitOverHTTP(what string, holds func(api.Status) bool) api.Status {
	c.T.Helper()
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	var last api.Status
	harness.Poll(c.T, what, func() bool {
		select {
		case <-c.Exited:
			c.T.Fatalf("creel has ended; its output:\n%s", c.Output)
		default:
		}
		resp, err := client.Get(c.URL("/_creel/status"))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		last = api.Status{}
		return json.NewDecoder(resp.Body).Decode(&last) == nil && holds(last)
	}, c.Output.String)
	return last
}

// needSaid waits until conditions are told over HTTP, and looks for them in the metrics.
func (c *creel) needSaid(want ...health.Condition) {
	c.T.Helper()
	for _, one := range want {
		c.waitOverHTTP(string(one), func(st api.Status) bool { return degraded(st, one) })
		if metrics := c.Get("/_creel/metrics"); !strings.Contains(metrics, `creel_degraded{condition="`+string(one)+`"} 1`) {
			c.T.Errorf("the metrics do not tell of %s", one)
		}
	}
}

// waitRecovered waits until nothing is told of the folder any more. (A snapshot that has
// failed meanwhile is taken a minute later.)
func (c *creel) waitRecovered() {
	c.T.Helper()
	c.WaitFor("all to be well with the folder", func(st api.Status) bool {
		return st.OK && !slices.ContainsFunc(st.Degraded, func(r health.Report) bool {
			return slices.Contains([]health.Condition{health.DataFolder, health.Journal, health.Control, health.Start}, r.Condition)
		})
	})
	if metrics := c.Get("/_creel/metrics"); strings.Contains(metrics, `writable"} 1`) || strings.Contains(metrics, `missing"} 1`) || strings.Contains(metrics, `written"} 1`) {
		c.T.Error("the metrics do not tell that all is well")
	}
}

// refused gives the output of a command that ends with that code.
func (c *creel) refused(code int, args ...string) string {
	c.T.Helper()
	self, err := os.Executable()
	if err != nil {
		c.T.Fatal(err)
	}
	var exit *exec.ExitError
	out, err := exec.CommandContext(c.T.Context(), self, args...).CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		c.T.Errorf("creel %v ended with %v:\n%s", args[1:], err, out)
	}
	return string(out)
}

// TestStartOnReadOnlyFolder: creel is killed, and its data folder has become read-only. The
// next creel serves the gateway that runs on, says what is wrong, and keeps others out; when
// the folder is writable again, all is as ever.
func TestStartOnReadOnlyFolder(t *testing.T) {
	c := onReadOnlyDisk(t)
	before := c.WaitFor("ready", ready)
	c.Kill()
	c.becomeReadOnly()
	c.Launch()
	st := c.waitOverHTTP("the gateway to be adopted", ready)
	if st.PID != before.PID || st.Generation != before.Generation || !st.Adopted {
		t.Errorf("status %+v; the gateway was pid %d, generation %d", st, before.PID, before.Generation)
	}
	c.needSaid(health.DataFolder, health.Journal, health.Control)
	if body := c.Get("/item?id=ro"); !strings.Contains(body, `"ro"`) {
		t.Errorf("a request was answered with %s", body)
	}
	c.needWebSocket()
	if out := c.refused(2, c.Args...); !strings.Contains(out, "another creel uses the data folder") {
		t.Errorf("a second creel says %s", out)
	}
	if out := c.refused(3, harness.AsCreel, "status", "--data-dir", c.DataDir()); !strings.Contains(out, "read-only") || !strings.Contains(out, "/_creel/status") {
		t.Errorf("creel status says %s", out)
	}
	c.becomeWritable()
	if st := c.WaitFor("the control socket to answer", ready); st.PID != before.PID {
		t.Errorf("the gateway was pid %d and is pid %d", before.PID, st.PID)
	}
	c.waitRecovered()
	c.requireEvents("adopted", "degraded")
	c.Crash()
	if st := c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation }); st.Generation != before.Generation+1 {
		t.Errorf("generation %d follows %d", st.Generation, before.Generation)
	}
	c.Post("upgrade") // with the lock as it was taken, for reading
	after := c.WaitFor("the successor", func(next api.Status) bool { return next.OK && next.Creel.PID != c.Cmd.Process.Pid })
	c.AwaitEnd(c.Cmd.Process.Pid)
	if out := c.refused(2, c.Args...); !strings.Contains(out, fmt.Sprintf("(pid %d)", after.Creel.PID)) {
		t.Errorf("the successor, pid %d, has not signed the lock: %s", after.Creel.PID, out)
	}
	if err := syscall.Kill(after.Creel.PID, syscall.SIGTERM); err != nil { // while its folder is there
		t.Fatal(err)
	}
	c.AwaitEnd(after.Creel.PID)
}

func (c *creel) needWebSocket() {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), harness.Patience)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, "ws://"+c.Addr+"/ws", nil)
	if err != nil {
		c.T.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }() // nothing is lost with it
	reads := socket.CloseRead(ctx)
	if err := socket.Ping(ctx); err != nil || reads.Err() != nil {
		c.T.Errorf("a WebSocket: %v", err)
	}
}

// TestStartOnReadOnlyFolderWithoutGateway: likewise, but the gateway has ended too. It is
// started as soon as that can be written.
func TestStartOnReadOnlyFolderWithoutGateway(t *testing.T) {
	c := onReadOnlyDisk(t)
	before := c.WaitFor("ready", ready)
	c.Kill()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.AwaitEnd(before.PID) // else the next creel may see it end, which is another story
	c.becomeReadOnly()
	c.Launch()
	c.needSaid(health.Start, health.Control)
	if st := c.waitOverHTTP("a start to wait", func(st api.Status) bool { return degraded(st, health.Start) }); st.OK || st.Generation != before.Generation || len(c.instances()) != 0 {
		t.Errorf("while nothing can be written: %+v", st)
	}
	c.becomeWritable()
	if st := c.WaitFor("ready", ready); st.Generation != before.Generation+1 || st.Fruitless != 0 {
		t.Errorf("generation %d follows %d; %d were fruitless", st.Generation, before.Generation, st.Fruitless)
	}
	c.waitRecovered()
}

// TestUpgradeOnReadOnlyFolder: an upgrade is refused while it could not be served to its
// end, and the creel that runs carries on.
func TestUpgradeOnReadOnlyFolder(t *testing.T) {
	c := onReadOnlyDisk(t)
	before := c.WaitFor("ready", ready)
	c.becomeReadOnly()
	if out := c.refused(1, harness.AsCreel, "upgrade", "--data-dir", c.DataDir()); !strings.Contains(out, "read-only") {
		t.Errorf("creel upgrade says %s", out)
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID || st.Creel.PID != c.Cmd.Process.Pid {
		t.Errorf("after the upgrade that was refused: %+v", st)
	}
	c.becomeWritable()
}
