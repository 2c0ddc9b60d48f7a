// Package crash puts a real creel in front of crashgw, loads it, kills what can
// be killed, and counts: what clients saw, what the gateway executed (its
// ledger), and how often it was started.
package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/api"
	"creel/internal/cli"
	"creel/internal/gateway"
	"creel/internal/runtime/process"
	"creel/test/crashgw"
)

// asCreel as first argument makes this test binary a creel.
const asCreel = "creel-under-test"

// patience bounds every wait for something that is bound to happen.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	process.RunLauncher()
	crashgw.RunIfAsked()
	if len(os.Args) > 1 && os.Args[1] == asCreel {
		os.Exit(cli.Main(os.Args[2:], os.Environ(), os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// creel is a creel process with a crashgw behind it.
type creel struct {
	t      *testing.T
	dir    string
	ledger string
	addr   string // where clients connect
	args   []string
	cmd    *exec.Cmd
	output output
	exited chan struct{}
}

// settings are the creel.yaml of a test.
const settings = `
gateway:
  name: crash
  ready: {path: /readyz, timeout: 20s}
  alive: {path: /healthz, timeout: 2s}
  stop: {drain: 2s, grace: 3s}
  restart: {delay: 50ms, max_delay: 500ms, fruitless: 8}
proxy:
  replay:
    idempotent_routes:
      - {path: /item, header: Idempotency-Key}
`

// start starts a creel that keeps a crashgw, and waits until it is ready.
func start(t *testing.T, o crashgw.Options) *creel {
	t.Helper()
	c := prepare(t, o)
	c.launch()
	c.waitFor("the gateway to be ready", func(st api.Status) bool { return st.OK })
	return c
}

func prepare(t *testing.T, o crashgw.Options) *creel {
	t.Helper()
	c := &creel{t: t, dir: t.TempDir(), addr: "127.0.0.1:" + strconv.Itoa(crashgw.FreePort(t))}
	c.ledger = filepath.Join(c.dir, "ledger")
	o.Ledger = c.ledger
	file := c.config()
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	c.args = append([]string{asCreel, "run", "--config", file, "--data-dir", c.dataDir(), "--listen", c.addr, "--"}, crashgw.Command(o)...)
	t.Cleanup(c.end)
	return c
}

func (c *creel) config() string  { return filepath.Join(c.dir, "creel.yaml") }
func (c *creel) dataDir() string { return filepath.Join(c.dir, "data") }

// launch starts the creel process.
func (c *creel) launch() { c.start(func(*exec.Cmd) {}) }

// start is launch with a change to the command.
func (c *creel) start(change func(*exec.Cmd)) {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.output = output{filepath.Join(c.dir, "output")}
	file, err := os.OpenFile(c.output.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	c.cmd = exec.Command(self, c.args...)
	c.cmd.Stdout, c.cmd.Stderr = file, file
	change(c.cmd)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	cmd, exited := c.cmd, make(chan struct{})
	c.exited = exited
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(exited)
	}()
}

// stop stops creel in good order and returns its exit code.
func (c *creel) stop() int {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	c.waitExit()
	return c.cmd.ProcessState.ExitCode()
}

func (c *creel) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.waitExit()
}

func (c *creel) waitExit() {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.t.Fatalf("creel does not end; its output:\n%s", c.output)
	}
}

// end is the test's end: creel is stopped, and nothing of it may be left.
func (c *creel) end() {
	if c.cmd == nil {
		return
	}
	select {
	case <-c.exited:
	default:
		c.stop()
	}
	if c.t.Failed() {
		c.t.Logf("creel's output:\n%s", c.output)
	}
}

// status asks the control socket.
func (c *creel) status() (api.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.ControlURL("status"), nil)
	if err != nil {
		return api.Status{}, err
	}
	resp, err := api.Client(c.dataDir()).Do(req)
	if err != nil {
		return api.Status{}, err
	}
	defer resp.Body.Close()
	var st api.Status
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// waitFor polls the status until it fulfils a condition.
func (c *creel) waitFor(what string, holds func(api.Status) bool) api.Status {
	c.t.Helper()
	var last api.Status
	var lastErr error
	poll(c.t, what, func() bool {
		last, lastErr = c.status()
		return lastErr == nil && holds(last)
	}, func() string { return fmt.Sprintf("last status: %+v, %v; output:\n%s", last, lastErr, c.output) })
	return last
}

// poll waits until a condition holds.
func poll(t *testing.T, what string, holds func() bool, explain func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %s", what, explain())
		}
	}
}

// crash kills the present instance with SIGKILL, wherever it is in its life,
// and returns the status before.
func (c *creel) crash() api.Status {
	c.t.Helper()
	st := c.waitFor("an instance", func(st api.Status) bool {
		return st.PID != 0 && (st.State == gateway.Ready || st.State == gateway.Starting)
	})
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		c.t.Fatalf("cannot kill generation %d: %v", st.Generation, err)
	}
	return st
}

func (c *creel) url(path string) string { return "http://" + c.addr + path }

// output is the file that creel and its successors write to. A pipe would keep
// Wait from returning until the last of them has ended.
type output struct{ path string }

func (o output) String() string {
	b, err := os.ReadFile(o.path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// processesOf lists what runs with the given text in its command line, this
// process left out.
func processesOf(t *testing.T, text string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(text)) {
			found = append(found, fmt.Sprintf("%d: %s", pid, strings.ReplaceAll(string(line), "\x00", " ")))
		}
	}
	return found
}

func portOpen(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}
