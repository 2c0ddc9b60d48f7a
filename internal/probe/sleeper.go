package probe

import (
	"context"
	"time"
)

// sleeper pauses between checks.
type sleeper interface {
	// sleep returns after d, or when ctx ends.
	sleep(ctx context.Context, d time.Duration)
	close()
}

// timers sleeps by Go's timers. A program that has nothing else to do waits in
// epoll_wait(2), which counts in milliseconds: a pause of 1.1 ms takes 2.
type timers struct{}

func (timers) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (timers) close() {}
