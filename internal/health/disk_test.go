package health

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// outOfFiles has this process open nothing more until the test, or the function that
// is given, ends it.
func outOfFiles(t *testing.T) (over func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull) // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	limit := uint64(f.Fd())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	over = func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(over)
	return over
}

// TestDisk: trouble with a folder shows and passes with it; a ballast is laid in, is
// whole, given up once, and laid in again.
func TestDisk(t *testing.T) {
	r, _ := newRegistry(t)
	dir := filepath.Join(t.TempDir(), "data")
	d := NewDisk(dir, r)
	ballast := func() int64 {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, ballastName))
		if errors.Is(err, os.ErrNotExist) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if d.Look() || !r.Holds(DataFolder) {
		t.Error("all is well with a folder that is not there")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Look() // there may be little room where this test runs
	if r.Holds(DataFolder) || ballast() != ballastSize {
		t.Errorf("well again: %+v, ballast of %d bytes", r.Current(), ballast())
	}
	d.Release()
	if ballast() != 0 {
		t.Errorf("given up, and there are %d bytes", ballast())
	}
	if err := os.WriteFile(filepath.Join(dir, ballastName), []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Look()
	if ballast() != ballastSize {
		t.Errorf("laid in again: %d bytes", ballast())
	}
	if _, err := os.Stat(filepath.Join(dir, trialName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a trial is left: %v", err)
	}
}

// TestDiskWithoutDescriptors: that nothing can be opened says nothing of the folder.
func TestDiskWithoutDescriptors(t *testing.T) {
	r, _ := newRegistry(t)
	d := NewDisk(t.TempDir(), r)
	over := outOfFiles(t)
	well := d.Look()
	over()
	if well || r.Holds(DataFolder) {
		t.Errorf("well: %v, conditions %+v", well, r.Current())
	}
}

// TestSpare: what is kept back is there when there is nothing else, for as many as are
// kept back, and is taken back.
func TestSpare(t *testing.T) {
	r, _ := newRegistry(t)
	s := NewSpare(r)
	defer s.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := s.Listener(inner)
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	over := outOfFiles(t)
	served, err := l.Accept() // with one of those kept back
	holds, refilled := r.Holds(Descriptors), s.Refill()
	released := s.Release(spareFiles, syscall.EMFILE)
	again := s.ReleaseAll(syscall.EMFILE)
	over()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	if !holds || refilled || !released || again {
		t.Errorf("told %v; taken back %v; given up %v, and once more %v", holds, refilled, released, again)
	}
	if !s.Refill() || r.Holds(Descriptors) || len(s.files) != spareFiles {
		t.Errorf("afterwards %d are kept back, conditions %+v", len(s.files), r.Current())
	}
	if _, err := io.WriteString(served, "x"); err != nil {
		t.Error(err)
	}
}
