package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// dialTo connects to an address on this machine with less ado than package net:
// no goroutine and no timer for the end of the context, no wait for the network
// poller, no addresses asked for that nobody wants. A connection over loopback is
// made by the time that connect(2) returns, unless the backlog is full.
func dialTo(addr string) dialFunc {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || !to.Addr().Is4() {
		return dialPlainly(addr)
	}
	remote := net.TCPAddrFromAddrPort(to)
	return func(ctx context.Context) (socket, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, os.NewSyscallError("socket", err)
		}
		// One for each: package syscall writes into it.
		sa := &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
		s, err := connect(ctx, fd, sa, addr)
		if err != nil {
			return nil, os.NewSyscallError("connect", err)
		}
		return &tcpSocket{File: s, remote: remote}, nil
	}
}

// connect connects fd, and makes a file of it that is in the network poller. On
// an error fd is closed.
func connect(ctx context.Context, fd int, sa syscall.Sockaddr, name string) (*os.File, error) {
	err := tryConnect(fd, sa)
	waits := errors.Is(err, syscall.EALREADY)
	if err == nil {
		err = notItself(fd, sa)
	}
	if err != nil && !waits {
		_ = syscall.Close(fd) // nothing was sent that could be lost
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if waits {
		err = awaitConnect(ctx, f, sa)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// tryConnect begins to connect, and tells how it came out: connect(2) says that
// it is in progress even where the answer has come before it returned, and tells
// the outcome when it is called again. EALREADY: it is in progress still.
func tryConnect(fd int, sa syscall.Sockaddr) error {
	err := syscall.Connect(fd, sa)
	if errors.Is(err, syscall.EINPROGRESS) || errors.Is(err, syscall.EINTR) {
		err = syscall.Connect(fd, sa)
	}
	if errors.Is(err, syscall.EISCONN) {
		return nil
	}
	return err
}

// awaitConnect waits for a connection in progress: the instance does not accept
// fast enough.
func awaitConnect(ctx context.Context, f *os.File, sa syscall.Sockaddr) error {
	deadline := time.Now().Add(dialTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := f.SetWriteDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(aLongTimeAgo) }) // fails only on a closed one
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	err = raw.Write(func(fd uintptr) bool {
		if outcome = tryConnect(int(fd), sa); outcome == nil {
			outcome = notItself(int(fd), sa)
		}
		return !errors.Is(outcome, syscall.EALREADY)
	})
	if err == nil {
		err = outcome
	}
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return f.SetWriteDeadline(time.Time{})
}

// notItself finds a socket that is connected to itself: the kernel may give it
// the very port that it is to connect to, if nobody listens there (RFC 9293
// §3.5, simultaneous open).
func notItself(fd int, to syscall.Sockaddr) error {
	from, err := syscall.Getsockname(fd)
	if err != nil {
		return err
	}
	a, ok := from.(*syscall.SockaddrInet4)
	b, _ := to.(*syscall.SockaddrInet4)
	if ok && a.Port == b.Port && a.Addr == b.Addr {
		return syscall.ECONNREFUSED
	}
	return nil
}

// tcpSocket is a TCP connection. Reads, writes and deadlines are those of a file
// in the network poller, which are the same as those of a *net.TCPConn.
type tcpSocket struct {
	*os.File
	remote *net.TCPAddr
}

// LocalAddr implements net.Conn. Nobody asks for it, so it is not kept.
func (s *tcpSocket) LocalAddr() net.Addr {
	var addr net.Addr = &net.TCPAddr{}
	_ = s.control(func(fd int) error {
		sa, err := syscall.Getsockname(fd)
		if in, ok := sa.(*syscall.SockaddrInet4); ok {
			addr = &net.TCPAddr{IP: in.Addr[:], Port: in.Port}
		}
		return err
	})
	return addr
}

// RemoteAddr implements net.Conn.
func (s *tcpSocket) RemoteAddr() net.Addr { return s.remote }

// CloseWrite ends the direction towards the peer.
func (s *tcpSocket) CloseWrite() error {
	return s.control(func(fd int) error { return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR)) })
}

// SetNoDelay says whether small writes wait for earlier ones to be acknowledged.
func (s *tcpSocket) SetNoDelay(on bool) error {
	n := 0
	if on {
		n = 1
	}
	return s.control(func(fd int) error {
		return os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, n))
	})
}

func (s *tcpSocket) control(f func(fd int) error) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
