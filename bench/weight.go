package main

import (
	"context"
	"fmt"
	"time"
)

// weight is a contestant's memory, from without and from within.
type weight struct {
	memory
	counters
}

const (
	// Memory is at rest when it has kept within this for as long as planned. A Go
	// program gives memory back to the kernel bit by bit after a load.
	restWithin   = 128 << 10
	restInterval = 200 * time.Millisecond
	// restPatience bounds the wait for it.
	restPatience = 60 * time.Second
)

// restRequests are made before a contestant is weighed: what is set up with the
// first requests belongs to a proxy at rest.
const restRequests = 1000

// weighAfterRequests has each contestant serve some requests and weighs it at
// rest.
func (b *bench) weighAfterRequests(ctx context.Context, up []*standing) ([]weight, error) {
	for _, s := range up {
		if err := serveSome(s.addr); err != nil {
			return nil, fmt.Errorf("cannot send requests to %s: %w", s.name, err)
		}
	}
	return b.weigh(ctx, up)
}

// serveSome makes restRequests requests, one after the other, over a few
// connections.
func serveSome(addr string) error {
	const conns = 8
	for range conns {
		w, err := dialWire(addr, time.Now().Add(loadPatience))
		if err != nil {
			return err
		}
		request := getRequest(addr, "/small")
		for range restRequests / conns {
			if err := w.exchange(request, smallBody); err != nil {
				_ = w.close() // the first error is the one to tell
				return err
			}
		}
		if err := w.close(); err != nil {
			return err
		}
	}
	return nil
}

// weigh waits until the memory of all contestants is at rest, and reads it. The
// garbage collector is left to itself: what it has not collected is held too.
func (b *bench) weigh(ctx context.Context, up []*standing) ([]weight, error) {
	weights := make([]weight, len(up))
	resident, err := b.rest(ctx, up)
	if err != nil {
		return nil, err
	}
	for i, s := range up {
		weights[i].memory = resident[i]
		if weights[i].counters, err = s.counters(ctx); err != nil {
			return nil, err
		}
	}
	return weights, nil
}

// rest waits until the memory of all contestants is at rest, and returns it.
func (b *bench) rest(ctx context.Context, up []*standing) ([]memory, error) {
	ctx, cancel := context.WithTimeout(ctx, restPatience)
	defer cancel()
	now := make([]memory, len(up))
	low, high := make([]int64, len(up)), make([]int64, len(up))
	since := time.Now()
	for {
		for i, s := range up {
			var err error
			if now[i], err = s.memory(); err != nil {
				return nil, err
			}
			r := now[i].Resident
			low[i], high[i] = min(low[i], r), max(high[i], r)
			if high[i]-low[i] > restWithin {
				low[i], high[i], since = r, r, time.Now()
			}
		}
		if time.Since(since) >= b.plan.RestFor {
			return now, nil
		}
		if err := pause(ctx, restInterval); err != nil {
			return nil, fmt.Errorf("the memory of the contestants does not come to rest: %w", err)
		}
	}
}

// memory is that of all processes of a contestant.
func (s *standing) memory() (memory, error) {
	var sum memory
	for _, pid := range s.pids {
		m, err := memoryOf(pid)
		if err != nil {
			return memory{}, err
		}
		sum.Resident += m.Resident
		sum.Anonymous += m.Anonymous
	}
	return sum, nil
}
