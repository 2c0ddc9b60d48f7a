package upstream

import (
	"container/list"
	"context"
	"time"
)

const (
	// unprovenLimit is how many connections may be new at once, without an answer
	// yet, before requests wait for one that others have done with.
	unprovenLimit = 8
	// queueTick is how long they wait, at first for unprovenLimit of them to go on, be
	// it with new connections, then for twice as many with each tick.
	queueTick = time.Millisecond
)

// queue lets requests wait a moment for a connection. When many come at once, as
// after a boot, and each makes a connection of its own, then both sides are busy
// with connections first, and nobody has an answer before most have one. A few
// connections, handed on from one request to the next, answer the first ones at
// once and the last ones sooner. Where answers take their time the wait is not
// worth it, so it is bounded: some milliseconds for hundreds of requests. A tick
// sees to it that so many have gone on since the last one, by whatever way; it has
// none made where connections are handed on faster than that, since those who make
// them keep the others, and the gateway, from their work.
//
// It is guarded by the pool's mutex.
type queue struct {
	unproven int       // connections that are being made, or have had no answer yet
	waiting  list.List // of chan *Conn, with capacity 1
	timer    *time.Timer
	every    time.Duration // queueTick
	batch    int           // how many are to have gone on by the next tick
	gone     int           // how many have, since the last one
}

// enter asks for the right to make a connection. It returns a connection that
// another request has done with, or nil where one may be made; then the pool
// counts it as unproven. The error is the cause of ctx's end.
func (p *Pool) enter(ctx context.Context) (*Conn, error) {
	p.mu.Lock()
	if p.queue.unproven < unprovenLimit && p.queue.waiting.Len() == 0 || p.retired {
		p.queue.unproven++
		p.mu.Unlock()
		return nil, nil
	}
	turn := make(chan *Conn, 1)
	place := p.queue.waiting.PushBack(turn)
	if p.queue.timer == nil {
		p.queue.batch, p.queue.gone = unprovenLimit, 0
		p.queue.timer = time.AfterFunc(p.queue.every, p.tick)
	}
	p.mu.Unlock()
	select {
	case c := <-turn:
		return c, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.queue.waiting.Remove(place) // of no effect if its turn has come in this moment
	p.mu.Unlock()
	select {
	case c := <-turn:
		p.leave(c)
	default:
	}
	return nil, context.Cause(ctx)
}

// leave gives back what a request got that has no use for it any more.
func (p *Pool) leave(c *Conn) {
	if c != nil {
		p.put(c)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proved()
}

// proved takes note that a connection has brought an answer, or has come to its
// end: another one may be made. p.mu is held.
func (p *Pool) proved() {
	p.queue.unproven--
	if p.queue.unproven < unprovenLimit {
		p.let(nil)
	}
}

// let gives the first in the queue its turn, with a connection, or with nil the
// right to make one. It tells whether there was anybody. p.mu is held.
func (p *Pool) let(c *Conn) bool {
	first := p.queue.waiting.Front()
	if first == nil {
		return false
	}
	if c == nil {
		p.queue.unproven++
	}
	p.queue.gone++
	p.queue.waiting.Remove(first).(chan *Conn) <- c
	return true
}

// tick lets those through who have waited, as far as the batch is not full.
func (p *Pool) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.queue.gone < p.queue.batch && p.let(nil) {
	}
	p.queue.batch, p.queue.gone = 2*p.queue.batch, 0
	p.queue.timer = nil
	if p.queue.waiting.Len() > 0 {
		p.queue.timer = time.AfterFunc(p.queue.every, p.tick)
	}
}
