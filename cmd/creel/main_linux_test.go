package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		main()
	}
	os.Exit(m.Run())
}

// TestSecludedFromTheBeginning: a creel that is not root, and has done nothing but to
// wait for its predecessor's word, is closed to the other processes of its user.
func TestSecludedFromTheBeginning(t *testing.T) {
	const secret = "sk-early-0123456789"
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "predecessor"), os.NewFile(uintptr(fds[1]), "successor")
	defer ours.Close() // a second time does no harm
	as := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		as.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	said := &strings.Builder{}
	creel := exec.Command("/proc/self/exe", "run")
	creel.Env, creel.ExtraFiles, creel.SysProcAttr, creel.Stderr = append(os.Environ(), "OPENAI_API_KEY="+secret, "_CREEL_HANDOVER=3"), []*os.File{theirs}, as, said
	err = creel.Start()
	if closeErr := theirs.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	for _, name := range []string{"environ", "maps"} {
		for end := time.Now().Add(4 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			looker := exec.Command("cat", fmt.Sprintf("/proc/%d/%s", creel.Process.Pid, name))
			looker.SysProcAttr = as
			out, err := looker.CombinedOutput()
			if err != nil && strings.Contains(string(out), "denied") {
				break
			}
			if time.Now().After(end) { // it takes some milliseconds to begin
				t.Errorf("%s can be read, the key in it: %v, %v", name, strings.Contains(string(out), secret), err)
				break
			}
		}
	}
	if err := ours.Close(); err != nil { // only now it ends, if that took less than the 5 s that it waits
		t.Fatal(err)
	}
	if err := creel.Wait(); err == nil || !strings.Contains(said.String(), "EOF") {
		t.Errorf("it has not waited: %v, %s", err, said)
	}
}
