// Package runtimetest is the contract of package runtime as a test suite. Every
// kind of runtime passes it.
//
// The suite starts an app, App, which is built into the test binary: TestMain
// of the package under test calls App if it was started as one. The app answers
// over HTTP what it finds around itself, and misbehaves on demand.
//
// What only one kind of runtime can do (records, cgroups, images) is tested in
// its own package.
package runtimetest

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"creel/internal/runtime"
	"creel/test/crashgw"
)

// limit bounds every wait of the suite. It is far longer than anything takes;
// nothing is measured against it.
const limit = 30 * time.Second

// Runtime is a runtime that can be let go of, as when creel ends.
type Runtime interface {
	runtime.Runtime
	// Close lets go of the instances without ending them.
	Close()
}

// Harness is one kind of runtime, with nothing running in it.
type Harness struct {
	// Open gives the runtime of one gateway. Each call is a creel that has
	// just been started on the same folder; the one before is closed by then.
	Open func(t *testing.T) Runtime
	// Command runs App; the suite appends the app's arguments.
	Command []string
	// Env is what Command needs in its environment to be App.
	Env []string
	// Scratch is a folder that the instance sees under the same path.
	Scratch string
	// NotExecutable is a file, as the instance sees it, that cannot be executed.
	NotExecutable string
}

// Run runs the suite. open is called for each test.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	tests := []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"starts and tells its record", testStart},
		{"environment is exactly the spec's", testEnvironment},
		{"inherits nothing else", testInheritsNothing},
		{"exit code", testExitCode},
		{"killed by a signal", testExitSignal},
		{"terminate", testTerminate},
		{"kill of one that ignores SIGTERM", testKillStubborn},
		{"kill ends an orphan that keeps the port", testKillOrphan},
		{"kill twice and at once", testKillTwice},
		{"kill is bounded by its context", testKillCancelled},
		{"start after kill", testStartAgain},
		{"start while an instance is recorded", testStartSecond},
		{"start with a cancelled context", testStartCancelled},
		{"command not found", testCommandMissing},
		{"command not executable", testCommandNotExecutable},
		{"port taken", testPortTaken},
		{"find without a record", testFindNone},
		{"find after a restart of creel", testFindAlive},
		{"find one that ended meanwhile", testFindDead},
		{"find what a dead one left behind", testFindOrphan},
		{"limit of memory", testLimitMemory},
		{"limit of processes", testLimitPIDs},
		{"limit of open files", testLimitFiles},
		{"freeze holds all of it still", testFreeze},
		{"freeze holds what forks", testFreezeForking},
		{"freeze twice, thaw twice", testFreezeTwice},
		{"freeze is bounded by its context", testFreezeCancelled},
		{"freeze of one that has ended", testFreezeEnded},
		{"freeze after kill, kill after freeze", testKillFrozen},
		{"kill during a freeze", testKillFreezing},
		{"terminate thaws", testTerminateFrozen},
		{"found frozen after a restart of creel", testFindFrozen},
		{"killed frozen after a restart of creel", testKillFoundFrozen},
		{"late thaw leaves the next generation alone", testLateThaw},
		{"late kill leaves the next generation alone", testLateKill},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// opened is a Runtime in use by a test; it can be exchanged for a fresh one.
type opened struct {
	Runtime
	h Harness
}

// open opens the runtime, and sees to it that nothing outlives the test.
func open(t *testing.T, h Harness) *opened {
	t.Helper()
	o := &opened{Runtime: h.Open(t), h: h}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		defer o.Close()
		i, err := o.Find(ctx)
		if err == nil {
			err = i.Kill(ctx)
		}
		if err != nil && !errors.Is(err, runtime.ErrNoInstance) {
			t.Errorf("clearing away: %v", err)
		}
	})
	return o
}

// reopen is a restart of creel.
func (o *opened) reopen(t *testing.T) {
	t.Helper()
	o.Close()
	o.Runtime = o.h.Open(t)
}

// spec is a Spec that runs App on a free port.
func (o *opened) spec(t *testing.T, args ...string) runtime.Spec {
	t.Helper()
	port := crashgw.FreePort(t)
	return runtime.Spec{
		Gateway:    "contract",
		Generation: 1,
		Command:    append(slices.Clone(o.h.Command), args...),
		Env:        append(slices.Clone(o.h.Env), "PORT="+strconv.Itoa(port)),
		Port:       port,
		ConfigHash: "c0ffee",
	}
}

// start starts App and waits until it serves.
func (o *opened) start(t *testing.T, spec runtime.Spec) runtime.Instance {
	t.Helper()
	i, err := o.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	awaitServes(t, i)
	return i
}

func awaitServes(t *testing.T, i runtime.Instance) {
	t.Helper()
	Await(t, "the app serves", func() bool {
		conn, err := net.Dial("tcp", i.Addr())
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// Await polls a condition that has no event, until it holds.
func Await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// awaitDone waits for the end of the main process.
func awaitDone(t *testing.T, i runtime.Instance) runtime.Exit {
	t.Helper()
	select {
	case <-i.Done():
		return i.Exit()
	case <-time.After(limit):
		t.Fatal("Done was not closed")
		return runtime.Exit{}
	}
}

func mustKill(t *testing.T, i runtime.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := i.Kill(ctx); err != nil {
		t.Fatalf("kill: %v", err)
	}
}
