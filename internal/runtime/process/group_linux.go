package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// group is all the processes of one instance.
type group interface {
	// dir is the directory of its cgroup, or "".
	dir() string
	// kill ends every process and returns when none is left. A group that does
	// not exist (any more) is empty.
	kill(ctx context.Context) error
	// remove removes what the group consists of besides processes.
	remove(ctx context.Context) error
}

// retryPause is the wait where the kernel has no event for "the task is off its
// cgroup": it lets go of an ended task a moment after its pidfd became readable.
const retryPause = time.Millisecond

// endAll kills what list returns until list returns nothing. Every pid is
// pinned, then looked up in the list once more, and only then killed, so that
// no stranger is hit that got the pid meanwhile.
func endAll(ctx context.Context, list func() ([]int, error)) error {
	p, err := newPoller(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		pids, err := list()
		if err != nil || len(pids) == 0 {
			return err
		}
		ended, err := endRound(p, pids, list)
		if err != nil {
			return fmt.Errorf("cannot end processes %v: %w", pids, err)
		}
		if ended {
			continue
		}
		if err := pause(ctx, retryPause); err != nil {
			return fmt.Errorf("cannot end processes %v: %w", pids, err)
		}
	}
}

// endRound kills pids and waits for their ends. It reports whether any of them
// was still running.
func endRound(p *poller, pids []int, list func() ([]int, error)) (bool, error) {
	var fds []unix.PollFd
	defer func() {
		for _, fd := range fds {
			_ = returnPidfd(int(fd.Fd)) // closing a pidfd cannot lose anything
		}
		wakeReaper()
	}()
	var pinned []int
	for _, pid := range pids {
		fd, err := borrowPidfd(pid)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return false, err
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		pinned = append(pinned, pid)
	}
	still, err := list()
	if err != nil {
		return false, err
	}
	running := make([]unix.PollFd, 0, len(fds))
	for i, fd := range fds {
		ended, err := readable(int(fd.Fd))
		if err != nil {
			return false, err
		}
		if ended || !slices.Contains(still, pinned[i]) {
			continue
		}
		if err := unix.PidfdSendSignal(int(fd.Fd), unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return false, fmt.Errorf("process %d: %w", pinned[i], err)
		}
		running = append(running, fd)
	}
	someRan := len(running) > 0
	for len(running) > 0 {
		if err := p.wait(running); err != nil {
			return someRan, err
		}
		running = slices.DeleteFunc(running, func(fd unix.PollFd) bool { return fd.Revents != 0 })
	}
	return someRan, nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
