package process

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"creel/internal/runtime/runtimetest"
)

// vforkerRole starts children, one after the other, which each take their time between
// vfork(2) and execve(2), with thousands of descriptors to put in their places. args[0]
// is a mark that it has begun.
func vforkerRole(args []string) int {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 1
	}
	files := make([]uintptr, 3000)
	for i := range files {
		files[i] = null.Fd()
	}
	for begun := false; ; begun = true {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Files: files})
		if err != nil {
			return 1
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			return 1
		}
		if !begun && os.WriteFile(args[0], nil, 0o600) != nil {
			return 1
		}
	}
}

// TestFreezeInVfork: a thread that is in vfork(2) does not stop before its child has
// executed a program, and so never if that is stopped.
func TestFreezeInVfork(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "begun")
	i := mustStart(t, testRuntime(t, dir, Support{Path: NoCgroup}), roleSpec(freePort(t), "vforker", mark)).(*instance)
	runtimetest.Await(t, "the first child", func() bool { _, err := os.Stat(mark); return err == nil })
	for range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		err := i.Freeze(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		all, err := i.processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if stopped, err := allThreadsStopped(p.PID); err != nil || !stopped {
				t.Errorf("process %d of %v is not stopped (%v)", p.PID, all, err)
			}
		}
		if err := i.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}
