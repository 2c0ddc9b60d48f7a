package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How commands are run.
const (
	commandTimeout = 10 * time.Second       // for one run
	commandEvery   = 250 * time.Millisecond // least time between two runs: a process is dear
	commandClose   = 200 * time.Millisecond // for its children to let go of its output
)

// Command holds if a program ends with exit code 0. $PORT and ${PORT} in its
// arguments stand for the instance's port, and it gets PORT in its
// environment. The program is looked up in creel's PATH. It runs in a process
// group of its own, which is killed when the program has ended or its time is
// up, so that nothing stays behind.
type Command struct {
	Argv    []string      // program and arguments; not empty
	Timeout time.Duration // for one run; 0: 10 s
}

// Check implements Probe.
func (p Command) Check(ctx context.Context, t Target) error {
	if len(p.Argv) == 0 {
		return p.failure(Unchecked, errors.New("no program is given"), "cannot run the readiness command: no program is given")
	}
	timeout := orDefault(p.Timeout, commandTimeout)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	port := portOf(t.Addr)
	argv := make([]string, len(p.Argv))
	for i, a := range p.Argv {
		argv[i] = strings.NewReplacer("${PORT}", port, "$PORT", port).Replace(a)
	}
	var out tail
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.Dir = t.Dir
	cmd.Env = append(environ(t), "PORT="+port)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	// A child of the program may keep its output open after its end.
	cmd.WaitDelay = commandClose
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return p.failure(Unchecked, err, fmt.Sprintf("cannot run %s: %v", shown(argv[0]), err))
	}
	err := cmd.Wait()
	// The program's number may be free by now, but as the number of a group it
	// stays taken while one of its children lives; if none does, there is no
	// such group.
	killErr := killGroup(cmd.Process.Pid)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case killErr != nil && !errors.Is(killErr, os.ErrProcessDone):
		return p.failure(Unchecked, killErr, fmt.Sprintf("cannot end what %s left running: %v", shown(argv[0]), killErr))
	case limited.Err() != nil:
		return p.failure(Unanswered, limited.Err(), fmt.Sprintf("%s did not end within %v%s", shown(argv[0]), timeout, out.said()))
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return nil
	default:
		return p.failure(NotReady, err, fmt.Sprintf("%s ended with %v%s", shown(argv[0]), err, out.said()))
	}
}

func (p Command) failure(v Verdict, err error, seen string) *Failure {
	return &Failure{Verdict: v, Seen: seen, Every: commandEvery, Err: err}
}

// killGroup kills a process group. That there is none is os.ErrProcessDone.
func killGroup(leader int) error {
	err := syscall.Kill(-leader, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// environ is the environment for commands but for PORT. creel's own may hold
// secrets that are none of the command's business.
func environ(t Target) []string {
	if t.Env != nil {
		return slices.Clone(t.Env)
	}
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
}

// tail is a writer that keeps the end of what is written.
type tail struct{ kept []byte }

const maxTail = 4 * maxShown

func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	t.kept = append(t.kept, b[max(0, len(b)-maxTail):]...)
	t.kept = append(t.kept[:0], t.kept[max(0, len(t.kept)-maxTail):]...)
	return n, nil
}

// said is the end of the output as the end of a sentence.
func (t *tail) said() string {
	text := shown(string(t.kept))
	if text == "" {
		return ""
	}
	if len(text) > maxShown {
		text = "…" + strings.ToValidUTF8(text[len(text)-maxShown:], "")
	}
	return ": " + text
}
