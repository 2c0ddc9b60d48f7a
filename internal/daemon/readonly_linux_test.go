package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"creel/test/mounttest"
)

func TestReadOnly(t *testing.T) { mounttest.Run(t, "TestOnReadOnly", 2) }

// TestOnReadOnly is no test of its own: see TestReadOnly.
func TestOnReadOnly(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	t.Run("lock", testLockReadOnly)
	t.Run("refused", testReadOnlyRefused)
}

// testLockReadOnly: on a read-only file system there is one holder of a folder's lock, too,
// whether it has opened the file there or before.
func testLockReadOnly(t *testing.T) {
	dir := t.TempDir()
	before, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, lockName)
	writable := mounttest.ReadOnly(t, dir)
	var inUse *InUseError
	if _, err := lockDataDir(dir); !errors.As(err, &inUse) || inUse.PID != 0 {
		t.Errorf("a second lock beside one from before: %v", err)
	}
	if err := before.close(); err != nil {
		t.Fatal(err)
	}
	lock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lock.close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := lockDataDir(dir); !errors.As(err, &inUse) || inUse.PID != 0 {
		t.Errorf("a second lock: %v", err)
	}
	if _, err := Occupy(dir); !errors.As(err, &inUse) {
		t.Errorf("it was occupied: %v", err)
	}
	writable()
	if err := os.WriteFile(path, nil, 0o600); err != nil { // as an earlier creel may have left it
		t.Fatal(err)
	}
	if err := lock.sign(); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDataDir(dir); !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("a second lock after it was signed: %v", err)
	}
}

// testReadOnlyRefused: a read-only folder that no creel has used, and one that a command is
// to change.
func testReadOnlyRefused(t *testing.T) {
	dir := t.TempDir()
	var refused *DataDirError
	writable := mounttest.ReadOnly(t, dir)
	if _, err := lockDataDir(dir); !errors.As(err, &refused) || !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "choose another one") {
		t.Errorf("never used: %v", err)
	}
	writable()
	lock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.close(); err != nil {
		t.Fatal(err)
	}
	mounttest.ReadOnly(t, dir)
	if _, err := Occupy(dir); !errors.As(err, &refused) || !errors.Is(err, unix.EROFS) {
		t.Errorf("occupied: %v", err)
	}
}

// TestLateListener: it is opened by and by, and not after it was closed.
func TestLateListener(t *testing.T) {
	errShut := errors.New("read-only")
	synctest.Test(t, func(t *testing.T) {
		var attempts, failures, bound int
		peers := make(chan net.Conn)
		inner := &fakeListener{peers: peers, closed: make(chan struct{})}
		l := &lateListener{pause: time.Second, closed: make(chan struct{}), failed: func(error) { failures++ }, bound: func() { bound++ }}
		l.bind = func() (net.Listener, error) {
			if attempts++; attempts < 4 {
				return nil, errShut
			}
			return inner, nil
		}
		began := time.Now()
		client, server := net.Pipe()
		defer client.Close()
		go func() { peers <- server }()
		c, err := l.Accept()
		if err != nil || time.Since(began) != 3*time.Second || failures != 3 || bound != 1 {
			t.Fatalf("%v after %v, %d failures; bound %d times", err, time.Since(began), failures, bound)
		}
		c.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepted: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed again: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		l := &lateListener{pause: time.Second, closed: make(chan struct{}), failed: func(error) {}}
		l.bind = func() (net.Listener, error) { attempts++; return nil, errShut }
		ended := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		synctest.Wait()
		began := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) || attempts != 1 || !time.Now().Equal(began) {
			t.Errorf("it ended with %v after %d attempts, %v later", err, attempts, time.Since(began))
		}
	})
}

// fakeListener accepts what a test sends.
type fakeListener struct {
	net.Listener
	peers  chan net.Conn
	closed chan struct{}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.peers:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	close(l.closed)
	return nil
}
