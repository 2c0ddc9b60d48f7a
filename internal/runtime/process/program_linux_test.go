package process

import (
	"bytes"
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

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// secretFolder is a folder with a secret in it, and what hides it.
func secretFolder(t *testing.T) (dir string, a *runtime.Apart) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, hiding(dir)
}

// TestRunApart: a program that is run to its end does not see what is hidden, and is
// run as cmd.Run would: in its folder, with its environment, output and exit code.
func TestRunApart(t *testing.T) {
	secret, apart := secretFolder(t)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `cat "$SECRET/key" || echo unseen; umount "$SECRET" || echo "cannot unmount"; pwd; echo "$1"; ls /proc/self/fd | wc -l; exit 7`, "sh", "an argument")
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout = dir, []string{"PATH=" + os.Getenv("PATH"), "SECRET=" + secret}, &out
	err := RunApart(cmd, apart)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v", err)
	}
	want := fmt.Sprintf("unseen\ncannot unmount\n%s\nan argument\n4\n", dir) // 0 to 2, and the folder that ls reads
	if out.String() != want {
		t.Errorf("it says\n%s\nand not\n%s", &out, want)
	}
}

// TestRunApartErrors: what was not run says why.
func TestRunApartErrors(t *testing.T) {
	_, apart := secretFolder(t)
	if err := RunApart(exec.CommandContext(t.Context(), "/nowhere/to/be/found"), apart); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere/to/be/found") {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := RunApart(exec.CommandContext(t.Context(), "not-in-the-path"), apart); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not in PATH: %v", err)
	}
	apart.Keep = []string{"/proc/self/status/below-a-file"}
	var refused *runtime.ApartError
	if err := RunApart(exec.CommandContext(t.Context(), "/bin/true"), apart); !errors.As(err, &refused) {
		t.Errorf("what cannot be kept: %v", err)
	}
}

// TestRunApartKilledEarly: of one that was killed before it had read creel's word, how it
// ended is told, and not what became of the socket.
func TestRunApartKilledEarly(t *testing.T) {
	ours, theirs, err := controlPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if _, err := ours.Write([]byte{goByte}); err != nil {
		t.Fatal(err)
	}
	if err := notRun(ours, theirs, "/bin/true"); err != nil {
		t.Error(err)
	}
}

// TestRunApartCancelled: the end of the context ends it.
func TestRunApartCancelled(t *testing.T) {
	_, apart := secretFolder(t)
	trace := filepath.Join(t.TempDir(), "trace")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `echo $$ > "$TRACE.new"; mv "$TRACE.new" "$TRACE"; exec sleep 600`)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TRACE=" + trace}
	ended := make(chan error, 1)
	go func() { ended <- RunApart(cmd, apart) }()
	runtimetest.Await(t, "it runs", func() bool { _, err := os.Stat(trace); return err == nil })
	cancel()
	if exit, ok := errors.AsType[*exec.ExitError](<-ended); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", exit)
	}
}

// as is this program, as one of roles.
func as(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), role+"="+name)
	return cmd
}

// TestRunApartEndsWithCreel: a program does not outlive the creel that runs it, which
// would start another one beside it.
func TestRunApartEndsWithCreel(t *testing.T) {
	secret, _ := secretFolder(t)
	trace := filepath.Join(t.TempDir(), "trace")
	creel := as(t, "run-apart", secret, "/bin/sh", "-c", fmt.Sprintf(`echo $$ > %[1]s.new; mv %[1]s.new %[1]s; exec sleep 600`, trace))
	if err := creel.Start(); err != nil {
		t.Fatal(err)
	}
	runtimetest.Await(t, "the program runs", func() bool { _, err := os.Stat(trace); return err == nil })
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := creel.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = creel.Wait() // "signal: killed" is meant
	runtimetest.Await(t, "the program has ended", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// TestExecApart: a program that takes the place of this one sees no more, and is in the
// same folder.
func TestExecApart(t *testing.T) {
	secret, _ := secretFolder(t)
	cmd := as(t, "exec-apart", secret, "/bin/sh", "-c", `echo $$; pwd; cat "$0/key" || echo unseen; umount "$0" || echo "cannot unmount"`, secret)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	if want := fmt.Sprintf("%d\n%s\nunseen\ncannot unmount\n", cmd.Process.Pid, cmd.Dir); err != nil || string(out) != want {
		t.Errorf("%v; it says\n%s\nand not\n%s", err, out, want)
	}
}
