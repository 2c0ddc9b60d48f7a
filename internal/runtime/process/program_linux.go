package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// programName is apartName for a program that creel runs to its end, and that ends
// with creel.
const programName = "creel-program-apart"

// RunApart runs cmd to its end, as cmd.Run does, with the same errors, and keeps it
// apart as an instance is kept: for programs of which the gateway may have written a
// part. An *runtime.ApartError says that it was not run, since that cannot be had and is
// required; where it is not required, cmd sees what creel sees. cmd must have no
// ExtraFiles. What is kept apart is killed when creel ends, as with
// SysProcAttr.Pdeathsig; what is not, if cmd says so.
func RunApart(cmd *exec.Cmd, a *runtime.Apart) error {
	// A Pdeathsig is sent when the thread that has started the child ends (prctl(2)).
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	a, err := keptApart(a, canLaunchApart)
	if err != nil {
		return err
	}
	if a == nil {
		return cmd.Run()
	}
	if cmd.Err != nil {
		return cmd.Err
	}
	ours, theirs, err := controlPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	defer theirs.Close()
	if _, err := ours.Write([]byte{goByte}); err != nil {
		return fmt.Errorf("cannot write to the launcher's control socket: %w", err)
	}
	program := cmd.Path
	cmd.Args = apartArgs(runtime.Spec{Dir: cmd.Dir, Command: cmd.Args}, a, program)
	cmd.Args[0] = programName
	cmd.Path, cmd.Dir, cmd.ExtraFiles = "/proc/self/exe", "", []*os.File{theirs}
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return err // it was not started
	}
	if why := notRun(ours, theirs, program); why != nil {
		return why // the launcher's exit code says no more
	}
	return err
}

// notRun is what the launcher says if it has not become the program. It has ended.
func notRun(ours, theirs *os.File, program string) error {
	if err := theirs.Close(); err != nil {
		return fmt.Errorf("cannot close the launcher's control socket: %w", err)
	}
	// A reset in place of an answer says that it was killed before it had read the word
	// (unix(7)); how it ended is told by cmd.Run.
	answer, err := io.ReadAll(io.LimitReader(ours, answerSize))
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("cannot read the launcher's control socket: %w", err)
	}
	if len(answer) < answerSize {
		return nil
	}
	errno := syscall.Errno(int(answer[1]) | int(answer[2])<<8)
	if answer[0] == answerApart {
		return &runtime.ApartError{Why: errno.Error()}
	}
	return &os.PathError{Op: "fork/exec", Path: program, Err: errno}
}

// canLaunchApart is canKeepApart for a program that is to be its own launcher.
func canLaunchApart() error {
	if !launcherReady.Load() {
		return errors.New("this program is no launcher")
	}
	return canKeepApart()
}

// ExecApart has a program take the place of this one, as execve(2) does, kept apart as
// by RunApart. It returns only if that fails; the calling thread is of no more use then.
func ExecApart(path string, argv, env []string, a *runtime.Apart) error {
	a, err := keptApart(a, canLaunchApart)
	if err != nil {
		return err
	}
	if a != nil {
		dir, err := os.Getwd()
		if err != nil {
			return fmt.Errorf("cannot find the working directory: %w", err)
		}
		goruntime.LockOSThread() // for good: namespaces and capabilities are a thread's
		if err := keepApart(a.Hide, a.Keep, dir); err != nil {
			return &runtime.ApartError{Why: err.Error()}
		}
	}
	return unix.Exec(path, argv, env)
}
