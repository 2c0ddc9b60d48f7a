package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"creel/internal/runtime"
)

// hogRole takes memory until it is killed.
func hogRole([]string) int {
	var all [][]byte
	for {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = byte(len(all))
		}
		all = append(all, block)
	}
}

// oomCreelRole is a creel in the memory cgroup args[2]; it prints how its
// instance, which takes all the memory, ended.
func oomCreelRole(args []string) int {
	dir, parent, limited := args[0], args[1], args[2]
	port, err := strconv.Atoi(args[3])
	if err == nil {
		err = cgroup{path: limited}.enter(os.Getpid())
	}
	var r *Runtime
	if err == nil {
		r, err = New(Options{Dir: dir, DataDir: dir, CgroupParent: parent})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer r.Close()
	ctx, cancel := timeout()
	defer cancel()
	var i runtime.Instance
	if i, err = r.Start(ctx, roleSpec(port, "hog")); err != nil {
		fmt.Println(err)
		return 1
	}
	<-i.Done()
	fmt.Println(i.Exit())
	if err := i.Kill(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestOOM lets the kernel kill an instance for want of memory.
func TestOOM(t *testing.T) {
	limited := memoryCgroup(t)
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			if at, err := describeParent(limited); err != nil {
				t.Fatal(err)
			} else if at.Mode == ModeV2 && parent.Mode == ModeV2 {
				parent = at // one hierarchy: the instance has to be beneath the limit
			}
			cmd := roleCommand(t, "oomCreel", t.TempDir(), parent.Path, limited, strconv.Itoa(freePort(t)))
			out, err := cmd.CombinedOutput()
			if want := (runtime.Exit{OOM: true}).String(); err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%v: %s, want %q", err, out, want)
			}
		})
	}
}

// wrapperRole is a program that runs the one which does the work, takes memory until it
// is killed, and ends as that has ended, as a shell does.
func wrapperRole([]string) int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), role+"=hog")
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
}

// TestOOMBehindAWrapper: the kernel kills the process that takes the memory, which need
// not be the main one: of a limit of cgroup v1, and where there is none, it does not kill
// the others.
func TestOOMBehindAWrapper(t *testing.T) {
	limitedApp(t, runtime.Limits{Memory: 96 << 20}, func(t *testing.T, _ *Runtime, i *instance) {
		if exit := awaitDone(t, i); !exit.OOM || exit.PeakMemory < 48<<20 {
			t.Errorf("it ended with %s (%+v)", exit, exit)
		}
	}, "wrapper")
}

// memoryCgroup makes a cgroup that limits memory.
func memoryCgroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range cgroupMounts(mounts) {
		file := "memory.limit_in_bytes"
		if m.v2 {
			file = "memory.max"
		} else if !m.has("memory") {
			continue
		}
		dir := filepath.Join(m.mount, "creel-test-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() {
			ctx, cancel := timeout()
			defer cancel()
			if err := (cgroup{path: dir}).removeTree(ctx); err != nil { // a task that has ended leaves it a moment later
				t.Errorf("clearing away: %v", err)
			}
		})
		if err := writeControl(dir, file, strconv.Itoa(96<<20)); err == nil {
			return dir
		}
	}
	missing(t, "this kernel lets us limit no memory: no memory controller, or no right to use it")
	return ""
}
