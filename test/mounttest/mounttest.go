//go:build linux

// Package mounttest lets tests mount file systems: it runs them in a mount namespace of
// their own (mount_namespaces(7)). That takes root, or user namespaces.
package mounttest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const variable = "CREEL_TEST_MOUNTS"

// Run runs another test of the package in a namespace of its own, and wants so many
// subtests of it to pass. That test begins with Inside.
func Run(t *testing.T, test string, subtests int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+test)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "--- PASS: "+test+"/"); n != subtests {
		t.Fatalf("%d of %d tests passed\n%s", n, subtests, out)
	}
}

// Inside tells whether the test is run by Run, and may mount. If not it has nothing to
// do: it is no test of its own.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(variable) != t.Name() {
		return false
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	return true
}

// ReadOnly makes a folder read-only, in a test that is Inside, until the function that it
// gives is called.
func ReadOnly(t *testing.T, dir string) (writable func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("cannot mount %s: %v", dir, err)
		}
	}
	must(unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(unix.Unmount(dir, unix.MNT_DETACH)) })
	must(unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	return func() {
		t.Helper()
		must(unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT, ""))
	}
}
