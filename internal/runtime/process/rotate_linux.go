package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
)

// rotator keeps the output log of a gateway from growing without end.
//
// The log is the instance's own file, so that it can go on writing while there
// is no creel; no new file can be slipped under it. So the log is copied and
// then cut to nothing (copy-truncate). What is written in the instant between
// the last copying and the cut is lost: microseconds, at most a few lines, and
// only at a rotation. A log that has outgrown twice its limit (a flood, or a
// long time without creel) keeps its latest part only, and the copy says so in
// its first line. Together the files stay below about (LogKeep+1) times twice
// LogMaxBytes, plus what is written while one rotation goes on.
type rotator struct {
	path string
	max  int64
	keep int
	log  *slog.Logger

	mu      sync.Mutex
	notify  *os.File      // inotify; nil: not watching, or not to be had
	stop    chan struct{} // nil: no goroutine
	done    chan struct{}
	closed  bool
	failing bool // the last rotation failed; owned by the goroutine
}

const (
	// rotatePause is the least time between two looks at the log, so that a
	// chatty instance does not wake creel with every line. A flood of 500 MB/s
	// outgrows the limit by some 10 MB in it.
	rotatePause = 20 * time.Millisecond
	// rotateTick is the time between looks where there is no inotify (the
	// limit of fs.inotify.max_user_instances is reached).
	rotateTick = time.Second
)

func newRotator(path string, max int64, keep int, log *slog.Logger) *rotator {
	return &rotator{path: path, max: max, keep: keep, log: log}
}

// watch starts the goroutine, if it does not run, and makes it watch the file
// that the log is now. It is called with each instance.
func (r *rotator) watch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.stop == nil {
		r.stop, r.done = make(chan struct{}), make(chan struct{})
		if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err == nil {
			r.notify = os.NewFile(uintptr(fd), "inotify")
		} else {
			r.log.Info("looking at the gateway's log once a second: no inotify", "error", err)
		}
		go r.run(r.notify, r.stop, r.done)
	}
	if r.notify == nil {
		return
	}
	conn, err := r.notify.SyscallConn()
	if err == nil {
		err = errors.Join(err, conn.Control(func(fd uintptr) {
			_, watchErr := unix.InotifyAddWatch(int(fd), r.path, unix.IN_MODIFY)
			if watchErr != nil {
				r.log.Warn("cannot watch the gateway's log; it is not rotated", "path", r.path, "error", watchErr)
			}
		}))
	}
	if err != nil {
		r.log.Warn("cannot watch the gateway's log; it is not rotated", "path", r.path, "error", err)
	}
}

// close ends the goroutine and waits for it.
func (r *rotator) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.stop == nil {
		r.closed = true
		return
	}
	r.closed = true
	close(r.stop)
	if r.notify != nil {
		_ = r.notify.Close() // nothing to lose in an inotify instance
	}
	<-r.done
}

// run looks at the log when it has changed.
func (r *rotator) run(notify *os.File, stop, done chan struct{}) {
	defer close(done)
	wait := rotatePause
	if notify == nil {
		wait = rotateTick
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	events := make([]byte, 4096)
	for {
		r.check()
		timer.Reset(wait)
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		if notify == nil {
			continue
		}
		// Equal events are merged by the kernel while they wait to be read.
		if _, err := notify.Read(events); err != nil {
			if !errors.Is(err, os.ErrClosed) {
				r.log.Error("the gateway's log is no longer rotated", "path", r.path, "error", err)
			}
			return
		}
	}
}

// check rotates the log if it is due, and says so once if that fails.
func (r *rotator) check() {
	info, err := os.Stat(r.path)
	if err == nil && info.Size() >= r.max {
		err = r.rotate()
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil && !r.failing {
		r.log.Error("cannot rotate the gateway's log", "path", r.path, "error", err)
	}
	r.failing = err != nil
}

// rotate copies the log to .1, after .1 has become .2 and so on, and empties it.
func (r *rotator) rotate() error {
	log, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	// Two creels may be up for a moment, during an upgrade.
	if err := unix.Flock(int(log.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		return fmt.Errorf("cannot lock it: %w", err)
	}
	info, err := log.Stat()
	if err != nil || info.Size() < r.max {
		return err
	}
	copyErr := r.copyOut(log, info.Size())
	if copyErr != nil && info.Size() < 2*r.max {
		return copyErr
	}
	// Without room for a copy the log itself must not fill the disk: that
	// would cost the gateway its state.
	if err := log.Truncate(0); err != nil {
		return errors.Join(copyErr, err)
	}
	if copyErr != nil {
		return fmt.Errorf("its content was dropped: %w", copyErr)
	}
	crashpoint.Passed(crashpoint.LogEmptied)
	return nil
}

// copyOut copies the log, of the given size, to .1. It catches up with what
// is written meanwhile, but not for ever.
func (r *rotator) copyOut(log *os.File, size int64) (err error) {
	temp := r.path + ".tmp"
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, out.Close())
	}()
	var from int64
	if size > 2*r.max {
		from = size - r.max
		if _, err := fmt.Fprintf(out, "[creel: %d bytes of output were dropped here]\n", from); err != nil {
			return err
		}
	}
	if err := copyRange(out, log, from, size); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	crashpoint.Passed(crashpoint.LogCopied)
	if err := r.shift(temp); err != nil {
		return err
	}
	crashpoint.Passed(crashpoint.LogShifted)
	const rounds = 3
	limit := size + r.max // of catching up, in a flood
	for range rounds {
		info, err := log.Stat()
		if err != nil {
			return err
		}
		end := min(info.Size(), limit)
		if end <= size {
			break
		}
		if err := copyRange(out, log, size, end); err != nil {
			return err
		}
		size = end
	}
	return nil
}

// copyRange copies bytes [from, to) of src to where dst is. On Linux the kernel
// does it (copy_file_range), so that no flood gets into memory.
func copyRange(dst, src *os.File, from, to int64) error {
	if _, err := src.Seek(from, io.SeekStart); err != nil {
		return err
	}
	_, err := io.CopyN(dst, src, to-from)
	return err
}

// shift makes room and names the copy .1.
func (r *rotator) shift(temp string) error {
	for n := r.keep; n > 1; n-- {
		err := os.Rename(r.name(n-1), r.name(n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(temp, r.name(1))
}

func (r *rotator) name(n int) string { return fmt.Sprintf("%s.%d", r.path, n) }
