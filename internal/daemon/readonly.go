package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/api"
	"creel/internal/health"
)

// A creel that is started on a data folder whose file system is read-only (as ext4 makes
// itself after an error of the disk) has a gateway to take over that runs on, and clients
// that want it. So it starts all the same, if the folder was used before:
//
//   - the lock is held by a descriptor for reading: two creels never have one folder, and a
//     file system that locks for writers only is refused (lock.go);
//   - there is no control socket, which could not be made; it is opened as soon as it can be;
//   - journal, usage of model providers, and sessions are kept in memory, and written then;
//   - the gateway is adopted, which writes nothing; one that has to be started waits
//     (trouble.go), since its number and record could not be written.
//
// All of it is said (health.DataFolder, Journal, Control), and ends by itself.
//
// It refuses a folder that was never used, one that belongs to another user (EACCES), and
// any other error of the disk: what those hold is not known. It refuses, too, to hand over
// to a successor meanwhile, since the last clients of this creel are served by way of the
// successor's control socket (remote.go).
//
// Rejected: a control socket elsewhere (/run, or in the abstract name space). Every command
// would have to look in two places, and a gateway of the same user could reach it there:
// the data folder is what is hidden from it.

// bindAgain is between attempts at opening the control socket.
const bindAgain = 500 * time.Millisecond

// readOnly tells, by its error, that a folder is on a read-only file system. It tries: an
// ext4 that has found an error refuses every change, but not access(2) (since Linux 6.15,
// where it is not marked as read-only any more).
func readOnly(dir string) error {
	err := unix.Access(dir, unix.W_OK)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".trial-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("its file system is read-only: %w", err)
	}
	return nil // whether it may be written to otherwise, shows in writing
}

// ReadOnly tells whether a data folder is on a read-only file system, where a creel that
// runs may have no control socket.
func ReadOnly(dir string) bool { return readOnly(dir) != nil }

// listenControl opens the control socket, now or, on a read-only folder, later.
func (d *daemon) listenControl() (net.Listener, error) {
	dir := d.cfg().DataDir
	bind := func() (net.Listener, error) { return api.ListenControl(dir) }
	l, err := bind()
	switch {
	case err == nil:
		d.health.Clear(health.Control)
		return d.spare.Listener(l), nil
	case !errors.Is(err, unix.EROFS):
		return nil, err
	}
	failed := func(err error) { // the first time from Accept: there is a journal then
		d.health.Set(health.Control, health.Trouble, "creel's commands cannot reach this creel: "+err.Error(), "its pages and its status over HTTP say how it is; the socket is opened when the folder can be written")
	}
	late := &lateListener{addr: &net.UnixAddr{Name: api.SocketPath(dir), Net: "unix"}, pause: bindAgain, bind: bind, failed: failed, bound: d.writableAgain, closed: make(chan struct{})}
	return d.spare.Listener(late), nil
}

// writableAgain does what could not be done when creel was started on a read-only folder.
func (d *daemon) writableAgain() {
	d.health.Clear(health.Control)
	err := d.lock.sign()
	if d.providers != nil && d.providers.place != nil {
		err = errors.Join(err, d.providers.place.Keep())
	}
	if err != nil {
		d.log.Warn("the control socket is open again, and something else could not be written", "error", err)
	}
	d.lookSoon()
}

// lateListener is a listener that cannot be opened yet. Whoever accepts tries to, again
// and again, so that it has no goroutine of its own; Close ends that.
type lateListener struct {
	addr   net.Addr
	pause  time.Duration
	bind   func() (net.Listener, error)
	failed func(error) // gets what an attempt has failed by
	bound  func()      // is called once it is open
	closed chan struct{}

	// mu is held while it is being opened, too: after Close nothing is, which might be in
	// the place of another creel's.
	mu    sync.Mutex
	inner net.Listener // nil: it is not open yet
	ended bool
}

// Accept opens the listener if need be. It is called by one goroutine.
func (l *lateListener) Accept() (net.Conn, error) {
	for {
		inner, err := l.open()
		if err == nil {
			return inner.Accept()
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		l.failed(err)
		again := time.NewTimer(l.pause)
		select {
		case <-again.C:
		case <-l.closed:
			again.Stop()
		}
	}
}

func (l *lateListener) open() (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, net.ErrClosed
	}
	if l.inner != nil {
		return l.inner, nil
	}
	inner, err := l.bind()
	if err != nil {
		return nil, err
	}
	l.inner = inner
	l.bound()
	return inner, nil
}

// Close closes it, and ends Accept.
func (l *lateListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return net.ErrClosed
	}
	l.ended = true
	close(l.closed)
	if l.inner == nil {
		return nil
	}
	return l.inner.Close()
}

// Addr is where it is, or will be.
func (l *lateListener) Addr() net.Addr { return l.addr }
