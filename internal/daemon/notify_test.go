package daemon

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
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
	c, err := net.DialUnix("unixgram", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil { // until no more may wait to be read
		if err = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err == nil {
			_, err = c.Write([]byte("x"))
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
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
