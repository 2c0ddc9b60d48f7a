package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/store"
)

// Lease settles which machine may run the gateway, and save it: an *owner.Owner.
type Lease interface {
	// Demand gives the fencing number, or says why the gateway must not run here.
	Demand(ctx context.Context) (fence uint64, err error)
	// Confirm asks the store whether the lease is still this creel's.
	Confirm(ctx context.Context) (fence uint64, err error)
	TakeOver(ctx context.Context) error
	Status() owner.Status
}

// ErrNoLease says that no lease is kept on the gateway: see snapshots.owner.
var ErrNoLease = errors.New("this creel shares its gateway with no other: snapshots.owner is off, or auto with a store that is not of kind s3")

// TakeOver makes this creel the owner of the gateway, whoever is. Errors:
// ErrNoLease, *owner.UnknownError.
func (k *Keeper) TakeOver(ctx context.Context) error {
	if k.opts.Lease == nil {
		return ErrNoLease
	}
	return k.opts.Lease.TakeOver(ctx)
}

// owned demands the lease for a launch (I1), and sees to it that the state is the
// one that its last owner has left.
func (k *Keeper) owned(ctx context.Context) error {
	if k.opts.Lease == nil {
		return nil
	}
	fence, err := k.opts.Lease.Demand(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		end := owner.End(err)
		return &gateway.PlanError{Cause: end.Cause, Hint: end.Hint, Err: err}
	}
	return k.catchUp(ctx, fence)
}

// catchUp wishes for the newest snapshot if another owner has taken one since this
// state was the gateway's: to go on with this one would be to forget what has
// happened there. It is set aside as by any restore, and comes back if no instance
// gets ready on the newer one.
func (k *Keeper) catchUp(ctx context.Context, fence uint64) error {
	r := k.record.get()
	if r.Fence == fence {
		return nil
	}
	empty, err := k.restore.empty()
	if err != nil {
		return gateway.RestoreError(err, "Let creel read the gateway's state folders.", false)
	}
	newer := store.ID("")
	if r.Lineage != "" && !empty && r.Wish == nil { // a state on trial makes room, see judge
		s, err := k.choose(ctx, "")
		switch {
		case err == nil && s.ID != r.Last && (r.Fence != 0 && fenceOf(s) > r.Fence || r.Fence == 0 && grownElsewhere(s, r)):
			newer = s.ID
		case err != nil && !errors.Is(err, errNone) && r.Fence != 0:
			return gateway.RestoreError(fmt.Errorf("another machine has owned the gateway since it ran here, and what it has saved cannot be told: %w", err), "See that the snapshot store can be reached, then `creel start`.", false)
		}
	}
	if newer != "" {
		k.event(event.RestoreBegun, fmt.Sprintf("another machine has run the gateway since it ran here, and saved %s; the state that is here is set aside for it", newer), map[string]any{"snapshot": newer})
	}
	err = k.record.change(func(n *record) {
		n.Fence = fence
		if newer != "" && n.Wish == nil { // else a person has asked for something meanwhile
			n.Wish = &wish{ID: newer, Moved: true, At: time.Now().UTC()}
		}
	})
	if err != nil {
		return gateway.RestoreError(err, "Make room in creel's data folder.", false)
	}
	return nil
}

// grownElsewhere tells whether a snapshot is of this state as it went on under a lease on
// another machine, while none was kept here.
func grownElsewhere(s store.Snapshot, r record) bool {
	return s.Fence > 0 && s.Lineage == r.Lineage && s.Machine != machine() && s.Order().After(r.LastAt)
}

// confirmed gives the fencing number for a snapshot that is about to be saved. What
// another machine has moved on from is not saved: it would look like the newest.
func (k *Keeper) confirmed(ctx context.Context) (fence uint64, err error) {
	if k.opts.Lease == nil {
		return 0, nil
	}
	if fence, err = k.opts.Lease.Confirm(ctx); err != nil {
		return 0, fmt.Errorf("the state of a gateway that this machine may not own is not saved: %w", err)
	}
	if r := k.record.get(); r.Fence != 0 && r.Fence != fence {
		return 0, fmt.Errorf("the state here is from before another machine owned the gateway (fencing number %d, now %d), and is not saved as its newest", r.Fence, fence)
	}
	return fence, nil
}
