package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// queued is how many requests wait for a connection.
func (p *Pool) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.waiting.Len()
}

// newOnes is how many connections have had no answer yet.
func (p *Pool) newOnes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.unproven
}

// Many requests at once share a few connections where answers come at once, and
// all of them are answered.
func TestQueueShares(t *testing.T) {
	var made atomic.Int64
	booted := make(chan struct{})
	p := serve(t, Options{}, func(c *net.TCPConn, br *bufio.Reader) {
		made.Add(1)
		<-booted
		answerAll(c, br)
	})
	p.queue.every = time.Hour
	const requests = 200
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			c, err := p.Get(t.Context(), ReuseAny)
			if err != nil {
				t.Errorf("get: %v", err)
				return
			}
			exchange(t, c, request(nil, 0))
		})
	}
	eventually(t, "all but a few to wait", func() bool { return p.queued() == requests-unprovenLimit })
	close(booted)
	all.Wait()
	if n := made.Load(); n != unprovenLimit {
		t.Errorf("%d connections were made, want %d", n, unprovenLimit)
	}
	if p.queued() != 0 || p.newOnes() != 0 {
		t.Errorf("%d wait, %d connections count as new", p.queued(), p.newOnes())
	}
}

// Where no answer comes, requests get connections of their own after a while.
func TestQueueIsBounded(t *testing.T) {
	p := serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) })
	const requests = 5 * unprovenLimit
	var conns []*Conn
	for range requests {
		conns = append(conns, get(t, p, false))
	}
	if n := p.newOnes(); n != requests {
		t.Errorf("%d connections count as new, want %d", n, requests)
	}
	for _, c := range conns {
		c.Discard()
	}
	if n := p.newOnes(); n != 0 {
		t.Errorf("%d connections count as new after their end", n)
	}
}

// Where connections are handed on fast enough, a tick has no others made; where they
// are not any more, the next one has.
func TestQueueCountsThoseThatWentOn(t *testing.T) {
	p := serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) })
	p.queue.every = time.Hour
	var conns []*Conn
	for range unprovenLimit {
		conns = append(conns, get(t, p, false))
	}
	const behind = 2*unprovenLimit + 3
	got := make(chan *Conn, behind)
	for range behind {
		go func() {
			c, err := p.Get(t.Context(), ReuseAny)
			if err != nil {
				t.Errorf("get: %v", err)
			}
			got <- c
		}()
	}
	eventually(t, "all to wait", func() bool { return p.queued() == behind })
	for _, c := range conns {
		p.put(c)
	}
	p.tick()
	if n, queued := p.newOnes(), p.queued(); n != 0 || queued != behind-unprovenLimit {
		t.Errorf("%d connections were made though %d were handed on; %d wait", n, unprovenLimit, queued)
	}
	p.tick()
	if n, queued := p.newOnes(), p.queued(); n != behind-unprovenLimit || queued != 0 {
		t.Errorf("%d connections were made though none was handed on; %d wait", n, queued)
	}
	for range behind {
		(<-got).Discard()
	}
}

// A request whose client leaves does not wait, and what it would have got goes to
// the next.
func TestQueueLeave(t *testing.T) {
	p := serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) })
	var conns []*Conn
	for range unprovenLimit {
		conns = append(conns, get(t, p, false))
	}
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	for range 100 {
		if c, err := p.Get(ctx, ReuseAny); err == nil { // its turn came first
			c.Discard()
		} else if !errors.Is(err, gone) {
			t.Fatalf("get: %v", err)
		}
	}
	eventually(t, "the queue to be empty", func() bool { return p.queued() == 0 })
	if n := p.newOnes(); n != unprovenLimit {
		t.Errorf("%d connections count as new, want %d", n, unprovenLimit)
	}
	for _, c := range conns {
		c.Discard()
	}
}

// The end of the pool lets all go that wait, and a refused connection is none that
// the others wait for.
func TestQueueRetire(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(Options{Addr: l.Addr().String()})
	_ = l.Close()
	var all sync.WaitGroup
	for range 10 * unprovenLimit {
		all.Go(func() {
			var dial *DialError
			if _, err := p.Get(t.Context(), ReuseAny); !errors.As(err, &dial) {
				t.Errorf("get: %v", err)
			}
		})
	}
	all.Wait()
	if p.queued() != 0 || p.newOnes() != 0 {
		t.Errorf("%d wait, %d connections count as new", p.queued(), p.newOnes())
	}

	p = serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) })
	for range unprovenLimit {
		defer get(t, p, false).Discard()
	}
	for range 3 {
		all.Go(func() {
			c, err := p.Get(t.Context(), ReuseAny)
			if err != nil {
				t.Errorf("get: %v", err)
				return
			}
			c.Discard()
		})
	}
	p.Retire()
	all.Wait()
	if p.queued() != 0 {
		t.Errorf("%d wait", p.queued())
	}
}

// A request that must not be sent twice waits for nobody.
func TestQueueFresh(t *testing.T) {
	p := serve(t, Options{}, func(c *net.TCPConn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) })
	for range unprovenLimit {
		defer get(t, p, false).Discard()
	}
	before := p.newOnes()
	c := get(t, p, true)
	defer c.Discard()
	if c.unproven || p.newOnes() != before {
		t.Error("it counts for others")
	}
}
