package crash

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"creel/internal/api"
	"creel/internal/runtime/process"
	"creel/test/crashgw"
	"creel/test/harness"
)

// gatewayDir is the folder of the gateway's record.
func (c *creel) gatewayDir() string { return filepath.Join(c.DataDir(), "gateways", "crash") }

// instances are the crashgw processes of this test.
func (c *creel) instances() []string {
	return slices.DeleteFunc(harness.ProcessesOf(c.T, "--ledger="+c.LedgerPath), func(line string) bool {
		return strings.Contains(line, c.Addr) // creel itself
	})
}

func (c *creel) requireEvents(kinds ...string) {
	c.T.Helper()
	events := c.Events()
	for _, k := range kinds {
		if !strings.Contains(events, `"kind":"`+k+`"`) {
			c.T.Errorf("no event %s:\n%s", k, events)
		}
	}
}

// TestFoundFrozen: a creel dies while its gateway is frozen, as it is for a
// snapshot. The next one thaws it and takes it over.
func TestFoundFrozen(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.Kill()
	r, err := process.New(process.Options{Dir: c.gatewayDir(), DataDir: c.DataDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	inst, err := r.Find(t.Context())
	if err == nil {
		err = inst.Freeze(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c.Launch()
	if st := c.WaitFor("ready", ready); st.PID != before.PID || st.Generation != before.Generation || !st.Adopted {
		t.Errorf("status %+v, it was pid %d", st, before.PID)
	}
	if body := c.Get("/item?id=after"); !strings.Contains(body, `"after"`) {
		t.Errorf("it answered %s", body)
	}
	c.requireEvents("thawed", "adopted")
}

// TestFoundWedged: an instance that does not answer any more is replaced by the
// creel that finds it.
func TestFoundWedged(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.Kill()
	if err := syscall.Kill(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.Launch()
	st := c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation })
	if st.LastEnd == nil || st.LastEnd.Cause != "not_ready" {
		t.Errorf("its end: %+v", st.LastEnd)
	}
	if all := c.instances(); len(all) != 1 {
		t.Errorf("instances: %v", all)
	}
}

// TestRestoredFolder: the record is that of an older copy of the data folder, and
// names an instance that is long dead. The one that runs is ended before another
// is started.
func TestRestoredFolder(t *testing.T) {
	c := start(t, crashgw.Options{})
	record := filepath.Join(c.gatewayDir(), "instance.json")
	old, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	c.Post("restart")
	c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == 2 })
	c.Kill()
	if err := os.WriteFile(record, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Launch()
	c.WaitFor("the third", func(st api.Status) bool { return st.OK && st.Generation == 3 })
	if all := c.instances(); len(all) != 1 {
		t.Errorf("instances: %v", all)
	}
	c.requireEvents("exited", "stray", "killed")
}

// TestTwoCandidates: two instances live, and one is recorded. It is kept and
// taken over, the other is told of and left alone, until the gateway is started
// anew: then neither is left.
func TestTwoCandidates(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.Kill()
	other := c.beside(before.PID)
	c.Launch()
	st := c.WaitFor("ready", ready)
	if st.PID != before.PID || st.Generation != before.Generation || !st.Adopted {
		t.Errorf("status %+v, it was pid %d", st, before.PID)
	}
	if len(st.Strays) != 1 || st.Strays[0].PID != other {
		t.Errorf("strays %+v, it is pid %d", st.Strays, other)
	}
	if all := c.instances(); len(all) != 2 {
		t.Errorf("instances: %v", all)
	}
	c.Post("restart")
	c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation && len(st.Strays) == 0 })
	if all := c.instances(); len(all) != 1 {
		t.Errorf("instances: %v", all)
	}
	c.requireEvents("adopted", "stray", "killed")
}

// beside runs another crashgw in a cgroup beside that of an instance, as one
// whose record was lost, and returns its pid.
func (c *creel) beside(instance int) int {
	c.T.Helper()
	record, err := os.ReadFile(filepath.Join(c.gatewayDir(), "instance.json"))
	if err != nil {
		c.T.Fatal(err)
	}
	var kept struct{ Cgroup string }
	if err := json.Unmarshal(record, &kept); err != nil || kept.Cgroup == "" {
		c.T.Fatalf("the record names no cgroup (%v): %s", err, record)
	}
	group := filepath.Join(filepath.Dir(kept.Cgroup), "g77")
	if err := os.Mkdir(group, 0o755); err != nil {
		c.T.Fatal(err)
	}
	argv := crashgw.Command(crashgw.Options{Port: crashgw.FreePort(c.T), Ledger: c.LedgerPath})
	cmd := exec.Command("/bin/sh", append([]string{"-ec", `echo $$ >"$0/cgroup.procs"; exec "$@"`, group}, argv...)...)
	cmd.Env = []string{}
	if err := cmd.Start(); err != nil {
		c.T.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // it is killed
	c.T.Cleanup(func() {
		_ = cmd.Process.Kill() // by creel, as a rule
		<-ended
	})
	harness.Poll(c.T, "the other instance to be in its cgroup", func() bool {
		there, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		return err == nil && len(there) > 0
	}, func() string { return strings.Join(c.instances(), "\n") })
	return cmd.Process.Pid
}
