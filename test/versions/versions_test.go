// Package versions has a real creel exchange versions of OpenClaw, installed by a
// stand-in for npm: some work, and others fail in the ways that versions fail.
package versions

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/test/crashgw"
	"creel/test/harness"
)

const settings = `
gateway:
  preset: openclaw
  version: 1.0.0
  ready: {timeout: 8s}
  alive: {timeout: 8s}
  stop: {drain: 1s, grace: 2s}
  restart: {delay: 50ms, max_delay: 200ms}
  openclaw: {trial: 3s}
auth: {mode: none}
log: {level: debug}
`

type creel struct {
	*harness.Creel
	env []string
}

// up starts a creel with version 1.0.0 behind it.
func up(t *testing.T) *creel {
	t.Helper()
	c := &creel{Creel: harness.Prepare(t, crashgw.Options{})}
	if err := os.WriteFile(c.ConfigPath(), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(c.Dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "npm")); err != nil {
		t.Fatal(err)
	}
	c.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+c.Dir,
		"GORACE=atexit_sleep_ms=0") // else each creel and each launcher of the race detector ends a second late
	c.Args = []string{harness.AsCreel, "up", "openclaw", "--config", c.ConfigPath(), "--data-dir", c.DataDir(), "--listen", c.Addr}
	c.launch()
	c.WaitFor("version 1.0.0", harness.Ready)
	return c
}

func (c *creel) launch() {
	c.T.Helper()
	c.LaunchWith(func(cmd *exec.Cmd) { cmd.Env = c.env })
}

// call runs creel's command line.
func (c *creel) call(args ...string) (stdout, stderr string, code int) {
	c.T.Helper()
	self, err := os.Executable()
	if err != nil {
		c.T.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(self, append(append([]string{harness.AsCreel}, args...), "--data-dir", c.DataDir())...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		c.T.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// state is what a file of the gateway's state says, in one line.
func (c *creel) state(name string) string {
	b, err := os.ReadFile(filepath.Join(c.DataDir(), "openclaw", "home", ".openclaw", name))
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

func (c *creel) versions() (v api.OpenClawVersions) {
	c.T.Helper()
	out, errs, code := c.call("openclaw", "versions", "--json")
	if code != 0 {
		c.T.Fatalf("creel openclaw versions: %d, %s", code, errs)
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.T.Fatal(err)
	}
	return v
}

// wantOld checks that version 1.0.0 serves, on the state that it had.
func (c *creel) wantOld(versions string) {
	c.T.Helper()
	c.WaitFor("the old version", harness.Ready)
	if got := c.Get("/"); got != "1.0.0" {
		c.T.Errorf("%s serves", got)
	}
	if got := c.state("versions"); got != versions {
		c.T.Errorf("the state was used by %q; want %q", got, versions)
	}
	if v := c.versions(); v.Used != "1.0.0" || v.Trial != nil || v.Last == nil || v.Last.OK || v.Last.Reason == "" {
		c.T.Errorf("versions: %+v", v)
	}
}

// A version that works is the one that runs from then on, whatever the configuration
// said before.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	c := up(t)
	out, errs, code := c.call("openclaw", "upgrade", "2.0.0", "--json")
	var report openclaw.UpgradeReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || !report.OK || report.From != "1.0.0" || report.To != "2.0.0" || report.Snapshot == "" {
		t.Fatalf("creel openclaw upgrade: %d, %s, %s", code, out, errs)
	}
	for _, step := range []string{"installing OpenClaw 2.0.0", "taking a snapshot", "takes the place of 1.0.0", "has to stay well"} {
		if !strings.Contains(errs, step) {
			t.Errorf("it does not tell that it is %s:\n%s", step, errs)
		}
	}
	if got := c.Get("/"); got != "2.0.0" || c.state("versions") != "1.0.0 2.0.0" {
		t.Errorf("%s serves, after %s", got, c.state("versions"))
	}
	if _, errs, code := c.call("openclaw", "upgrade", "2.0.0"); code != 1 || !strings.Contains(errs, "is the one that runs") {
		t.Errorf("the same again: %d, %s", code, errs)
	}
	// It outlives creel and its gateway.
	if code := c.Stop(); code != 0 {
		t.Fatalf("creel ended with %d", code)
	}
	c.launch()
	c.WaitFor("the new version", harness.Ready)
	if got := c.Get("/"); got != "2.0.0" {
		t.Errorf("after a restart of creel %s serves", got)
	}
	if v := c.versions(); v.Used != "2.0.0" || len(v.Installed) != 2 || !v.Installed[1].Used || !v.Installed[0].Whole {
		t.Errorf("versions: %+v", v)
	}
	if out, _, _ := c.call("openclaw", "versions"); !strings.Contains(out, "2.0.0") || !strings.Contains(out, "it was 1.0.0") {
		t.Errorf("creel openclaw versions:\n%s", out)
	}
}

// A version that does not work leaves nothing behind but its installation, and the
// report says why.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	for version, why := range map[string]string{
		"2.0.0-exit1":  "exit code 1",
		"2.0.0-exit78": "configuration",
		"2.0.0-never":  "not ready within 8s",
		"2.0.0-falls":  "exit code 1",
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := up(t)
			out, errs, code := c.call("openclaw", "upgrade", version)
			if code != 1 || !strings.Contains(errs, why) || !strings.Contains(errs, "1.0.0 and its state are back") {
				t.Errorf("creel openclaw upgrade: %d\n%s\n%s", code, out, errs)
			}
			c.wantOld("1.0.0 1.0.0")
			if events := c.Events(); !strings.Contains(events, "openclaw_rolled_back") {
				t.Errorf("the journal does not tell of it:\n%s", events)
			}
		})
	}
}

// A creel that is killed in the middle brings it to its end when it is back.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	upgrade := func(c *creel, version string) {
		t.Helper()
		before, err := c.Status()
		if err != nil {
			c.T.Fatal(err)
		}
		asked := make(chan struct{})
		go func() { // ends with creel
			defer close(asked)
			c.call("openclaw", "upgrade", version)
		}()
		c.WaitFor("an instance of the new version", func(st api.Status) bool {
			return st.Generation > before.Generation && st.PID != 0 && (st.State == gateway.Starting || st.State == gateway.Ready)
		})
		c.Kill()
		<-asked
		c.launch()
	}
	t.Run("works", func(t *testing.T) {
		t.Parallel()
		c := up(t)
		upgrade(c, "2.0.0")
		harness.Poll(t, "the upgrade to end", func() bool { v, err := c.Status(); return err == nil && v.OK && c.versions().Last != nil }, func() string { return "" })
		if v := c.versions(); v.Used != "2.0.0" || !v.Last.OK || c.Get("/") != "2.0.0" {
			t.Errorf("versions: %+v", v)
		}
	})
	t.Run("does not", func(t *testing.T) {
		t.Parallel()
		c := up(t)
		upgrade(c, "2.0.0-never")
		harness.Poll(t, "the way back", func() bool { v, err := c.Status(); return err == nil && v.OK && c.versions().Last != nil }, func() string { return "" })
		c.wantOld("1.0.0 1.0.0")
	})
}

// A way back that is cut off, since creel is stopped or replaced, is gone to its end by the
// next creel: it has not failed.
func TestWayBackIsCutOff(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*creel){
		"stop":    func(c *creel) { c.Stop(); c.launch() },
		"upgrade": func(c *creel) { c.Post("upgrade") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := up(t)
			asked := make(chan struct{})
			go func() { // ends with creel, or with the upgrade
				defer close(asked)
				c.call("openclaw", "upgrade", "2.0.0-exit1")
			}()
			harness.Poll(t, "the way back to begin", func() bool { return strings.Contains(c.Events(), "openclaw_rolling_back") }, func() string { return c.Output.String() })
			cut(c)
			<-asked
			harness.Poll(t, "its end", func() bool { v, err := c.Status(); return err == nil && v.OK && c.versions().Last != nil }, func() string { return c.Output.String() })
			c.wantOld("1.0.0 1.0.0")
		})
	}
}
