package probe

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps by a timer of the kernel's, timerfd_create(2), which the network
// poller waits for as for any file: to the microsecond, and without a thread.
type alarm struct{ f *os.File }

// newSleeper makes a sleeper. Where the kernel gives no alarm, as when creel may
// have no more files open, timers will do.
func newSleeper() sleeper {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return timers{}
	}
	return alarm{os.NewFile(uintptr(fd), "timer")}
}

func (a alarm) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return // zero would disarm it
	}
	raw, err := a.f.SyscallConn()
	if err == nil {
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
		cerr := raw.Control(func(fd uintptr) { err = unix.TimerfdSettime(int(fd), 0, &at, nil) })
		if err == nil {
			err = cerr
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = a.f.SetReadDeadline(time.Unix(1, 0)) }) // fails only on a closed one
	defer stop()
	if err == nil {
		_, err = a.f.Read(make([]byte, 8))
	}
	if err != nil && ctx.Err() == nil {
		timers{}.sleep(ctx, d)
	}
}

func (a alarm) close() { _ = a.f.Close() } // nothing was written
