package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// launcherVariable, set to "program", has the tests start creel's program as the
// launcher, as it is done where there can be no tiny one.
const launcherVariable = "CREEL_PROCESS_TEST_LAUNCHER"

func chooseLauncher(r *Runtime) {
	if os.Getenv(launcherVariable) == "program" {
		r.tiny = ""
	}
}

// TestSignalsAreDefault starts an instance from a creel that was started by
// nohup (SIGHUP ignored), and with a signal blocked.
func TestSignalsAreDefault(t *testing.T) {
	signal.Ignore(unix.SIGHUP)
	defer signal.Reset(unix.SIGHUP)
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	var block, before unix.Sigset_t
	block.Val[0] = 1 << (unix.SIGUSR2 - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
			t.Error(err)
		}
	}()
	r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve"))
	awaitServing(t, i.Addr())
	info := runtimetest.Ask(t, i.Addr())
	if strings.Trim(info.Ignored, "0") != "" || strings.Trim(info.Blocked, "0") != "" {
		t.Errorf("ignored %s, blocked %s", info.Ignored, info.Blocked)
	}
}

// softFiles is the soft limit of open files that a creel of these tests is given.
const softFiles = 300

// TestFileLimit starts an instance from a creel whose soft limit of open files
// is below the hard one. Go raises it for creel and the launcher; the instance
// must get what creel was given: a program that uses select(2) breaks above
// 1024. A Go program would raise it for itself, so cat looks.
func TestFileLimit(t *testing.T) {
	dir := t.TempDir()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	cmd := roleCommand(t, "limited", strconv.Itoa(softFiles), dir, strconv.Itoa(freePort(t)), cat)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := os.ReadFile(LogPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Max open files") {
			if f := strings.Fields(line); f[3] != strconv.Itoa(softFiles) {
				t.Errorf("soft limit %s, want %d", f[3], softFiles)
			}
			return
		}
	}
	t.Errorf("no limit in %q", out)
}

// limitedRole lowers its soft limit, as a login session does, and becomes a
// creel, so that Go finds the limit at its start.
func limitedRole(args []string) int {
	soft, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return 1
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1
	}
	limit.Cur = soft
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1
	}
	// Of variables that occur twice a Go program takes the first.
	env := append([]string{role + "=limitedCreel"}, os.Environ()...)
	if err := syscall.Exec("/proc/self/exe", append([]string{"creel"}, args[1:]...), env); err != nil {
		return 1
	}
	return 0
}

// limitedCreelRole shows its limits to cat.
func limitedCreelRole(args []string) int {
	dir, cat := args[0], args[2]
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return 1
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur <= softFiles {
		os.Stderr.WriteString("Go has not raised the limit, so this shows nothing\n")
		return 1
	}
	r, err := New(Options{Dir: dir, DataDir: dir, CgroupParent: NoCgroup})
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	defer r.Close()
	chooseLauncher(r)
	ctx, cancel := timeout()
	defer cancel()
	i, err := r.Start(ctx, runtime.Spec{
		Gateway: "contract", Generation: 1, Port: port, Command: []string{cat, "/proc/self/limits"},
	})
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	<-i.Done()
	if err := i.Kill(ctx); err != nil {
		return 1
	}
	return 0
}

// TestLauncherByHand: without the control socket the launcher does nothing.
func TestLauncherByHand(t *testing.T) {
	trace := t.TempDir() + "/trace"
	cmd := roleCommand(t, "touch", testBinary(t), trace)
	cmd.Args = []string{launcherName, "0", testBinary(t), testBinary(t), trace}
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitNotReleased {
		t.Errorf("exit code %d, %v", code, err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("the command has run")
	}
}

// TestStartAfterClose: the launcher is ended again, and nothing is left.
func TestStartAfterClose(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			trace := dir + "/trace"
			r := testRuntime(t, dir, parent)
			r.Close()
			if _, err := r.Start(t.Context(), roleSpec(freePort(t), "touch", trace)); !errors.Is(err, errClosed) {
				t.Errorf("start: %v", err)
			}
			awaitNone(t, trace)
			if _, err := os.Stat(trace); err == nil {
				t.Error("the command has run")
			}
			if recorded, err := r.record.exists(); recorded || err != nil {
				t.Errorf("record left: %v, %v", recorded, err)
			}
			requireNoCgroup(t, parent, dir)
		})
	}
}

// TestExecFails: what only execve finds out comes back as a CommandError, and
// nothing is left.
func TestExecFails(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			tests := map[string]struct {
				content string
				want    error
			}{
				"not a program":       {"\x7fELF and nothing more", unix.ENOEXEC},
				"missing interpreter": {"#!/creel/no/such/interpreter\n", unix.ENOENT},
			}
			for name, tt := range tests {
				t.Run(name, func(t *testing.T) {
					program := t.TempDir() + "/program"
					if err := os.WriteFile(program, []byte(tt.content), 0o755); err != nil {
						t.Fatal(err)
					}
					r := testRuntime(t, dir, parent)
					spec := roleSpec(freePort(t), "none")
					spec.Command = []string{program}
					_, err := r.Start(t.Context(), spec)
					requireCommandError(t, err, tt.want)
					if recorded, err := r.record.exists(); recorded || err != nil {
						t.Errorf("record left: %v, %v", recorded, err)
					}
					requireNoCgroup(t, parent, dir)
				})
			}
		})
	}
}

// TestLauncherProgram runs the tests of what a launcher guarantees once more, with
// the other launcher.
func TestLauncherProgram(t *testing.T) {
	if os.Getenv(launcherVariable) != "" {
		return // these are they
	}
	tests := "^(TestContract|TestCreelDies.*|TestSignalsAreDefault|TestFileLimit|TestStartAfterClose|TestExecFails|TestLimitFiles|TestOOMScore|TestLimitRefusedByKernel)$"
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // many tests, on a machine that may be busy
	defer cancel()
	cmd := exec.CommandContext(ctx, testBinary(t), "-test.run", tests, "-test.count", "1")
	cmd.Env = append(os.Environ(), role+"=", launcherVariable+"=program")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFirstOfEach(t *testing.T) {
	got := firstOfEach([]string{"A=1", "B=2", "A=3", "odd", "odd", "=x", "=x", ""})
	if want := []string{"A=1", "B=2", "odd", "odd", "=x", ""}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
