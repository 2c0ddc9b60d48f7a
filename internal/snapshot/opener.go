package snapshot

import (
	"context"
	"errors"
	"fmt"

	"creel/internal/snapshot/store"
)

// opener opens a store when it is first needed.
type opener struct {
	open func(ctx context.Context) (store.Store, error)
	told func(error)   // how the last attempt to open it has ended
	turn chan struct{} // holds a value while it is opened or closed
	// Of whoever has the turn:
	st     store.Store // nil: not open
	closed bool        // for good
}

func newOpener(open func(ctx context.Context) (store.Store, error), told func(error)) *opener {
	return &opener{open: open, told: told, turn: make(chan struct{}, 1)}
}

// get opens the store unless it is open.
func (o *opener) get(ctx context.Context) (store.Store, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot wait for the snapshot store to be opened: %w", context.Cause(ctx))
	}
	if o.closed {
		return nil, ErrEnding
	}
	if o.st != nil {
		return o.st, nil
	}
	st, err := o.open(ctx)
	if ctx.Err() == nil {
		o.told(err)
	}
	if err != nil {
		return nil, err
	}
	o.st = st
	return st, nil
}

// close closes the store, for good.
func (o *opener) close(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return fmt.Errorf("cannot close the snapshot store: %w", context.Cause(ctx))
	}
	o.closed = true
	if o.st == nil {
		return nil
	}
	err := o.st.Close(ctx)
	o.st = nil
	return err
}

// storeHealth notes whether the store can be used, by the outcome of a call that
// needed it. What says nothing of the store is passed over.
func (k *Keeper) storeHealth(err error) {
	var damaged *store.DamagedError
	switch {
	case err == nil:
		k.clear(TroubleStore)
	case errors.Is(err, store.ErrNotFound), errors.As(err, &damaged) && damaged.ID != "", errors.Is(err, context.Canceled), errors.Is(err, ErrEnding):
	default:
		message := err.Error()
		if _, says := errors.AsType[*store.AccessError](err); !says { // which store, and that it cannot be used
			message = "the snapshot store " + k.opts.Where + " cannot be used: " + message
		}
		k.set(TroubleStore, message)
	}
}
