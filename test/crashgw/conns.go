package crashgw

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connTable knows every connection and its state. net/http tells nobody when an
// answer has been written to the socket, except by the connection's change to
// idle or closed; "answer, then exit" hangs on that.
type connTable struct {
	mu    sync.Mutex
	conns map[net.Conn]*conn
}

type conn struct {
	state    http.ConnState
	hijacked bool
	after    []func() // to be called when the present answer is out
}

type connKey struct{}

func newConnTable() *connTable {
	return &connTable{conns: make(map[net.Conn]*conn)}
}

// enter is http.Server.ConnContext.
func (t *connTable) enter(ctx context.Context, nc net.Conn) context.Context {
	c := &conn{state: http.StateNew}
	t.mu.Lock()
	t.conns[nc] = c
	t.mu.Unlock()
	return context.WithValue(ctx, connKey{}, c)
}

// change is http.Server.ConnState.
func (t *connTable) change(nc net.Conn, state http.ConnState) {
	t.mu.Lock()
	c := t.conns[nc]
	if c == nil { // closed by hand
		t.mu.Unlock()
		return
	}
	c.state = state
	var after []func()
	switch state {
	case http.StateIdle:
		after, c.after = c.after, nil
	case http.StateClosed:
		after, c.after = c.after, nil
		delete(t.conns, nc)
	case http.StateHijacked:
		c.hijacked = true
		delete(t.conns, nc)
	}
	t.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// afterAnswer calls f when the answer to r has been written, or its connection
// is lost. It is to be called by r's handler as its last act.
func (t *connTable) afterAnswer(r *http.Request, f func()) {
	c := r.Context().Value(connKey{}).(*conn)
	t.mu.Lock()
	if !c.hijacked {
		c.after = append(c.after, f)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	f() // the handler itself wrote the answer, and is done
}

// closeOthers closes the idle connections, or all but r's own.
func (t *connTable) closeOthers(r *http.Request, all bool) {
	own := r.Context().Value(connKey{}).(*conn)
	t.mu.Lock()
	defer t.mu.Unlock()
	for nc, c := range t.conns {
		if c == own || (!all && c.state == http.StateActive) {
			continue
		}
		// The peer may have closed it already; either way it is closed.
		_ = nc.Close()
	}
}
