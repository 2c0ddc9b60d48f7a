package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A port that nobody listens on refuses at once, as often as it is asked. Now and
// then the kernel gives the socket that very port, which makes a connection to
// itself: that is a refusal too.
func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := dialTo(l.Addr().String())
	_ = l.Close()
	for range 200 {
		if _, err := dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v", err)
		}
	}
}

func TestNotItself(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	self, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, self); err != nil {
		t.Fatalf("the kernel does not connect a socket to itself, so this shows nothing: %v", err)
	}
	if err := notItself(fd, self); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a socket that is connected to itself: %v", err)
	}
}

// While the backlog is full a connection waits, until there is room or its
// context ends.
func TestDialWaits(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*syscall.SockaddrInet4).Port}
	dial := dialTo(addr.String())

	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client is gone")
	outcome := make(chan error, 1)
	go func() { // ends with ctx
		for {
			c, err := dial(ctx)
			if err != nil {
				outcome <- err
				return
			}
			defer c.Close() // keeps its place in the backlog
		}
	}()
	eventually(t, "a connection that waits", func() bool { return synSent(t, addr.Port) })
	cancel(gone)
	if err := <-outcome; !errors.Is(err, gone) && !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("dial: %v", err)
	}

	// One place becomes free: the next one that waits gets it, by the kernel's
	// next attempt, a second later.
	conn := make(chan error, 1)
	go func() {
		c, err := dial(t.Context())
		if err == nil {
			err = errors.Join(c.SetDeadline(time.Now().Add(time.Minute)), c.Close())
		}
		conn <- err
	}()
	for served := false; !served; {
		if n, _, err := syscall.Accept(fd); err == nil {
			_ = syscall.Close(n)
		}
		select {
		case err := <-conn:
			if err != nil {
				t.Errorf("dial: %v", err)
			}
			served = true
		case <-time.After(time.Millisecond): // look again
		}
	}
}

// synSent tells whether a socket waits to be connected to the port.
func synSent(t *testing.T, port int) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(" 0100007F:%04X 02 ", port) // remote address, and SYN_SENT
	return strings.Contains(string(table), want)
}
