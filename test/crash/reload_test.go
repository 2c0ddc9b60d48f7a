package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/snapshot/store"
	"creel/test/crashgw"
	"creel/test/harness"
)

// configure writes the configuration file: the usual one, with texts replaced.
func (c *creel) configure(pairs ...string) {
	c.T.Helper()
	text := strings.NewReplacer(pairs...).Replace(harness.Settings)
	if text == harness.Settings && len(pairs) > 0 {
		c.T.Fatalf("%q changes nothing", pairs)
	}
	if err := os.WriteFile(c.ConfigPath(), []byte(text), 0o600); err != nil {
		c.T.Fatal(err)
	}
}

// command runs a command of creel on the data folder.
func (c *creel) command(args ...string) (stdout, stderr string, code int) {
	c.T.Helper()
	self, err := os.Executable()
	if err != nil {
		c.T.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{harness.AsCreel, "--data-dir", c.DataDir()}, args...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		c.T.Fatal(err)
	}
	return out.String(), log.String(), cmd.ProcessState.ExitCode()
}

// reload reads the configuration again by the command, which must succeed.
func (c *creel) reload() api.Reload {
	c.T.Helper()
	out, log, code := c.command("reload", "--json")
	var r api.Reload
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		c.T.Fatalf("creel reload exits with %d: %s %s (%v)", code, out, log, err)
	}
	return r
}

func keys(changes []config.Change) string {
	var list []string
	for _, c := range changes {
		list = append(list, c.Key+" ("+string(c.Needs)+")")
	}
	return strings.Join(list, ", ")
}

// TestReload: what can count at once does, for requests and for the gateway that
// runs; what the gateway runs with waits for its next start and is said to; what
// is creel's own waits for an upgrade. Flags go on winning over the file.
func TestReload(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.configure("gateway:\n", "listen: 127.0.0.1:1\ngateway:\n  env: {SECRET: hunter2}\n",
		"proxy:\n", "log: {level: error}\nproxy:\n  max_header_bytes: 32KiB\n  timeouts: {response: 150ms}\n", "drain: 2s", "drain: 1s")
	r := c.reload()
	if got := keys(r.Applied); got != "gateway.stop.drain (live), proxy.timeouts.response (live), log.level (live)" {
		t.Errorf("applied: %s", got)
	}
	// --listen wins over listen of the file.
	if got := keys(r.Waiting); got != "gateway.env.SECRET (gateway restart), proxy.max_header_bytes (creel upgrade)" {
		t.Errorf("waiting: %s", got)
	}
	if strings.Contains(c.Events(), "hunter2") || !strings.Contains(c.Events(), `"kind":"config_changed"`) {
		t.Errorf("the journal: %s", c.Events())
	}
	if body := c.Get("/hang?for=10s"); !strings.Contains(body, "response_timeout") {
		t.Errorf("the new bound on answers does not hold: %s", body)
	}
	st := c.WaitFor("ready", ready)
	if st.PID != before.PID || keys(st.PendingChanges) != keys(r.Waiting) {
		t.Errorf("pid %d, was %d; pending: %s", st.PID, before.PID, keys(st.PendingChanges))
	}
	if out, _, code := c.command("status"); code != 0 || !strings.Contains(out, "creel restart") || strings.Contains(out, "hunter2") {
		t.Errorf("creel status: %s", out)
	}
	// The next start, whatever its reason, has the new configuration.
	c.Crash()
	st = c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation })
	if got := keys(st.PendingChanges); got != "proxy.max_header_bytes (creel upgrade)" || st.ConfigHash == before.ConfigHash {
		t.Errorf("pending after the restart: %s; hash %s, was %s", got, st.ConfigHash, before.ConfigHash)
	}
	if strings.Contains(c.Output.String(), "killed by SIGKILL") {
		t.Errorf("a warning is logged at level error:\n%s", c.Output)
	}
	if env := c.Get("/env"); !strings.Contains(env, "hunter2") {
		t.Errorf("the gateway's environment: %s", env)
	}
	// And the next creel has all of it.
	c.Post("upgrade")
	after := c.WaitFor("the successor", ready)
	if after.PID != st.PID || len(after.PendingChanges) != 0 || after.ConfigHash != st.ConfigHash {
		t.Errorf("after the upgrade: pid %d, was %d; pending: %s", after.PID, st.PID, keys(after.PendingChanges))
	}
	c.endSuccessor(after)
}

// TestReloadOfNothing: a file that has not changed changes nothing, and says so.
func TestReloadOfNothing(t *testing.T) {
	c := start(t, crashgw.Options{})
	out, log, code := c.command("reload")
	if code != 0 || !strings.Contains(out, "Nothing has changed") {
		t.Errorf("exit code %d: %s %s", code, out, log)
	}
}

// TestReloadOfAStopped: while no instance runs, what one would run with counts at
// once, and is said to: nothing is to be asked for.
func TestReloadOfAStopped(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.Post("stop?wait=30s")
	c.configure("gateway:\n", "gateway:\n  env: {SECRET: hunter2}\n")
	r := c.reload()
	if applied, waiting := keys(r.Applied), keys(r.Waiting); applied != "gateway.env.SECRET (live)" || waiting != "" {
		t.Errorf("applied: %s; waiting: %s", applied, waiting)
	}
	c.Post("start")
	after := c.WaitFor("ready again", ready)
	if env := c.Get("/env"); !strings.Contains(env, "hunter2") || after.Generation == before.Generation {
		t.Errorf("generation %d has the environment %s", after.Generation, env)
	}
	// What waits and is taken back before it was asked for counts, too: it is what
	// the instance runs with.
	c.configure()
	if r := c.reload(); keys(r.Waiting) != "gateway.env.SECRET (gateway restart)" || len(r.Applied) > 0 {
		t.Errorf("applied: %s; waiting: %s", keys(r.Applied), keys(r.Waiting))
	}
	c.configure("gateway:\n", "gateway:\n  env: {SECRET: hunter2}\n")
	if r := c.reload(); keys(r.Applied) != "gateway.env.SECRET (live)" || len(r.Waiting) > 0 {
		t.Errorf("taken back: applied: %s; waiting: %s", keys(r.Applied), keys(r.Waiting))
	}
}

// TestReloadOfTheState: another state folder is saved from the moment on at which it
// counts, and not before it is said to.
func TestReloadOfTheState(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	one, two := filepath.Join(c.Dir, "one"), filepath.Join(c.Dir, "two")
	for _, dir := range []string{one, two} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(filepath.Base(dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(dirs ...string) {
		c.configure("gateway:\n", "snapshots: {mode: manual}\ngateway:\n  state: ["+strings.Join(dirs, ", ")+"]\n")
	}
	with(one)
	c.Launch()
	before := c.WaitFor("ready", ready)
	with(one, two)
	steps := 0
	for r := c.reload(); len(r.Waiting) > 0; r = c.reload() { // done as it says, until nothing waits
		if steps++; len(r.Applied) > 0 || steps > 3 {
			t.Fatalf("after %d steps: applied: %s; waiting: %s", steps, keys(r.Applied), keys(r.Waiting))
		}
		switch r.Waiting[0].Needs {
		case config.NeedsGatewayRestart:
			c.Post("restart?wait=30s")
		case config.NeedsCreelUpgrade:
			c.Post("upgrade")
		case config.NeedsNothing, config.NeedsCreelRestart:
			t.Fatalf("%+v waits", r.Waiting)
		}
		c.WaitFor("ready", ready)
	}
	var saved store.Snapshot
	out, log, code := c.command("snapshot", "create", "--json")
	if err := json.Unmarshal([]byte(out), &saved); err != nil || code != 0 {
		t.Fatalf("creel snapshot create exits with %d: %s %s (%v)", code, out, log, err)
	}
	if len(saved.RootFiles) != 2 || saved.RootFiles["one"] != 1 || saved.RootFiles["two"] != 1 {
		t.Errorf("saved was %s", out)
	}
	if st := c.WaitFor("ready", ready); st.Creel.PID != before.Creel.PID {
		c.endSuccessor(st)
	}
}

// TestReloadOfRetention: what is kept of snapshots counts at once.
func TestReloadOfRetention(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	state := filepath.Join(c.Dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	keep := func(more string) {
		c.configure("gateway:\n", "snapshots:\n  mode: manual\n"+more+"gateway:\n  state: ["+state+"]\n")
	}
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(state, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		out, log, code := c.command(args...)
		if code != 0 {
			t.Fatalf("creel %q exits with %d: %s", args, code, log)
		}
		return out
	}
	count := func() int { t.Helper(); return strings.Count(run("snapshot", "list", "--json"), `"lineage"`) }
	keep("")
	change("one")
	c.Launch()
	c.WaitFor("ready", ready)
	run("snapshot", "create")
	change("two")
	run("snapshot", "create")
	run("snapshot", "prune")
	before := count()
	keep("  keep: {last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0}\n")
	r := c.reload()
	run("snapshot", "prune")
	if after := count(); len(r.Applied) == 0 || after >= before {
		t.Errorf("applied: %s; %d snapshots before, %d afterwards", keys(r.Applied), before, after)
	}
}

// TestReloadOfNonsense: an invalid file changes nothing, not even what is valid
// in it; all that is wrong is said with its place, and the exit code is 2.
func TestReloadOfNonsense(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.configure("proxy:\n", "nonsense: 1\nproxy:\n  hold: {time: 0s}\n  timeouts: {response: 150ms}\n")
	out, log, code := c.command("reload")
	if code != 2 || out != "" || !strings.Contains(log, "creel.yaml:8:1: nonsense") || !strings.Contains(log, "creel.yaml:10:16: proxy.hold.time") || !strings.Contains(log, "nothing was changed") {
		t.Errorf("exit code %d: %s %s", code, out, log)
	}
	if out, _, code := c.command("reload", "--json"); code != 2 || !strings.Contains(out, `"line": 8`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if body := c.Get("/item?id=slow&delay=400ms"); !strings.Contains(body, `"slow"`) {
		t.Errorf("a part of it counts: %s", body)
	}
	// A file that is valid and meant for another creel is refused as a whole.
	c.configure("gateway:\n", "gateway:\n  preset: openclaw\n", "proxy:\n", "proxy:\n  timeouts: {response: 150ms}\n")
	if _, log, code := c.command("reload"); code != 2 || !strings.Contains(log, "gateway.preset") {
		t.Errorf("exit code %d: %s", code, log)
	}
	if body := c.Get("/item?id=slow2&delay=400ms"); !strings.Contains(body, `"slow2"`) {
		t.Errorf("a part of it counts: %s", body)
	}
	if err := os.Remove(c.ConfigPath()); err != nil {
		t.Fatal(err)
	}
	if _, log, code := c.command("reload"); code != 2 || !strings.Contains(log, "creel.yaml") {
		t.Errorf("without a file: exit code %d: %s", code, log)
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID || len(st.PendingChanges) != 0 {
		t.Errorf("the status is %+v", st)
	}
}

// TestReloadWhileStarting: a gateway that waits to be ready by a condition that
// it cannot fulfil becomes ready by one that it can, without being started again.
func TestReloadWhileStarting(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("path: /readyz", "path: '/status?code=500'")
	c.Launch()
	before := c.WaitFor("the process", func(st api.Status) bool { return st.State == gateway.Starting && st.PID != 0 })
	c.configure()
	if r := c.reload(); keys(r.Applied) != "gateway.ready.path (live)" {
		t.Errorf("applied: %s", keys(r.Applied))
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID {
		t.Errorf("the gateway was pid %d and is pid %d", before.PID, st.PID)
	}
}

// TestReloadMendsAFailedGateway: a gateway that was given up is started again
// when its configuration is another.
func TestReloadMendsAFailedGateway(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("gateway:\n", "gateway:\n  dir: /nowhere-at-all\n")
	c.Launch()
	c.WaitFor("the gateway to be given up", func(st api.Status) bool { return st.State == gateway.Failed })
	c.configure()
	c.reload()
	c.WaitFor("ready", ready)
}

// TestReloadsAtOnce: reloads that come together are done one after the other,
// and the last word is the file's.
func TestReloadsAtOnce(t *testing.T) {
	c := start(t, crashgw.Options{})
	var under sync.WaitGroup
	for n := range 8 {
		under.Go(func() {
			if n%2 == 0 {
				c.configure("drain: 2s", "drain: 1s")
			}
			// The file may be half written: refused then, as a whole.
			if code := c.postCode("reload"); code != http.StatusOK && code != http.StatusUnprocessableEntity {
				t.Errorf("a reload was answered %d", code)
			}
		})
	}
	under.Wait()
	c.configure("drain: 2s", "drain: 900ms")
	c.reload()
	if r := c.reload(); len(r.Applied)+len(r.Waiting) != 0 {
		t.Errorf("a second reload of the same file changes %s", keys(r.Applied))
	}
	c.WaitFor("ready", ready)
}

// TestReloadWhileUpgrading: a reload that meets an upgrade either comes before it
// or is told that the new creel has read the configuration already. In either
// case the new one has it.
func TestReloadWhileUpgrading(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.configure("proxy:\n", "proxy:\n  timeouts: {response: 150ms}\n")
	upgraded := make(chan int, 1)
	go func() { upgraded <- c.postCode("upgrade") }()
	var codes []int
	for len(upgraded) == 0 {
		codes = append(codes, c.postCode("reload"))
	}
	if code := <-upgraded; code != http.StatusOK {
		t.Fatalf("the upgrade was answered %d", code)
	}
	for _, code := range codes {
		if code != http.StatusOK && code != http.StatusServiceUnavailable && code != 0 {
			t.Errorf("a reload was answered %d", code)
		}
	}
	t.Logf("answers to reloads meanwhile: %v", codes)
	st := c.WaitFor("the successor", func(st api.Status) bool { return st.OK && st.Creel.PID != before.Creel.PID })
	if st.PID != before.PID {
		t.Errorf("the gateway was pid %d and is pid %d", before.PID, st.PID)
	}
	// The two listen on the same port until the old one has let go of it, and what
	// it has accepted it answers as it is configured: only what comes after its end
	// tells of the successor.
	c.AwaitEnd(c.Cmd.Process.Pid)
	if body := c.Get("/hang?for=10s"); !strings.Contains(body, "response_timeout") {
		t.Errorf("the successor has not read the configuration: %s", body)
	}
	c.endSuccessor(st)
}

// postCode asks the control socket for something and gives the answer's status;
// 0: nobody was there in this moment.
func (c *creel) postCode(what string) int {
	client := api.Client(c.DataDir())
	client.Timeout = harness.Patience
	resp, err := client.Post(api.ControlURL(what), "", nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body) // what counts is the status
	_ = resp.Body.Close()
	return resp.StatusCode
}

// endSuccessor stops a creel that is no child of this process.
func (c *creel) endSuccessor(st api.Status) {
	c.T.Helper()
	if p, err := os.FindProcess(st.Creel.PID); err != nil || p.Signal(os.Interrupt) != nil {
		c.T.Fatalf("cannot end creel %d", st.Creel.PID)
	}
	c.AwaitEnd(st.Creel.PID)
	c.AwaitEnd(c.Cmd.Process.Pid)
}

// TestUpgradeToAnotherGateway: an upgrade refuses a configuration under which the
// running gateway would be nobody's.
func TestUpgradeToAnotherGateway(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.configure("name: crash", "name: other")
	if _, log, code := c.command("upgrade"); code != 1 || !strings.Contains(log, "gateway.name is now other, but crash is running") {
		t.Errorf("exit code %d: %s", code, log)
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID || st.Creel.PID != before.Creel.PID {
		t.Errorf("the status is %+v", st)
	}
	if r := c.reload(); keys(r.Waiting) != "gateway.name (creel restart)" {
		t.Errorf("a reload has waiting %s", keys(r.Waiting))
	}
}
