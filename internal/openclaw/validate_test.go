package openclaw

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// fakeRunner is a creel that runs OpenClaw's command line in the folder FAKE_DATA.
func fakeRunner() {
	l, err := LayoutIn(os.Getenv("FAKE_DATA"))
	must(err)
	self, err := os.Executable()
	must(err)
	_, err = Configure(l, testSettings)
	must(err)
	_, err = NewRunner(l, Installation{Node: self}, append(os.Environ(), "FAKE=child"), nil, nil)(context.Background(), "doctor", "--fix")
	must(err)
	exit(0)
}

// A creel that is killed leaves no doctor behind, nor an installation of a plugin: they
// would write to the state under the gateway that the next creel starts.
func TestRunnerAfterKill(t *testing.T) {
	d := newFakeDir(t)
	d.write(t, "hang", "child")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	creel := exec.Command(self)
	creel.Env = append(os.Environ(), "FAKE=runner", "FAKE_DIR="+string(d), "FAKE_DATA="+t.TempDir())
	if err := creel.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "OpenClaw's command line runs", func() bool { return d.read("hung") != "" })
	pid := d.read("hung")
	t.Cleanup(func() { // where it is left behind
		if n, err := strconv.Atoi(pid); err == nil && running(pid) {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	})
	if err := creel.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = creel.Wait() // "signal: killed" is meant
	await(t, "it has ended with creel", func() bool { return !running(pid) })
}
