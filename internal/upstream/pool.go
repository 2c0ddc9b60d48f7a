// Package upstream speaks HTTP/1.1 to one instance of a gateway.
//
// It exists because net/http's Transport hides what replaying needs to know: it
// sends some requests again by itself, reuses connections without asking, and
// tells through hooks, not exactly, how far a request got. Here an Exchange is
// one attempt on one connection, and Evidence says exactly which bytes the
// kernel took. Nothing is ever sent twice by this package. As a side effect a
// request without a body needs no goroutine and no header copies.
//
// What is parsed, is parsed by net/http (ReadResponse).
//
// # Why a request that must not be sent twice gets a connection of its own
//
// An idle connection may be closed by its peer in the moment it is used. For some
// such ends it could be proved that the request was not read: Linux reports EPIPE,
// not ECONNRESET, where the peer's FIN came before the RST, so what was written in
// one piece arrived at a closed socket. For one it cannot, and it is a common one:
// an app whose event loop stands still for longer than its keep-alive timeout
// (Node: 5 s) looks at its timers first when it goes on, and closes a connection
// on which a request has been waiting all the while. The end is then a RST alone,
// as it is where an app has read and acted on a part of the request and died. A
// connection that has just been made is not closed so, and the request waits until
// the app gets round to it. To look for a FIN before writing, or to use none but
// connections that were idle for a moment, does not help: the app is silent, not
// late. So such requests are spared the reuse, and connecting is made cheap
// (socket_linux.go).
package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

const (
	// dialTimeout bounds a connection attempt. The instance is on this machine;
	// what takes longer has a full backlog and does not accept.
	dialTimeout = 5 * time.Second
	// defaultMaxIdle is how many idle connections are kept. More than that many
	// requests at once are rare for a single-instance app.
	defaultMaxIdle = 128
	// defaultIdleTimeout is below the keep-alive timeout of common servers
	// (Node: 5 s), so that they seldom close under a request.
	defaultIdleTimeout = 2 * time.Second
	// bufferSize is for the head of an answer, and small bodies with it.
	bufferSize = 4 << 10
)

// DialError says that no connection could be made: nothing of the request has
// left creel.
type DialError struct{ Err error }

func (e *DialError) Error() string { return "cannot connect to the gateway: " + e.Err.Error() }
func (e *DialError) Unwrap() error { return e.Err }

// Blameless tells whether the gateway has nothing to do with it: creel, or the
// machine, is out of something.
func (e *DialError) Blameless() bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(e.Err, errno) {
			return true
		}
	}
	return false
}

// Options are a Pool's settings. Zero values mean the defaults above.
type Options struct {
	Addr        string // host:port of the instance
	MaxIdle     int
	IdleTimeout time.Duration
}

// Pool holds the connections to one instance.
type Pool struct {
	opts Options
	dial dialFunc

	mu      sync.Mutex
	idle    []*Conn // last used last
	queue   queue
	reaper  *time.Timer
	retired bool
}

// NewPool makes a pool. Retire must be called in the end.
func NewPool(o Options) *Pool {
	if o.MaxIdle == 0 {
		o.MaxIdle = defaultMaxIdle
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	return &Pool{opts: o, dial: dialTo(o.Addr), queue: queue{every: queueTick}}
}

// Get gives a connection for one exchange: an idle one whose peer is there, or
// a new one. With fresh set always a new one: a connection that has been idle
// may be closed by its peer in the very moment it is used, which a request that
// must not be sent twice cannot recover from.
//
// The error is *DialError, or the cause of ctx's end.
func (p *Pool) Get(ctx context.Context, fresh bool) (*Conn, error) {
	if !fresh {
		for c := p.takeIdle(); c != nil; c = p.takeIdle() {
			if time.Since(c.idleSince) < p.opts.IdleTimeout && c.peerPresent() {
				return c, nil
			}
			c.close()
		}
	}
	if !fresh {
		if c, err := p.enter(ctx); c != nil || err != nil {
			return c, err
		}
	}
	tcp, err := p.dial(ctx)
	if err != nil {
		if !fresh {
			p.leave(nil)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &DialError{Err: err}
	}
	c := &Conn{tcp: tcp, pool: p, unproven: !fresh}
	c.br = bufio.NewReaderSize(&limitedReader{c}, bufferSize)
	return c, nil
}

func (p *Pool) takeIdle() *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

// put keeps a connection for another exchange, or closes it.
func (p *Pool) put(c *Conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	if c.unproven {
		c.unproven = false
		p.queue.unproven--
	}
	if !p.retired && p.let(c) {
		p.mu.Unlock()
		return
	}
	keep := !p.retired && len(p.idle) < p.opts.MaxIdle
	if keep {
		p.idle = append(p.idle, c)
		if p.reaper == nil {
			p.reaper = time.AfterFunc(p.opts.IdleTimeout, p.reap)
		}
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// reap closes connections that have been idle for too long, so that the
// instance does not keep sockets for nobody.
func (p *Pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaper = nil
	kept := p.idle[:0]
	for _, c := range p.idle {
		if time.Since(c.idleSince) < p.opts.IdleTimeout {
			kept = append(kept, c)
		} else {
			c.close()
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	if len(kept) > 0 {
		p.reaper = time.AfterFunc(p.opts.IdleTimeout-time.Since(kept[0].idleSince), p.reap)
	}
}

// Retire closes what is idle, and lets exchanges under way end by themselves:
// an instance that has ended may have left a whole answer in the socket.
func (p *Pool) Retire() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.retired = nil, true
	if p.reaper != nil {
		p.reaper.Stop()
		p.reaper = nil
	}
	for p.let(nil) { // each finds out by itself
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Conn is a connection to the instance. It carries one exchange at a time.
type Conn struct {
	tcp       socket
	br        *bufio.Reader
	pool      *Pool
	idleSince time.Time
	unproven  bool  // it has not had an answer yet, and the pool waits for it: see queue
	headLeft  int64 // bytes that an answer's head may still have; <0: no limit
}

// Discard closes a connection that is not used after all.
func (c *Conn) Discard() { c.close() }

// proved takes note of the connection's first answer, or of its end.
func (c *Conn) proved() {
	if !c.unproven {
		return
	}
	c.unproven = false
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.proved()
}

func (c *Conn) close() {
	c.proved()
	// An error here tells of nothing that could be done about it.
	_ = c.tcp.Close()
}

// peerPresent looks, without waiting, whether the peer has closed an idle
// connection or has sent what nobody asked for. Either makes it unusable.
func (c *Conn) peerPresent() bool {
	if c.br.Buffered() > 0 {
		return false
	}
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return false
	}
	present := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		present = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && present
}

// limitedReader reads from a connection within its limit for a head.
type limitedReader struct{ c *Conn }

// errHeadTooLarge says that an answer's head went beyond maxHead.
var errHeadTooLarge = fmt.Errorf("its head is larger than %d bytes", maxHead)

func (r *limitedReader) Read(b []byte) (int, error) {
	if r.c.headLeft < 0 {
		return r.c.tcp.Read(b)
	}
	if r.c.headLeft == 0 {
		return 0, errHeadTooLarge
	}
	if int64(len(b)) > r.c.headLeft {
		b = b[:r.c.headLeft]
	}
	n, err := r.c.tcp.Read(b)
	r.c.headLeft -= int64(n)
	return n, err
}

var _ io.Reader = (*limitedReader)(nil)
