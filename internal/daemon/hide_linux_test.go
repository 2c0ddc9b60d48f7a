package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Roles of the test binary, as first argument.
const (
	roleShown  = "a-process-that-does-not-hide"
	roleHidden = "a-process-that-hides"
	roleLooker = "a-process-that-looks"
)

// rightsToLook are those by which one may look into whom one likes (capabilities(7)).
var rightsToLook = []uintptr{unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN, unix.CAP_PERFMON}

// runHideRole acts as one of them, and does not return then.
func runHideRole() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case roleHidden, roleShown:
		if os.Args[1] == roleHidden {
			if err := hideSelf(); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test is over
		os.Exit(0)
	case roleLooker:
		lookInto(os.Args[2])
		os.Exit(0)
	}
}

// lookInto prints what it can open of a process.
func lookInto(pid string) {
	// Like root in a container, and like nobody else: no right over other processes.
	var header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	if err == nil {
		for _, c := range rightsToLook {
			bit := uint32(1) << (c % 32)
			data[c/32].Effective &^= bit
			data[c/32].Permitted &^= bit
			data[c/32].Inheritable &^= bit
		}
		err = unix.Capset(&header, &data[0])
	}
	if err != nil {
		fmt.Println("cannot drop a capability:", err)
		return
	}
	for _, name := range places {
		path := "/proc/" + pid + "/" + name
		f, err := os.Open(path)
		if err == nil && name == "environ" {
			var b []byte
			b, err = io.ReadAll(f)
			if !strings.Contains(string(b), "SECRET=hidden-in-the-environment") {
				err = errors.Join(err, errors.New("it does not hold the secret"))
			}
		}
		if err == nil {
			fmt.Println("open:", name)
		}
		_ = f.Close()
	}
}

// places are where a process can be looked into. Standard error is as good as any
// other open file.
var places = []string{"environ", "mem", "maps", "fd/2", "root/.", "cwd/."}

// TestHidden looks into a process with the eyes of one of the same user. The eyes are
// good: they see all of a process that does not hide, as long as it has no right which
// they lack.
func TestHidden(t *testing.T) {
	seen := map[string]string{}
	for _, role := range []string{roleShown, roleHidden} {
		p := exec.Command("/proc/self/exe", role)
		p.Env = []string{"SECRET=hidden-in-the-environment"}
		in, err := p.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		// Neither of the two may have a right that the looker lacks: it would be what
		// keeps the looker out.
		p.Stderr = os.Stderr
		if err := startWithoutRights(p); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		looked, err := exec.Command("/proc/self/exe", roleLooker, fmt.Sprint(p.Process.Pid)).Output()
		seen[role] = string(looked)
		if err := errors.Join(err, in.Close(), p.Wait()); err != nil {
			t.Error(err)
		}
	}
	for _, name := range places {
		if !strings.Contains(seen[roleShown], "open: "+name+"\n") {
			t.Errorf("%s of a process that does not hide cannot be read, so that this proves nothing:\n%s", name, seen[roleShown])
		}
	}
	if seen[roleHidden] != "" {
		t.Errorf("of a process that hides can be read:\n%s", seen[roleHidden])
	}
}

// startWithoutRights starts a command from a thread that cannot give it rightsToLook.
// The thread ends with that.
func startWithoutRights(p *exec.Cmd) error {
	started := make(chan error)
	go func() { // ends at once, and its thread with it
		runtime.LockOSThread() // and never unlocked
		for _, c := range rightsToLook {
			err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
			if err != nil && !errors.Is(err, unix.EPERM) { // no root has none to give
				started <- err
				return
			}
		}
		started <- p.Start()
	}()
	return <-started
}
