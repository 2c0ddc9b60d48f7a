package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// errClosed is returned by calls after Close.
var errClosed = errors.New("the snapshot store is closed")

// calls counts the calls under way, so that Close can wait for them.
type calls struct {
	mu     sync.Mutex
	under  int
	closed bool
	idle   chan struct{} // made by close; closed when none is under way
}

func (c *calls) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.under++
	return nil
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.under--; c.under == 0 && c.closed {
		close(c.idle)
	}
}

// close lets no more calls in and waits for those under way.
func (c *calls) close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed, c.idle = true, make(chan struct{})
		if c.under == 0 {
			close(c.idle)
		}
	}
	n := c.under
	c.mu.Unlock()
	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d calls are still under way: %w", n, context.Cause(ctx))
	}
}

// giveUpKey is the key of a context that ends when a request is given up.
type giveUpKey struct{}

// oneFailure is a context that ends, with the error as its cause, when the guard
// gives up a request that is made under it. kopia's epoch manager asks again for
// as long as its context lives, whatever the answer, and its writer goes on to the
// next blob after one that could not be written.
func oneFailure(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, giveUpKey{}, cancel), func() { cancel(nil) }
}

// gaveUp ends the call that a request was made for.
func gaveUp(ctx context.Context, err error) error {
	if cancel, ok := ctx.Value(giveUpKey{}).(context.CancelCauseFunc); ok {
		cancel(err)
	}
	return err
}

// enter begins a call. The caller calls leave when it ends.
func (s *kopiaStore) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	if err := s.calls.enter(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := oneFailure(withLogger(ctx, s.opts.Logger))
	return ctx, func() {
		cancel()
		s.calls.leave()
	}, nil
}

// enterWriting is enter for a call that writes: it waits for its turn.
func (s *kopiaStore) enterWriting(ctx context.Context) (context.Context, func(), error) {
	ctx, out, err := s.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		err := context.Cause(ctx)
		out()
		return nil, nil, err
	}
	return ctx, func() {
		<-s.writing
		giveBack()
		out()
	}, nil
}

// Close ends with an error when ctx ends before the calls under way do.
func (s *kopiaStore) Close(ctx context.Context) error {
	err := s.calls.close(ctx)
	if err == nil {
		s.closing.Do(func() { err = s.repo.Close(withLogger(ctx, s.opts.Logger)) })
	}
	if err != nil {
		return fmt.Errorf("cannot close the snapshot store %s: %w", s.opts.name(), err)
	}
	return nil
}

// fail says what could not be done. What callers branch on stays on top of the
// chain and is not said twice.
func fail(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if d, ok := errors.AsType[*DamagedError](err); ok {
		return d
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if a, ok := errors.AsType[*AccessError](err); ok {
		return a
	}
	if unreadable(err) {
		return &DamagedError{Err: fmt.Errorf("its index cannot be read: %w; a stock kopia may make it anew (`kopia index recover`)", err)}
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}
