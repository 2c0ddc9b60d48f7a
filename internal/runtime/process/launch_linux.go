package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// launch is a launcher that waits for the word to go: creel's side of it. The
// other side is in tiny_linux.go, or in launcher_linux.go.
type launch struct {
	main    *pidfd
	control *os.File // closing it before "go" ends the launcher
	command string
}

// launch starts a launcher in g. If it cannot be put into the main cgroup it runs
// without one, and the groups returned are others; but never without a limit.
func (r *Runtime) launch(spec runtime.Spec, path string, g groups) (*launch, groups, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, g, err
	}
	defer theirs.Close()
	pid, fd, inside, err := r.fork(spec, path, g.main, theirs)
	if err != nil {
		return nil, g, errors.Join(err, ours.Close())
	}
	main, err := newPidfd(pid, fd)
	if err != nil {
		return nil, g, errors.Join(err, ours.Close())
	}
	l := &launch{main: main, control: ours, command: spec.Command[0]}
	raiseOOMScore(pid)
	if err := limitFiles(pid, spec.Limits.OpenFiles); err != nil {
		return nil, g, errors.Join(err, l.abort())
	}
	if err := g.enter(pid); err != nil {
		return nil, g, errors.Join(err, l.abort())
	}
	if c, ok := g.main.(cgroup); ok && !inside {
		if err := c.enter(pid); err != nil {
			switch {
			case g.bound != "":
				return nil, g, errors.Join(limitError(g.bound, err), l.abort())
			case wanting(err):
				return nil, g, errors.Join(err, l.abort())
			}
			r.log.Warn("running the gateway without a cgroup", "gateway", spec.Gateway, "error", err)
			if err := r.cleanUp(context.Background(), c.remove); err != nil {
				r.log.Warn("an empty cgroup stays behind", "error", err)
			}
			g.main = emptyGroup{}
		}
	}
	return l, g, nil
}

// fork starts a launcher. inside tells whether it is in its cgroup v2 from its
// birth on, which is much quicker than moving it.
func (r *Runtime) fork(spec runtime.Spec, path string, g group, control *os.File) (pid, fd int, inside bool, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, -1, false, fmt.Errorf("cannot give the gateway an empty input: %w", err)
	}
	defer null.Close()
	output, err := openLog(r.opts.Dir)
	if err != nil {
		return 0, -1, false, err
	}
	defer output.Close()
	files := []uintptr{null.Fd(), output.Fd(), output.Fd(), control.Fd()}
	if c, ok := g.(cgroup); ok && c.v2 {
		dir, err := os.Open(c.path)
		if err != nil {
			return 0, -1, false, fmt.Errorf("cannot open the gateway's cgroup: %w", err)
		}
		defer dir.Close()
		if pid, fd, err = r.startLauncher(spec, path, files, int(dir.Fd())); err == nil {
			return checkForked(pid, fd, true)
		}
		// No clone3 (before Linux 5.7, or refused by a seccomp filter): start
		// outside and move it in.
	}
	pid, fd, err = r.startLauncher(spec, path, files, -1)
	switch {
	case err == nil:
		return checkForked(pid, fd, false)
	case errors.As(err, new(*runtime.ApartError)):
		return 0, -1, false, err
	case cannotFork(err):
		return 0, -1, false, fmt.Errorf("cannot fork: %w", err) // the machine's trouble, not the command's
	default: // such as arguments that are too long
		return 0, -1, false, &runtime.CommandError{Command: spec.Command[0], Err: err}
	}
}

// startLauncher starts the tiny launcher if it can be had, else creel's own
// program as a launcher. dir is the cgroup that it is born into; -1: creel's.
func (r *Runtime) startLauncher(spec runtime.Spec, path string, files []uintptr, dir int) (pid, fd int, err error) {
	fd = -1
	sys := &syscall.SysProcAttr{Setsid: true, PidFD: &fd, UseCgroupFD: dir >= 0, CgroupFD: dir}
	attr := &syscall.ProcAttr{Dir: spec.Dir, Env: firstOfEach(spec.Env), Sys: sys, Files: files}
	argv := append([]string{launcherName, strconv.Itoa(spec.Limits.OpenFiles), path}, spec.Command...)
	apart, err := r.keptApart(spec)
	if err != nil {
		return 0, -1, err
	}
	if apart != nil {
		argv = apartArgs(spec, apart, path)
	} else if r.tiny != "" {
		if pid, _, err = syscall.StartProcess(r.tiny, argv, attr); err == nil {
			return pid, fd, nil
		}
		fd = -1 // a security module may not let it be executed
	}
	pid, _, err = syscall.StartProcess("/proc/self/exe", argv, attr)
	return pid, fd, err
}

// firstOfEach leaves out variables that occur again, about which programs do not
// agree.
func firstOfEach(env []string) []string {
	seen := make(map[string]bool, len(env))
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		key, _, found := strings.Cut(e, "=")
		again := found && seen[key]
		seen[key] = true
		return again
	})
}

// limitFiles sets the limit of open files of a launcher, hard and soft, so that
// the command cannot raise it. Without one it has what creel was given: package
// syscall, which raises creel's own, has put it back. (In creel's program as a
// launcher that package is at work as well, so there it is set once more.)
func limitFiles(pid, limit int) error {
	if limit == 0 {
		return nil
	}
	n := uint64(limit)
	err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}, nil)
	if err != nil {
		return &runtime.LimitError{What: "open_files", Why: fmt.Sprintf("the kernel does not take it (%v); creel's own hard limit is the most, unless creel runs as root", err)}
	}
	return nil
}

// checkForked makes sure that the kernel has given us a pidfd.
func checkForked(pid, fd int, inside bool) (int, int, bool, error) {
	if fd >= 0 {
		return pid, fd, inside, nil
	}
	// A child that is not reaped keeps its pid: opening it now is as good.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, -1, false, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	return pid, fd, inside, nil
}

// controlPair makes the socket over which a launcher is told to go. Ours is in
// the network poller, so that waiting on it can be cut short.
func controlPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make the launcher's control socket: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "launcher control")
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), theirs.Close())
	}
	return os.NewFile(uintptr(fds[0]), "launcher control"), theirs, nil
}

// release tells the launcher to become the command, and waits until it has: the
// control socket is closed by the execve. What comes instead is the errno of a
// failed one.
func (l *launch) release(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		// A socket that is closed already needs no deadline.
		_ = l.control.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	if _, err := l.control.Write([]byte{goByte}); err != nil {
		return l.failed(ctx, err)
	}
	answer, err := io.ReadAll(io.LimitReader(l.control, answerSize+1))
	if err != nil {
		return l.failed(ctx, err)
	}
	if len(answer) == 0 {
		return nil
	}
	if len(answer) == answerSize && answer[0] == answerApart {
		return &runtime.ApartError{Why: syscall.Errno(int(answer[1]) | int(answer[2])<<8).Error()}
	}
	if len(answer) != answerSize || answer[0] != answerExec {
		return fmt.Errorf("cannot understand the launcher's answer %q", answer)
	}
	err = syscall.Errno(int(answer[1]) | int(answer[2])<<8)
	if errors.Is(err, unix.ENOENT) { // the program itself was there a moment ago
		err = fmt.Errorf("%w (if it is a script, its interpreter is missing)", err)
	}
	return &runtime.CommandError{Command: l.command, Err: err}
}

func (l *launch) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("cannot tell the launcher to go: %w", err)
}

// abort ends the launcher and reaps it. It has not become the command, and so
// has no children.
func (l *launch) abort() error {
	l.close()
	if err := l.main.signal(unix.SIGKILL); err != nil {
		return errors.Join(err, l.main.close())
	}
	// Only a process stuck in the kernel outlives SIGKILL; closing ends the wait.
	giveUp := time.AfterFunc(cleanupTime, func() { _ = l.main.close() })
	defer giveUp.Stop()
	err := l.main.wait()
	if err == nil {
		_, _, err = l.main.reap()
	}
	return errors.Join(err, l.main.close())
}

// close lets go of the control socket. It may be called again.
func (l *launch) close() {
	_ = l.control.Close() // a socket has nothing to lose, and may be closed already
}
