package handover

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// child is the successor's process, pinned by a pidfd (pidfd_open(2)): it may be
// one that is not ours to wait for.
type child struct {
	cmd   *exec.Cmd
	fd    *os.File
	ended chan struct{}
}

// start starts cmd. As a sibling it becomes a child of this process's parent
// (CLONE_PARENT, clone(2)) and not of this process.
//
// A service manager waits only for its own children: systemd takes the main
// process of a service that is none ("not our child") for gone as soon as it has
// sent SIGTERM, follows it with SIGKILL, and starts the next one at once. A
// successor becomes systemd's child in the end, but it is looked at when it names
// itself (MAINPID), and the predecessor, which drains, lives then.
func start(cmd *exec.Cmd, sibling bool) (*child, error) {
	fd := -1
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if sibling && os.Getpid() != 1 { // the first process of a namespace has no parent in it
		cmd.SysProcAttr.Cloneflags = unix.CLONE_PARENT
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if fd < 0 {
		_ = cmd.Process.Kill() // it has done nothing yet
		return nil, errors.Join(fmt.Errorf("the kernel gives no pidfd (Linux 5.4 or later is needed)"), cmd.Wait())
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for Go's network poller
		_ = cmd.Process.Kill() // as above
		return nil, errors.Join(err, unix.Close(fd), cmd.Wait())
	}
	c := &child{cmd: cmd, fd: os.NewFile(uintptr(fd), "pidfd"), ended: make(chan struct{})}
	go c.await() // ends with the successor, or with this process
	return c, nil
}

// await waits for its end, and reaps it where that is ours to do.
func (c *child) await() {
	defer close(c.ended)
	conn, err := c.fd.SyscallConn()
	if err == nil {
		err = conn.Read(func(fd uintptr) bool {
			n, pollErr := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || pollErr != nil && !errors.Is(pollErr, unix.EINTR)
		})
	}
	if err != nil {
		return // this process ends
	}
	_ = c.cmd.Wait() // whoever waits for it hears of its end on the socket; a sibling is its parent's
}

// signal sends it a signal, unless it has ended.
func (c *child) signal(sig unix.Signal) error {
	conn, err := c.fd.SyscallConn()
	if err == nil {
		var sendErr error
		err = conn.Control(func(fd uintptr) { sendErr = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
		err = errors.Join(err, sendErr)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// kill ends it, and waits for its end.
func (c *child) kill() error {
	err := c.signal(unix.SIGKILL)
	<-c.ended
	return errors.Join(err, c.fd.Close())
}
