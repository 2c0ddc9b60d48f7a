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
// # Which connections a request that must not be sent twice may have
//
// An idle connection may be closed by its peer in the moment it is used, and of a
// request that was written into that nobody knows whether it was acted on. A
// connection of its own for each would be safe, but takes more time than all the
// rest of such a request. So it may have one that is warm: that has answered in the
// last 50 ms, whose peer is there, of an instance that was seen to keep idle ones.
//
//   - Why so short: what is dangerous is an app whose event loop stands still for
//     longer than its keep-alive timeout (Node: 5 s). When it goes on it looks at its
//     timers first, and closes a connection on which a request has been waiting all
//     the while; one on a new connection would wait until the app gets round to it.
//     An app that has just answered was at work then. Those that stand to lose are
//     the requests of the 50 ms after its last answer before it stood still.
//   - Why it costs nothing: where there is no warm connection, there are fewer than
//     twenty requests a second, for which new ones take a tenth of a percent of a core.
//     (With 10 ms a machine that is busy with other things, where each process waits
//     that long for its turn, made new ones again for half of them.)
//   - Why the instance has to be seen keeping one, and must never have ended one without
//     an answer: there are servers that close at once and do not say so. "Keep-Alive:
//     timeout=5" would be a promise, where it is made; most do not make it, and none is
//     needed.
//
// If it happens all the same: where the peer closed before the request came, this
// is proved by what the kernel says (Conn.unread), and the request may be sent
// again. Where the request was there first, and unread, only a reset is seen, which
// an app that has acted on a part of it and died leaves as well: that is no proof.
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
	// warmFor is how long a connection is warm: see the package's comment.
	warmFor = 50 * time.Millisecond
	// keepsFor is how long an instance must have kept a connection idle to be known
	// for keeping them.
	keepsFor = 500 * time.Millisecond
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

// Reuse says which connections will do for a request.
type Reuse int

const (
	// ReuseAny is an idle connection whose peer is there, or else a new one. It is
	// for requests that may be sent again.
	ReuseAny Reuse = iota
	// ReuseWarm is one that was in use a moment ago, or else a new one. It is for
	// requests that must not be sent twice, and are written in one piece.
	ReuseWarm
	// ReuseNone is a new one.
	ReuseNone
)

// Pool holds the connections to one instance.
type Pool struct {
	opts Options
	dial dialFunc
	// How long connections are warm, and how long an instance must keep one.
	warmFor, keepsFor time.Duration

	mu      sync.Mutex
	idle    []*Conn // last used last
	keeps   bool    // the instance was seen to keep an idle connection
	cut     bool    // the instance has ended a used connection without an answer
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
	return &Pool{opts: o, dial: dialTo(o.Addr), warmFor: warmFor, keepsFor: keepsFor, queue: queue{every: queueTick}}
}

// Get gives a connection for one exchange.
//
// The error is *DialError, or the cause of ctx's end.
func (p *Pool) Get(ctx context.Context, reuse Reuse) (*Conn, error) {
	for c := p.takeIdle(reuse); c != nil; c = p.takeIdle(reuse) {
		if p.usable(c) {
			return c, nil
		}
		c.close()
	}
	queues := reuse == ReuseAny // others wait for nobody
	if queues {
		if c, err := p.enter(ctx); c != nil || err != nil {
			return c, err
		}
	}
	tcp, err := p.dial(ctx)
	if err != nil {
		if queues {
			p.leave(nil)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &DialError{Err: err}
	}
	c := &Conn{tcp: tcp, pool: p, unproven: queues}
	c.br = bufio.NewReaderSize(&limitedReader{c}, bufferSize)
	return c, nil
}

// takeIdle takes the connection that was used last, if it will do; nil: none does.
func (p *Pool) takeIdle(reuse Reuse) *Conn {
	if reuse == ReuseNone {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 || reuse == ReuseWarm && !(p.keeps && !p.cut && time.Since(p.idle[n-1].idleSince) < p.warmFor) {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

// usable tells whether an idle connection can be used, and takes note of what it
// shows of the instance.
func (p *Pool) usable(c *Conn) bool {
	idle := time.Since(c.idleSince)
	present := c.peerPresent()
	if long := idle >= p.keepsFor; present == long { // else it shows nothing
		p.mu.Lock()
		p.keeps = present
		p.mu.Unlock()
	}
	return present && idle < p.opts.IdleTimeout
}

// noAnswer takes note of a connection that has ended without a word of the answer. If
// it was used before, it may have been closed for that, and the instance is not
// trusted with another.
func (p *Pool) noAnswer(c *Conn) {
	if c.idleSince.IsZero() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
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
			continue
		}
		p.keeps = p.keeps || p.opts.IdleTimeout >= p.keepsFor && c.peerPresent()
		c.close()
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

// unread tells, after the end of the connection was read, whether the peer had
// closed it before it got what was written, and has not read that. On Linux the
// error of a connection is EPIPE where its reset came after the peer's FIN
// (tcp_reset), and ECONNRESET where it came without.
//
// What it proves holds for a request that was written in one piece, and is all that
// was written since the last answer. A peer that read it and ended sends a FIN
// alone, as nothing is left unread and nothing more comes. One that sent the FIN
// before it read has no way to answer, and takes no more requests (RFC 9112 §9.6).
func (c *Conn) unread() bool {
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return false
	}
	code := 0
	if raw.Control(func(fd uintptr) { code, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR) }) != nil || err != nil {
		return false
	}
	return syscall.Errno(code) == syscall.EPIPE
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
