package owner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/snapshot/store"
)

// Demand gives the fencing number if the lease is held. If it is not, Demand waits
// for a look at the store that begins now, and returns *ElsewhereError or
// *UnknownError if it is not held then either.
func (o *Owner) Demand(ctx context.Context) (fence uint64, err error) {
	o.mu.Lock()
	looks := o.looks + 1 // one that is under way may have read the record already
	o.mu.Unlock()
	for asked := false; ; asked = true {
		o.mu.Lock()
		_, held := o.held()
		fence, err, done, changed := o.kept.Fence, o.absence(), o.looks > looks, o.changed
		o.mu.Unlock()
		switch {
		case held:
			return fence, nil
		case done:
			return 0, err
		case !asked || done:
			o.nudge()
		}
		select {
		case <-changed:
			o.nudge()
		case <-ctx.Done():
			return 0, fmt.Errorf("cannot wait for the ownership of the gateway: %w", context.Cause(ctx))
		}
	}
}

// absence says why the lease is not held. o.mu is held.
func (o *Owner) absence() error {
	r := o.owner
	switch {
	case r.Holder != "" && r.Holder != o.holder && !r.Released:
		return &ElsewhereError{Owner: r, Free: o.free, Rebooted: r.Folder == o.opts.Self.folder}
	case o.problem != nil:
		return &UnknownError{Err: o.problem, Lapsed: o.kept.Until != 0}
	case o.looks == 0:
		return &UnknownError{Err: errors.New("the store has not answered yet"), Lapsed: o.kept.Until != 0}
	}
	return &UnknownError{Err: errors.New("the store has not answered in time"), Lapsed: o.kept.Until != 0}
}

// Confirm asks the store whether this creel still is the owner, and gives its
// fencing number: what is saved under it is what counts unless a higher one is
// there. Errors: *ElsewhereError, *UnknownError.
func (o *Owner) Confirm(ctx context.Context) (fence uint64, err error) {
	l, err := o.reached(ctx)
	if err != nil {
		return 0, &UnknownError{Err: err}
	}
	value, version, err := l.Read(ctx, o.opts.Gateway)
	if err != nil {
		return 0, &UnknownError{Err: err}
	}
	if version == "" {
		return 0, &UnknownError{Err: errors.New("there is no record of its owner")}
	}
	r, err := parseRecord(value)
	if err != nil {
		return 0, &UnknownError{Err: err}
	}
	if r.Holder != o.holder {
		return 0, &ElsewhereError{Owner: r, Free: r.Term, Rebooted: r.Folder == o.opts.Self.folder}
	}
	return r.Fence, nil
}

// reached gives the ledger. If no look at it is over yet, as in a creel that has just
// started, the first one is waited for.
func (o *Owner) reached(ctx context.Context) (store.Ledger, error) {
	for {
		o.mu.Lock()
		l, looks, problem, changed := o.ledger, o.looks, o.problem, o.changed
		o.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case looks > 0:
			return nil, cmp.Or(problem, errors.New("the store is not open"))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("the store has not been reached yet: %w", context.Cause(ctx))
		}
	}
}

// TakeOver makes this creel the owner at once, without waiting for another one's
// term to be over. If that one still runs, it goes on until it next renews its
// ownership (a third of its term at most), or, if it does not reach the store, until it
// stops its gateway for the end of its term: two run meanwhile.
func (o *Owner) TakeOver(ctx context.Context) error {
	o.mu.Lock()
	o.forced = true
	o.mu.Unlock()
	_, err := o.Demand(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forced = false // also if it was held already: it is not to be taken back from another later
	return err
}

// Release gives the ownership back, so that any other creel can have it at once. It
// may be called once Run has returned, and only while nothing of the gateway runs.
func (o *Owner) Release(ctx context.Context) error {
	o.mu.Lock()
	_, held := o.held()
	o.mu.Unlock()
	if !held {
		return nil
	}
	err := o.release(ctx)
	if errors.Is(err, store.ErrChanged) {
		err = o.release(ctx) // a renewal has come in late
	}
	if err != nil {
		return fmt.Errorf("the ownership of the gateway is not given back, so that others wait until it has expired: %w", err)
	}
	return nil
}

func (o *Owner) release(ctx context.Context) error {
	l, err := o.open(ctx)
	if err != nil {
		return err
	}
	value, version, err := l.Read(ctx, o.opts.Gateway)
	if err != nil {
		return err
	}
	if version == "" {
		return nil
	}
	r, err := parseRecord(value)
	if err != nil || r.Holder != o.holder {
		return err
	}
	r.Released, r.Nonce, r.Renewed = true, random(16), time.Now().UTC()
	return o.write(ctx, r, version, attempt{r.Nonce, o.now(), o.keeping(r, 0)})
}

// Close lets go of the store, once Run has returned.
func (o *Owner) Close() error {
	o.mu.Lock()
	l := o.ledger
	o.ledger = nil
	o.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.Close()
}

// Status is what is known of a gateway's ownership.
type Status struct {
	Held    bool          `json:"held"`              // by this creel
	Fence   uint64        `json:"fence,omitempty"`   // the present fencing number, as far as it is known
	Machine string        `json:"machine,omitempty"` // the owner's; empty: there is none, or none is known
	DataDir string        `json:"data_dir,omitempty"`
	Since   time.Time     `json:"since,omitzero"`
	Renewed time.Time     `json:"renewed,omitzero"` // by the owner's clock
	Left    time.Duration `json:"left_ns"`          // held: until the gateway is stopped if it cannot be renewed; else: until it may be taken over
	Problem string        `json:"problem,omitempty"`
}

// Status gives the present status.
func (o *Owner) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	left, held := o.held()
	st := Status{Held: held, Fence: o.kept.Fence, Since: o.kept.Since, Left: left}
	if r := o.owner; r.Holder != "" && !r.Released {
		st.Fence, st.Machine, st.DataDir, st.Since, st.Renewed = r.Fence, r.Machine, r.DataDir, r.Since, r.Renewed
	} else if held { // carried on with
		st.Machine, st.DataDir = o.opts.Self.Machine, o.opts.Self.DataDir
	}
	if !held {
		st.Left = o.free
	}
	if o.problem != nil {
		st.Problem = o.problem.Error()
	}
	return st
}
