package daemon

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNotifyIsBounded: a service manager that does not listen keeps creel from nothing.
func TestNotifyIsBounded(t *testing.T) {
	dir, err := os.MkdirTemp("", "creel") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	addr := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	manager, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", addr.Name)
	(&daemon{log: slog.New(slog.DiscardHandler)}).notify("STATUS=heard")
	b := make([]byte, 100)
	if n, err := manager.Read(b); err != nil || string(b[:n]) != "STATUS=heard" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	for n := 0; !errors.Is(err, unix.EAGAIN); n++ { // until no more may wait to be read
		if err = tryTell(addr); err != nil && !errors.Is(err, unix.EAGAIN) || n > 100_000 {
			t.Fatal(n, err)
		}
	}
	told := make(chan error, 1)
	go func() { told <- tell(addr.Name, "STATUS=unheard", time.Millisecond) }()
	select {
	case err := <-told:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("creel waits for the service manager without end")
	}
}

// tryTell sends a message by a socket of its own, and does not wait.
func tryTell(addr *net.UnixAddr) error {
	c, err := net.DialUnix("unixgram", nil, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), []byte("x")) })
	return errors.Join(controlErr, err)
}
