package provider

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

const secretVariable = "CREELTEST_API_KEY"

// secrecyHelper is another process: one that holds a key ("secrecy-holder", with or
// without secluding itself), or one that looks into it.
func secrecyHelper(args []string) int {
	switch args[0] {
	case "secrecy-holder":
		if args[1] == "early" {
			SecludeEarly()
		}
		if args[1] != "leave" {
			if err := Seclude([]string{secretVariable}); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		fmt.Println("holding", len(os.Getenv(secretVariable)))
		_, _ = io.ReadAll(os.Stdin) // until the test has looked
	case "secrecy-parent":
		err := Seclude(nil)
		if err == nil {
			_, err = os.ReadDir("/proc/self/fd") // creel looks at itself
		}
		if err == nil {
			_, err = os.ReadFile("/proc/self/maps")
		}
		if err == nil { // and starts itself, as a launcher
			var out []byte
			out, err = exec.Command("/proc/self/exe", "secrecy-child").Output()
			fmt.Printf("%s", out)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	case "secrecy-child":
		_, err := os.ReadFile("/proc/self/environ")
		fmt.Println("started, and dumpable:", err == nil)
	case "secrecy-looker":
		for _, name := range []string{"environ", "mem", "maps", "fd", "root"} {
			f, err := os.Open("/proc/" + args[1] + "/" + name)
			text := []byte{}
			if err == nil {
				if name == "environ" {
					text, err = io.ReadAll(f)
				} else if name == "fd" || name == "root" {
					_, err = f.ReadDir(1)
				}
				_ = f.Close()
			}
			fmt.Printf("%s readable:%v key:%v\n", name, err == nil, strings.Contains(string(text), realKey))
		}
	}
	return 0
}

// lookInto starts a holder and a looker as the same user, and gives what the looker
// has seen; other than root if this test is root, whom nothing is hidden from.
func lookInto(t *testing.T, how string) (seen string, environ string) {
	t.Helper()
	as := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		as.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	holder := exec.Command("/proc/self/exe", "secrecy-holder", how)
	holder.Env = append(os.Environ(), secretVariable+"="+realKey, "OTHER=kept")
	holder.SysProcAttr = as
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		if err := holder.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != fmt.Sprintf("holding %d\n", len(realKey)) {
		t.Fatalf("%q, %v", line, err)
	}
	looker := exec.Command("/proc/self/exe", "secrecy-looker", fmt.Sprint(holder.Process.Pid))
	looker.SysProcAttr = as
	text, err := looker.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if os.Geteuid() == 0 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", holder.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		environ = string(b)
	}
	return string(text), environ
}

// TestSeclude: another process of the same user finds the key in one that holds it
// in its environment, and does not after Seclude; nor does root then, in environ.
func TestSeclude(t *testing.T) {
	open, _ := lookInto(t, "leave")
	if !strings.Contains(open, "environ readable:true key:true") || !strings.Contains(open, "mem readable:true") {
		t.Fatalf("what is to be shown cannot be seen here:\n%s", open)
	}
	for _, how := range []string{"seclude", "early"} {
		hidden, environ := lookInto(t, how)
		if strings.Contains(hidden, "readable:true") || strings.Contains(hidden, "key:true") {
			t.Errorf("%s: it still sees\n%s", how, hidden)
		}
		if os.Geteuid() == 0 && (strings.Contains(environ, realKey) || !strings.Contains(environ, "OTHER=kept") || !strings.Contains(environ, secretVariable+"=")) {
			t.Errorf("%s: the environment is %q", how, environ)
		}
	}
}

// TestSecludedProcessWorks: it still sees itself, and starts itself; what it starts is
// a process like any other.
func TestSecludedProcessWorks(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "secrecy-parent")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "started, and dumpable: true\n" {
		t.Errorf("%v: %s", err, out)
	}
}
