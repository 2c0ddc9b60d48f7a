package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfd is a process that is pinned: as long as it is open, the process it
// names stays the same one, whatever becomes of the pid. See pidfd_open(2).
type pidfd struct {
	pid    int
	file   *os.File // in the network poller
	closed atomic.Bool
}

// openPidfd pins the process that has this pid now, ended ones that are not
// reaped included. It returns errGone if there is none.
func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	// EINVAL and ENOENT: the number belongs to a thread, so to no process.
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return nil, errGone
	case err != nil:
		return nil, fmt.Errorf("cannot open process %d: %w", pid, err)
	}
	return newPidfd(pid, fd)
}

// newPidfd takes over fd.
func newPidfd(pid, fd int) (*pidfd, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot watch process %d: %w", pid, err), unix.Close(fd))
	}
	return &pidfd{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// ended asks the kernel whether the process has ended, without waiting: its
// pidfd is then readable (pidfd_open(2)). The state in /proc would not do: a
// main thread that has ended before the others shows as a zombie, too.
func (p *pidfd) ended() bool {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, pollErr := unix.Poll(fds, 0)
		ended = pollErr == nil && n > 0
	})
	return err == nil && ended
}

// close may be called again.
func (p *pidfd) close() error {
	if p.closed.Swap(true) {
		return nil
	}
	return p.file.Close()
}

// control calls f with the descriptor, which stays open meanwhile. It returns
// os.ErrClosed if the pidfd is closed.
func (p *pidfd) control(f func(fd int) error) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return p.mapped(err)
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return p.mapped(err)
	}
	return inner
}

// mapped makes one error of the several by which package os says "closed".
func (p *pidfd) mapped(err error) error {
	if err != nil && p.closed.Load() {
		return os.ErrClosed
	}
	return err
}

// wait returns nil once the process has ended, os.ErrClosed if the pidfd is
// closed before.
func (p *pidfd) wait() error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return p.mapped(err)
	}
	var pollErr error
	err = conn.Read(func(fd uintptr) bool {
		var ended bool
		ended, pollErr = readable(int(fd))
		return ended || pollErr != nil
	})
	return errors.Join(p.mapped(err), pollErr)
}

// signal sends sig. A process that has ended is no error.
func (p *pidfd) signal(sig syscall.Signal) error {
	err := p.control(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// reap collects the status of a process that has ended. known is false if the
// process is no child of creel's, or was reaped by someone else.
func (p *pidfd) reap() (status unix.WaitStatus, known bool, err error) {
	err = p.control(func(fd int) error {
		return ignoringEINTR(func() error {
			return unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		})
	})
	if errors.Is(err, unix.ECHILD) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	// It is a child, and still unreaped: until this call its pid is its own.
	err = ignoringEINTR(func() error {
		_, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
		return err
	})
	return status, err == nil, err
}

// readable asks without waiting.
func readable(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	err := ignoringEINTR(func() error {
		_, err := unix.Poll(fds, 0)
		return err
	})
	return fds[0].Revents != 0, err
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// borrowed holds the pidfds that are open for a moment, to signal a process or
// to look at it. The reaper takes every other pidfd of creel's for a sign that
// someone waits for that process.
var borrowed struct {
	sync.Mutex
	fds map[int]bool
}

// borrowPidfd opens a pidfd of which the reaper takes no notice.
func borrowPidfd(pid int) (int, error) {
	borrowed.Lock()
	defer borrowed.Unlock()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	if borrowed.fds == nil {
		borrowed.fds = make(map[int]bool)
	}
	borrowed.fds[fd] = true
	return fd, nil
}

func returnPidfd(fd int) error {
	borrowed.Lock()
	defer borrowed.Unlock()
	delete(borrowed.fds, fd)
	return unix.Close(fd)
}

func isBorrowed(fd int) bool {
	borrowed.Lock()
	defer borrowed.Unlock()
	return borrowed.fds[fd]
}
