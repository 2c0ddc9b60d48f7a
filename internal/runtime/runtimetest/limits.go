package runtimetest

import (
	"errors"
	"testing"

	"creel/internal/runtime"
)

// limited starts App with limits. nil: the runtime has refused to, and has left
// nothing behind. Either is right; to start without the limit is not.
func limited(t *testing.T, o *opened, what string, limits runtime.Limits) runtime.Instance {
	t.Helper()
	spec := o.spec(t, appServe)
	spec.Limits = limits
	i, err := o.Start(t.Context(), spec)
	var refused *runtime.LimitError
	if errors.As(err, &refused) {
		if refused.What != what || refused.Why == "" {
			t.Errorf("start: %+v, want a refusal of %s", refused, what)
		}
		if _, err := o.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
			t.Errorf("find after a refusal: %v", err)
		}
		t.Log(err)
		return nil
	}
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	awaitServes(t, i)
	return i
}

func testLimitMemory(t *testing.T, h Harness) {
	const memory = 64 << 20
	o := open(t, h)
	i := limited(t, o, "memory", runtime.Limits{Memory: memory})
	if i == nil {
		return
	}
	Hog(t, i.Addr())
	exit := awaitDone(t, i)
	if !exit.OOM || exit.MemoryLimit != memory || exit.PeakMemory < memory/2 {
		t.Errorf("exit: %+v (%s)", exit, exit)
	}
	mustKill(t, i)
	requireGone(t, o, i)
}

func testLimitPIDs(t *testing.T, h Harness) {
	const pids = 64
	o := open(t, h)
	i := limited(t, o, "pids", runtime.Limits{PIDs: pids})
	if i == nil {
		return
	}
	// A program of Go's also ends if it cannot have a thread that it needs.
	if n, ended := count(t, i.Addr(), "/processes"); !ended && n >= pids {
		t.Errorf("it started %d processes", n)
	}
	mustKill(t, i)
	requireGone(t, o, i)
}

func testLimitFiles(t *testing.T, h Harness) {
	const files = 100
	o := open(t, h)
	i := limited(t, o, "open_files", runtime.Limits{OpenFiles: files})
	if i == nil {
		return
	}
	if n, ended := count(t, i.Addr(), "/files"); ended || n == 0 || n >= files {
		t.Errorf("it opened %d files more (ended: %t)", n, ended)
	}
	mustKill(t, i)
	requireGone(t, o, i)
}
