package daemon

import (
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"creel/internal/health"
)

// keptBack is how many descriptors clients may not use up: creel's own files, the
// owner's connections, and what is in reserve.
const keptBack = 64

// clientLimit is how many clients may be connected at once: each may need a
// second descriptor, for its connection to the gateway.
func clientLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20 // not known; accept(2) will say
	}
	return max(1, (int(min(limit.Cur, 1<<30))-keptBack)/2)
}

// roomy is a listener that accepts only while there are descriptors for one more
// client. Those beyond wait in the kernel's queue, where they notice no more than
// that it takes longer; refusing them, or running out of descriptors in the midst
// of their requests, would be worse.
type roomy struct {
	net.Listener
	d      *daemon
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	full bool // all room is taken, or was a moment ago
}

func (d *daemon) roomy(l net.Listener) net.Listener {
	return &roomy{Listener: l, d: d, closed: make(chan struct{})}
}

func (l *roomy) Accept() (net.Conn, error) {
	limit := clientLimit()
	if n := l.d.census.Count(); n >= limit {
		l.tell(limit)
		if !l.d.census.AwaitBelow(limit, l.closed) {
			return nil, net.ErrClosed
		}
	}
	c, err := l.Listener.Accept()
	if err != nil {
		l.d.noDial(err)
	}
	return c, err // the server waits a little, and tries again
}

// tell says that all room is taken, and has connections that idle make some,
// until a tenth of it is free.
func (l *roomy) tell(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return
	}
	l.full = true
	l.d.health.Set(health.Connections, health.Trouble, "as many clients are connected as creel has descriptors for; others wait",
		"raise the limit of open files (LimitNOFILE= in the systemd unit); each client takes two")
	l.d.public.SetKeepAlivesEnabled(false)
	go func() { // ends with the listener; the next client may be long in coming
		if l.d.census.AwaitBelow(max(1, limit*9/10), l.closed) {
			l.relax()
		}
	}()
}

// relax says that there is room again.
func (l *roomy) relax() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = false
	l.d.public.SetKeepAlivesEnabled(true)
	l.d.health.Clear(health.Connections)
}

func (l *roomy) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
