package process

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// poller waits for files that Go's network poller cannot wait for (POLLPRI of
// cgroup.events, many pidfds at once), until its context ends.
type poller struct {
	ctx    context.Context
	cancel int // eventfd, readable once ctx has ended
	stop   func() bool
	fired  chan struct{} // closed when the eventfd was written to
}

func newPoller(ctx context.Context) (*poller, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	p := &poller{ctx: ctx, cancel: fd, fired: make(chan struct{})}
	p.stop = context.AfterFunc(ctx, func() {
		defer close(p.fired)
		// Adding 1 to a fresh eventfd cannot fail or block: see eventfd(2).
		_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	return p, nil
}

func (p *poller) close() {
	if !p.stop() {
		<-p.fired // the descriptor must not be closed under the writer
	}
	_ = unix.Close(p.cancel) // nothing to lose in an eventfd
}

// wait returns when one of fds has an event, and sets its Revents; or with the
// context's error.
func (p *poller) wait(fds []unix.PollFd) error {
	all := append([]unix.PollFd{{Fd: int32(p.cancel), Events: unix.POLLIN}}, fds...)
	for {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		_, err := unix.Poll(all, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot poll: %w", err)
		}
		copy(fds, all[1:])
		return p.ctx.Err()
	}
}
