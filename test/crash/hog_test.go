package crash

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/test/crashgw"
	"creel/test/harness"
)

// limitedGateway is a gateway under a limit.
func limitedGateway(t *testing.T, limits string) *creel {
	t.Helper()
	c := prepare(t, crashgw.Options{})
	c.configure("gateway:\n", "gateway:\n  limits: {"+limits+"}\n")
	c.Launch()
	st := c.WaitFor("the gateway", func(st api.Status) bool { return st.OK || st.State == gateway.Failed })
	if !st.OK {
		t.Fatalf("the limit cannot be enforced here: %s; this test needs cgroups that creel may write to", st.Reason)
	}
	return c
}

// answers looks whether creel itself, and the owner's door, answer.
func (c *creel) answers(what string) {
	c.T.Helper()
	for range 20 {
		if body := c.Get("/_creel/healthz"); !strings.Contains(body, "live") {
			c.T.Fatalf("beside %s creel answers %s", what, body)
		}
	}
	if _, err := c.Status(); err != nil {
		c.T.Fatalf("beside %s the owner is not answered: %v", what, err)
	}
}

// TestMemoryHog: a gateway that takes all memory is ended by the kernel at its
// limit, is said to have been, with how much it used, and is started again.
func TestMemoryHog(t *testing.T) {
	c := limitedGateway(t, "memory: 96MiB")
	before := c.WaitFor("ready", ready)
	c.Get("/hog?kind=memory")
	c.answers("a memory hog")
	st := c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation })
	end := st.LastEnd
	if end == nil || end.Cause != gateway.CauseOOM || end.Generation != before.Generation {
		t.Fatalf("the last end is told as %+v", end)
	}
	if !strings.Contains(end.Message, "limit 96 MiB, peak ") || !strings.Contains(end.Hint, "gateway.limits.memory") {
		t.Errorf("the end is told as %q, with the hint %q", end.Message, end.Hint)
	}
	if st.Generation != before.Generation+1 || st.Restarts != 1 {
		t.Errorf("generation %d, %d restarts", st.Generation, st.Restarts)
	}
}

// TestForkBomb: a gateway that starts processes without end meets its limit; creel
// goes on, and not one of them is left after the gateway's end. The gateway itself
// may die of the limit (a Go program does that cannot have another thread).
func TestForkBomb(t *testing.T) {
	c := limitedGateway(t, "pids: 60")
	before := c.WaitFor("ready", ready)
	c.Get("/hog?kind=processes")
	var out string
	harness.Poll(t, "the limit", func() bool {
		out, _, _ = c.command("logs")
		st, err := c.Status()
		return strings.Contains(out, "no more processes") || err == nil && st.Restarts > 0
	}, func() string { return out })
	c.answers("a fork bomb")
	c.Post("restart?wait=30s")
	if st := c.WaitFor("ready", ready); st.Generation <= before.Generation {
		t.Errorf("generation %d follows %d", st.Generation, before.Generation)
	}
	// Its processes were in its cgroup, and have ended with it.
	if left := childrenOf(before.PID); len(left) > 0 {
		t.Errorf("left of it: %v", left)
	}
}

// childrenOf lists the processes of a session: the gateway has its own.
func childrenOf(session int) []string {
	var found []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // proc_pid_stat(5): state ppid pgrp session
		var state string
		var ppid, pgrp, sid int
		if n, _ := fmt.Sscan(rest, &state, &ppid, &pgrp, &sid); n == 4 && sid == session && state != "Z" {
			found = append(found, string(stat))
		}
	}
	return found
}

// TestCPUHog: a gateway that keeps eight threads busy, within its share of a
// core, is no crash and no hang; it and creel are answered.
func TestCPUHog(t *testing.T) {
	c := limitedGateway(t, "cpu: 50")
	before := c.WaitFor("ready", ready)
	c.Get("/hog?kind=cpu")
	c.answers("a CPU hog")
	r := &harness.Request{ID: "busy", Kind: "get"}
	r.Err = c.getInto(r)
	if !r.OK() {
		t.Errorf("a request for the busy gateway: %v", r)
	}
	if st := c.WaitFor("ready", ready); st.Generation != before.Generation {
		t.Errorf("the gateway was restarted: generation %d, %+v", st.Generation, st.LastEnd)
	}
}
