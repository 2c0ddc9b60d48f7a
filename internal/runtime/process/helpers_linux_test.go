package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

const testTimeout = 30 * time.Second // bounds waits; nothing is measured against it

// rolesInit adds the programs of this package's tests; see TestMain.
func init() {
	roles["creel"] = creelRole
	roles["touch"] = touchRole
	roles["hog"] = hogRole
	roles["oomCreel"] = oomCreelRole
	roles["limited"] = limitedRole
	roles["limitedCreel"] = limitedCreelRole
	roles["subreaper"] = subreaperRole
	roles["orphaner"] = orphanerRole
	roles["bomb"] = bombRole
	roles["score"] = scoreRole
	roles["forker"] = forkerRole
	roles["runaway"] = runawayRole
	roles["vforker"] = vforkerRole
	roles["wrapper"] = wrapperRole
}

// touchRole makes the file args[0]: the trace of a command that has run.
func touchRole(args []string) int {
	if err := os.WriteFile(args[0], nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// creelRole is a creel that starts an instance and dies by SIGKILL: at the
// crashpoint args[3], or when the start is done. The instance runs the role args[4] with
// the arguments after that.
func creelRole(args []string) int {
	dir, parent, step, command := args[0], args[1], args[3], args[4:]
	port, err := strconv.Atoi(args[2])
	if err != nil {
		return 1
	}
	r, err := New(Options{Dir: filepath.Join(dir, "gateways", "contract"), DataDir: dir, CgroupParent: parent})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	chooseLauncher(r)
	die := func() {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL) // ends this very process
		select {}
	}
	crashpoint.Arm(func(p crashpoint.Point) {
		if string(p) == step {
			die()
		}
	})
	spec := roleSpec(port, command[0], command[1:]...)
	if _, err := r.Start(context.Background(), spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	die()
	return 0
}

// roleSpec is a Spec that runs this test binary as one of its roles.
func roleSpec(port int, name string, args ...string) runtime.Spec {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return runtime.Spec{
		Gateway: "contract", Generation: 1, Port: port,
		Command: append([]string{exe}, args...),
		Env:     []string{role + "=" + name, "PORT=" + strconv.Itoa(port)},
	}
}

// runCreel runs a creelRole to its death.
func runCreel(t *testing.T, dir string, parent Support, port int, step string, command ...string) {
	t.Helper()
	args := append([]string{dir, parent.Path, strconv.Itoa(port), step}, command...)
	cmd := roleCommand(t, "creel", args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Fatalf("creel did not get to step %q: %v\n%s", step, err, out)
	}
}

func roleCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, testBinary(t), args...)
	cmd.Env = append(os.Environ(), role+"="+name)
	return cmd
}

// awaitNone waits until no process has text in its command line.
func awaitNone(t *testing.T, text string) {
	t.Helper()
	runtimetest.Await(t, "no process mentions "+text, func() bool {
		pids, err := allPIDs()
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(data), text) {
				return false
			}
		}
		return true
	})
}

func awaitServing(t *testing.T, addr string) {
	t.Helper()
	runtimetest.Await(t, "the app serves at "+addr, func() bool { return dialable(addr) })
}

func awaitDone(t *testing.T, i runtime.Instance) runtime.Exit {
	t.Helper()
	select {
	case <-i.Done():
		return i.Exit()
	case <-time.After(testTimeout):
		t.Fatal("Done was not closed")
		return runtime.Exit{}
	}
}

func mustKill(t *testing.T, i runtime.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := i.Kill(ctx); err != nil {
		t.Fatalf("kill: %v", err)
	}
}

func mustStart(t *testing.T, r *Runtime, spec runtime.Spec) runtime.Instance {
	t.Helper()
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { mustKill(t, i) })
	return i
}

func mustFind(t *testing.T, r *Runtime) runtime.Instance {
	t.Helper()
	i, err := r.Find(t.Context())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	return i
}
