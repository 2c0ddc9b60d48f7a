package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

// RestoreRequest asks for another state.
type RestoreRequest struct {
	ID store.ID // or the beginning of one; empty: the newest good one
	// Fresh sets the present state aside and begins without one; ID is then
	// empty.
	Fresh bool
	// OrFresh does that if the restore fails.
	OrFresh bool
	// NoSnapshot does not take a snapshot of the present state before. It is set
	// aside all the same.
	NoSnapshot bool
	// AcceptDamaged restores databases that are damaged, too.
	AcceptDamaged bool
}

// Restored is what a restore has come to.
type Restored struct {
	ID store.ID `json:"snapshot,omitempty"` // empty: a fresh start
	// Before is the snapshot of the state that was there; empty: none was taken.
	Before store.ID `json:"before,omitempty"`
}

// Restore puts another state in the place of the present one: the present one is
// saved, the gateway is stopped in good order, and its next instance is launched
// on the other state. It returns when that instance is ready, or when the old
// state is back and why. What was begun goes on when ctx ends.
//
// A gateway that a person had stopped is started: only an instance that gets
// ready shows that the state is good.
func (k *Keeper) Restore(ctx context.Context, r RestoreRequest) (done Restored, err error) {
	answer, err := k.await()
	if err != nil {
		return done, err
	}
	defer k.stopAwaiting(answer)
	if !r.Fresh {
		s, err := k.choose(ctx, r.ID)
		switch {
		case err == nil:
			r.ID, done.ID = s.ID, s.ID
		case !r.OrFresh:
			return done, err
		}
	}
	if done.Before, err = k.beforeRestore(ctx, r); err != nil {
		return done, err
	}
	if err := k.stageAhead(ctx, r); err != nil && !r.OrFresh {
		return done, err
	}
	defer func() { err = errors.Join(err, k.dropStaged()) }()
	w := &wish{ID: r.ID, Fresh: r.Fresh, OrFresh: r.OrFresh, Damaged: r.AcceptDamaged, At: time.Now().UTC()}
	if err := k.record.change(func(n *record) { n.Wish = w }); err != nil {
		return done, err
	}
	crashpoint.Passed(crashpoint.StateWished)
	if err := k.opts.Supervisor.Restart(ctx); err != nil {
		return done, errors.Join(err, k.record.change(func(n *record) { n.Wish = nil }))
	}
	if err := k.outcome(ctx, answer); err != nil {
		return done, err
	}
	done.ID = k.record.get().Parent
	return done, nil
}

// stageAhead writes the files while the gateway still runs, so that it stands
// still for the renames alone.
func (k *Keeper) stageAhead(ctx context.Context, r RestoreRequest) error {
	if r.ID == "" {
		return nil
	}
	s, err := k.choose(ctx, r.ID)
	if err != nil {
		return err
	}
	staged, err := k.stage(ctx, s, r.AcceptDamaged)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.staged = staged
	return nil
}

// stagedAhead tells whether files were staged for a restore that is wished for.
func (k *Keeper) stagedAhead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.staged != nil
}

// takeStaged gives what was staged ahead of that snapshot; nil: nothing.
func (k *Keeper) takeStaged(id store.ID) *restore.Staged {
	k.mu.Lock()
	defer k.mu.Unlock()
	staged := k.staged
	if staged == nil || staged.Snapshot.ID != id {
		return nil
	}
	k.staged = nil
	return staged
}

// dropStaged discards what was staged and never asked for.
func (k *Keeper) dropStaged() error {
	k.mu.Lock()
	staged := k.staged
	k.staged = nil
	k.mu.Unlock()
	if staged == nil {
		return nil
	}
	return staged.Discard()
}

// beforeRestore saves the present state.
func (k *Keeper) beforeRestore(ctx context.Context, r RestoreRequest) (store.ID, error) {
	empty, err := k.restore.empty()
	if err != nil || empty || r.NoSnapshot {
		return "", err
	}
	s, err := k.Create(ctx, Request{Reason: store.BeforeRestore})
	if errors.Is(err, ErrNoLineage) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("the present state could not be saved before it is replaced (--no-snapshot does without; it is set aside, not removed): %w", err)
	}
	return s.ID, nil
}

// outcome waits for what comes of a restore.
func (k *Keeper) outcome(ctx context.Context, answer <-chan error) error {
	failed := make(chan gateway.Status, 1)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with watching
		asked := false // the state of before the restart does not count
		st, err := k.opts.Supervisor.WaitFor(watching, func(st gateway.Status) bool {
			asked = asked || st.State != gateway.Failed
			return asked && st.State == gateway.Failed
		})
		if err == nil {
			failed <- st
		}
	}()
	select {
	case err := <-answer:
		return err
	case st := <-failed:
		select {
		case err := <-answer: // it says more
			return err
		default:
		}
		return fmt.Errorf("the restore is not over, but the gateway cannot be started: %s", st.Reason)
	case <-ctx.Done():
		return fmt.Errorf("the restore goes on, but is not waited for any longer: %w", context.Cause(ctx))
	}
}

// ErrRestoring says that a restore is under way already.
var ErrRestoring = errors.New("a restore is under way already; see `creel snapshot status`")

// await makes the caller the one that hears of the outcome of a restore.
func (k *Keeper) await() (<-chan error, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiter != nil {
		return nil, ErrRestoring
	}
	k.waiter = make(chan error, 1)
	return k.waiter, nil
}

func (k *Keeper) stopAwaiting(answer <-chan error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiter == answer {
		k.waiter = nil
	}
}

// answer tells whoever waits what a restore has come to; nil: all is well.
func (k *Keeper) answer(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiter == nil {
		return
	}
	select {
	case k.waiter <- err:
	default: // told already
	}
}

// Ready implements gateway.Keeper.
func (k *Keeper) Ready(generation uint64) {
	select {
	case k.proof <- generation:
	default:
		// An older one has not been looked at yet: the newer one is seen in the
		// supervisor's status then.
	}
	k.nudge()
}

// prove ends the trial of a restored state on which an instance has got ready.
func (k *Keeper) prove(ctx context.Context, generation uint64) error {
	r := k.record.get()
	if r.Trial == 0 || generation < r.Trial {
		return nil
	}
	if err := k.restore.confirm(); err != nil {
		return err
	}
	if err := k.record.change(func(n *record) { *n = n.proved() }); err != nil {
		return err
	}
	crashpoint.Passed(crashpoint.StateProved)
	k.clear(troubleRestore)
	k.answer(nil)
	return nil
}
