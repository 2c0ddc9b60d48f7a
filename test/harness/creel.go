// Package harness is what tests of the whole have in common: a real creel
// process with a crashgw behind it, a load of requests of all kinds, and looks
// at what is left of either.
//
// A test binary that uses it begins its TestMain with RunIfAsked: the creel is
// this very binary, and so is the gateway behind it.
//
// Whatever fails fails the test that the Creel belongs to, with creel's output.
package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/cli"
	"creel/internal/gateway"
	"creel/internal/runtime/process"
	"creel/internal/snapshot/storetest"
	"creel/test/crashgw"
)

// AsCreel as first argument makes a test binary a creel.
const AsCreel = "creel-under-test"

// Patience bounds every wait for something that is bound to happen.
const Patience = 60 * time.Second

// RunIfAsked acts as creel, as a launcher or as crashgw, and does not return, if
// this process was started as one of them.
func RunIfAsked() {
	process.RunLauncher()
	crashgw.RunIfAsked()
	storetest.CheapKeys() // in this process, and in each creel that it starts
	if len(os.Args) > 1 && os.Args[1] == AsCreel {
		// A busy machine may keep creel from letting go of a gateway that it holds still.
		os.Exit(cli.Main(os.Args[2:], append(os.Environ(), "CREEL_SNAPSHOTS_FREEZE_MAX=30s"), os.Stdout, os.Stderr))
	}
}

// Creel is a creel process with a crashgw behind it.
type Creel struct {
	T          *testing.T
	Dir        string // of the test
	LedgerPath string // of crashgw, like the two that follow
	StorePath  string
	LivesPath  string
	Addr       string // where clients connect
	Args       []string
	Cmd        *exec.Cmd
	Output     Output
	Exited     chan struct{} // closed when Cmd has ended
}

// Settings are the creel.yaml of a test. On a busy machine a process may take its
// time to end after it has closed its connections.
const Settings = `
gateway:
  name: crash
  ready: {path: /readyz, timeout: 20s}
  alive: {path: /healthz, timeout: 2s}
  stop: {drain: 2s, grace: 3s}
  restart: {delay: 50ms, max_delay: 500ms, fruitless: 8}
proxy:
  replay:
    crash_window: 3s
    idempotent_routes:
      - {path: /item, header: Idempotency-Key}
`

// Start starts a creel that keeps a crashgw, and waits until it is ready.
func Start(t *testing.T, o crashgw.Options) *Creel {
	t.Helper()
	c := Prepare(t, o)
	c.Launch()
	c.WaitFor("the gateway to be ready", Ready)
	return c
}

// Prepare prepares a creel for Launch.
func Prepare(t *testing.T, o crashgw.Options) *Creel {
	t.Helper()
	return PrepareIn(t, t.TempDir(), o)
}

// PrepareIn is Prepare with all that creel has in a folder of that path.
func PrepareIn(t *testing.T, dir string, o crashgw.Options) *Creel {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := &Creel{T: t, Dir: dir, Addr: "127.0.0.1:" + strconv.Itoa(crashgw.FreePort(t))}
	c.LedgerPath, c.StorePath, c.LivesPath = filepath.Join(c.Dir, "ledger"), filepath.Join(c.Dir, "store"), filepath.Join(c.Dir, "lives")
	o.Ledger, o.Store, o.Lives = c.LedgerPath, c.StorePath, c.LivesPath
	if err := os.WriteFile(c.ConfigPath(), []byte(Settings), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Args = append([]string{AsCreel, "run", "--config", c.ConfigPath(), "--data-dir", c.DataDir(), "--listen", c.Addr, "--"}, crashgw.Command(o)...)
	t.Cleanup(c.end)
	return c
}

// ConfigPath is creel's configuration file.
func (c *Creel) ConfigPath() string { return filepath.Join(c.Dir, "creel.yaml") }

// DataDir is creel's data folder.
func (c *Creel) DataDir() string { return filepath.Join(c.Dir, "data") }

// URL is the address of a path behind creel.
func (c *Creel) URL(path string) string { return "http://" + c.Addr + path }

// Launch starts the creel process.
func (c *Creel) Launch() { c.LaunchWith(func(*exec.Cmd) {}) }

// LaunchWith is Launch with a change to the command.
func (c *Creel) LaunchWith(change func(*exec.Cmd)) {
	c.T.Helper()
	self, err := os.Executable()
	if err != nil {
		c.T.Fatal(err)
	}
	c.Output = Output{filepath.Join(c.Dir, "output")}
	file, err := os.OpenFile(c.Output.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.T.Fatal(err)
	}
	defer file.Close()
	c.Cmd = exec.Command(self, c.Args...)
	c.Cmd.Stdout, c.Cmd.Stderr = file, file
	change(c.Cmd)
	if err := c.Cmd.Start(); err != nil {
		c.T.Fatal(err)
	}
	cmd, exited := c.Cmd, make(chan struct{})
	c.Exited = exited
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(exited)
	}()
}

// Stop stops creel in good order and returns its exit code.
func (c *Creel) Stop() int {
	c.T.Helper()
	if err := c.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.T.Fatal(err)
	}
	c.WaitExit()
	return c.Cmd.ProcessState.ExitCode()
}

// Kill kills creel and waits for its end.
func (c *Creel) Kill() {
	c.T.Helper()
	if err := c.Cmd.Process.Kill(); err != nil {
		c.T.Fatal(err)
	}
	c.WaitExit()
}

// WaitExit waits for creel's end.
func (c *Creel) WaitExit() {
	c.T.Helper()
	select {
	case <-c.Exited:
	case <-time.After(Patience):
		c.T.Fatalf("creel does not end; its output:\n%s", c.Output)
	}
}

// end is the test's end: whatever has come of it, nothing that it has started
// goes on. Creels, successors among them, are asked to end first, so that they
// end their gateways.
func (c *Creel) end() {
	if c.Cmd == nil {
		return
	}
	asked := map[int]bool{}
	Await(Patience, func() bool {
		creels := processesOf(c.DataDir(), AsCreel)
		for pid := range creels {
			if !asked[pid] { // a second time would be an order to let go of all
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended meanwhile
			}
		}
		return len(creels) == 0
	})
	if left := processesOf(c.Dir, ""); len(left) > 0 {
		c.T.Errorf("at the end of the test there still were %v", left)
		Await(Patience, func() bool {
			left := processesOf(c.Dir, "")
			for pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL) // as above
			}
			return len(left) == 0
		})
	}
	if c.T.Failed() {
		c.T.Logf("creel's output:\n%s", c.Output)
	}
}

// Status asks the control socket.
func (c *Creel) Status() (api.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.ControlURL("status"), nil)
	if err != nil {
		return api.Status{}, err
	}
	resp, err := api.Client(c.DataDir()).Do(req)
	if err != nil {
		return api.Status{}, err
	}
	defer resp.Body.Close()
	var st api.Status
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// Ready is a condition for WaitFor.
func Ready(st api.Status) bool { return st.OK }

// WaitFor polls the status until it fulfils a condition.
func (c *Creel) WaitFor(what string, holds func(api.Status) bool) api.Status {
	c.T.Helper()
	var last api.Status
	var lastErr error
	Poll(c.T, what, func() bool {
		last, lastErr = c.Status()
		return lastErr == nil && holds(last)
	}, func() string { return fmt.Sprintf("last status: %+v, %v; output:\n%s", last, lastErr, c.Output) })
	return last
}

// Crash kills the present instance with SIGKILL, wherever it is in its life,
// and returns the status before.
func (c *Creel) Crash() api.Status {
	c.T.Helper()
	st := c.WaitFor("an instance", func(st api.Status) bool {
		return st.PID != 0 && (st.State == gateway.Ready || st.State == gateway.Starting)
	})
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		c.T.Fatalf("cannot kill generation %d: %v", st.Generation, err)
	}
	return st
}

// ReadLedger reads what crashgw has executed.
func (c *Creel) ReadLedger() crashgw.Ledger {
	c.T.Helper()
	l, err := crashgw.ReadLedger(c.LedgerPath)
	if err != nil {
		c.T.Fatal(err)
	}
	return l
}
