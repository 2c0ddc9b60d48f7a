package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// socketsBar is how much memory an idle WebSocket may take, in KiB.
var socketsBar = &bar{Limit: 12, Of: barValue}

// measureSockets weighs contestants without and with idle WebSockets. The
// memory of the kernel for their sockets is not in it: it is the same for all.
func measureSockets(ctx context.Context, b *bench) (rows []row, err error) {
	if err := enoughFiles(b.plan.Sockets); err != nil {
		return nil, err
	}
	up, err := b.stand(ctx, gatewayOptions{}, b.creel, b.plain)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	before, err := b.weighAfterRequests(ctx, up)
	if err != nil {
		return nil, err
	}
	clients, err := b.openEach(ctx, up, b.plan.Sockets)
	defer func() { err = errors.Join(err, releaseAll(clients)) }()
	if err != nil {
		return nil, err
	}
	after, err := b.weigh(ctx, up)
	if err != nil {
		return nil, err
	}
	n := float64(b.plan.Sockets)
	each := func(of func(weight) float64) (creel, plain []float64) {
		per := func(i int) []float64 { return []float64{(of(after[i]) - of(before[i])) / n / 1024} }
		return per(0), per(1)
	}
	creelRSS, plainRSS := each(func(w weight) float64 { return float64(w.Resident) })
	creelUse, plainUse := each(func(w weight) float64 { return w.HeapInUse + w.StackInUse })
	return rowsOf(
		line{fmt.Sprintf("resident memory for each of %d", b.plan.Sockets), "KiB", socketsBar, creelRSS, plainRSS},
		line{"heap and stacks in use for each", "KiB", nil, creelUse, plainUse},
	)
}

// openEach opens n idle WebSockets on each contestant, and keeps them for as long
// as planned. What is returned is to be released in any case.
func (b *bench) openEach(ctx context.Context, up []*standing, n int) (clients []*holding, err error) {
	for _, s := range up {
		h, err := b.openIdle(ctx, s.addr, n)
		if err != nil {
			return clients, fmt.Errorf("%s: %w", s.name, err)
		}
		clients = append(clients, h)
	}
	return clients, pause(ctx, b.plan.Hold)
}

func releaseAll(clients []*holding) error {
	var errs []error
	for _, h := range clients {
		errs = append(errs, h.release())
	}
	return errors.Join(errs...)
}

// enoughFiles checks that a proxy may have as many files open as n WebSockets
// need: two each, and some besides. Go programs raise their limit by themselves,
// as far as it goes.
func enoughFiles(n int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	if need := uint64(2*n + 200); l.Max < need {
		return fmt.Errorf("%d idle WebSockets need %d open files, and the limit is %d; raise it with `ulimit -Hn`", n, need, l.Max)
	}
	return nil
}
