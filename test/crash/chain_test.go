package crash

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/crashpoint"
	"creel/test/crashgw"
	"creel/test/harness"
)

// stopAt names, in a creel's environment, the point at which it is asked to stop.
const stopAt = "TEST_STOP_AT"

// stopAtPoint has this process be asked to stop, as by a service manager, at the point that
// its environment names.
func stopAtPoint() {
	at := crashpoint.Point(os.Getenv(stopAt))
	if at == "" {
		return
	}
	crashpoint.Arm(func(p crashpoint.Point) {
		if p != at {
			return
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			panic(err)
		}
		time.Sleep(time.Second) // nothing tells when creel has taken the signal in
	})
}

// TestRestartWaitsForAllThatDrain: of three creels in a row the one in the midst, which has
// nothing of its own, ends; a restart waits for what the first one has all the same.
func TestRestartWaitsForAllThatDrain(t *testing.T) {
	c := start(t, crashgw.Options{})
	first := c.WaitFor("ready", ready)
	c.configure("drain: 2s", "drain: 30s")
	c.reload()
	conn, rw := c.dial()
	beginPost(t, rw, 30)
	c.Post("upgrade")
	second := c.WaitFor("the second creel", func(st api.Status) bool { return st.OK && st.Creel.PID != first.Creel.PID })
	c.Post("upgrade")
	c.Post("restart")
	if code := outcome(t, rw); code != "" {
		t.Errorf("a request that the first creel has is told %q, and drain is not over", code)
	}
	c.AwaitEnd(second.Creel.PID)
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	c.AwaitEnd(first.Creel.PID)
	st := c.WaitFor("the restart", func(st api.Status) bool { return st.OK && st.Generation == first.Generation+1 })
	c.endSuccessor(st)
}

// TestStopInTheMomentOfAnUpgrade: a creel that is asked to stop when its successor is in
// charge already, and does not know of that, has it stop the gateway. What the old one has
// with the gateway is waited for.
func TestStopInTheMomentOfAnUpgrade(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("drain: 2s", "drain: 30s")
	c.LaunchWith(func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), stopAt+"="+string(crashpoint.UpgradeHeard)) })
	st := c.WaitFor("ready", ready)
	conn, rw := c.dial()
	beginPost(t, rw, 30)
	c.Post("upgrade")
	if code := outcome(t, rw); code != "" {
		t.Errorf("a request that the old creel has is told %q, and drain is not over", code)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	c.WaitExit()
	harness.Poll(t, "the successor to end", func() bool { return len(harness.ProcessesOf(t, c.LedgerPath)) == 0 }, c.Output.String)
	c.NothingLeft(st)
}
