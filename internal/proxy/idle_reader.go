package proxy

import (
	"errors"
	"io"
	"net"
	"syscall"

	"creel/internal/upstream"
)

// idleReader reads from a connection without holding a buffer while it waits:
// an idle WebSocket costs two goroutines and two sockets, and no memory besides.
type idleReader struct {
	conn net.Conn
	raw  syscall.RawConn // nil: not a plain socket (TLS)
	try  func(fd uintptr) bool
	buf  *[]byte
	n    int
	err  error
}

func newIdleReader(c net.Conn) *idleReader {
	r := &idleReader{conn: c}
	if s, ok := c.(syscall.Conn); ok {
		r.raw, _ = s.SyscallConn() // without it, the plain way is taken
		r.try = r.tryRead
	}
	return r
}

// next waits for bytes and gives them to use, which must not keep them.
func (r *idleReader) next(use func([]byte) error) error {
	if r.raw == nil {
		return r.nextPlain(use)
	}
	if err := r.raw.Read(r.try); err != nil {
		return err
	}
	if r.buf == nil {
		return r.err
	}
	err := r.err
	if r.n > 0 {
		err = use((*r.buf)[:r.n])
	}
	upstream.Buffers.Put(r.buf)
	r.buf = nil
	return err
}

// tryRead reads what is there. It reports false if there is nothing yet: the
// runtime then waits until there is, and calls it again.
func (r *idleReader) tryRead(fd uintptr) bool {
	r.buf, r.err = upstream.Buffers.Get().(*[]byte), nil
	for {
		n, err := syscall.Read(int(fd), *r.buf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			upstream.Buffers.Put(r.buf)
			r.buf = nil
			return false
		case err != nil:
			r.n, r.err = 0, err
		case n == 0:
			r.n, r.err = 0, io.EOF
		default:
			r.n = n
		}
		return true
	}
}

// plainBufferSize is for connections that cannot be waited for without a buffer.
const plainBufferSize = 4 << 10

func (r *idleReader) nextPlain(use func([]byte) error) error {
	if r.buf == nil {
		b := make([]byte, plainBufferSize)
		r.buf = &b
	}
	n, err := r.conn.Read(*r.buf)
	if n > 0 {
		if err := use((*r.buf)[:n]); err != nil {
			return err
		}
	}
	return err
}
