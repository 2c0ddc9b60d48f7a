package crashgw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// port is the listening socket, which can be closed and opened again.
type port struct {
	addr      string
	listeners chan net.Listener // each opened listener, for serve
	failure   error             // why listeners was closed; valid after that

	mu sync.Mutex
	ln net.Listener // nil: closed
}

// reopenFor bounds how long reopening tries to get the port back.
const reopenFor = 10 * time.Second

func newPort(number int) *port {
	return &port{
		addr:      fmt.Sprintf("127.0.0.1:%d", number),
		listeners: make(chan net.Listener, 1),
	}
}

// open listens on the port. The error wraps EADDRINUSE if it is taken.
func (p *port) open(ctx context.Context) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp4", p.addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", p.addr, err)
	}
	p.use(ln)
	return nil
}

// use makes ln the listener to serve on.
func (p *port) use(ln net.Listener) {
	p.mu.Lock()
	p.ln = ln
	p.mu.Unlock()
	p.listeners <- ln
}

var errPortClosed = errors.New("the port is closed already")

// closeFor closes the listener and opens it again after d.
func (p *port) closeFor(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln == nil {
		return errPortClosed
	}
	if err := p.ln.Close(); err != nil {
		return fmt.Errorf("cannot close the listener on %s: %w", p.addr, err)
	}
	p.ln = nil
	time.AfterFunc(d, p.reopen)
	return nil
}

// reopen opens the port again. If somebody else has taken it and keeps it, the
// process ends: serve sees listeners closed.
func (p *port) reopen() {
	ctx, cancel := context.WithTimeout(context.Background(), reopenFor)
	defer cancel()
	for {
		err := p.open(ctx)
		if err == nil {
			return
		}
		p.failure = err
		if !errors.Is(err, syscall.EADDRINUSE) || sleep(ctx, 5*time.Millisecond) != nil {
			close(p.listeners)
			return
		}
	}
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
