package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/event"
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
	ctx, leave, err := k.enter(ctx, mostTime)
	if err != nil {
		return done, err
	}
	defer leave()
	if err := k.record.usable(); err != nil {
		return done, err
	}
	answer, err := k.await()
	if err != nil {
		return done, err
	}
	defer k.stopAwaiting()
	if !r.Fresh {
		s, err := k.choose(ctx, r.ID)
		switch {
		case err == nil:
			r.ID = s.ID
			k.want(s.ID)
		case !r.OrFresh, ctx.Err() != nil: // that it was called off is no failure
			return done, err
		default:
			k.log.Warn("nothing can be restored, and the state begins anew, as was asked for", "error", err)
			r.ID, r.Fresh = "", true
		}
	}
	if done.Before, err = k.beforeRestore(ctx, r); err != nil {
		return done, err
	}
	if err := k.stageAhead(ctx, r); err != nil && (!r.OrFresh || ctx.Err() != nil) {
		if ctx.Err() == nil { // else it was called off
			k.opts.Recorder.RestoreFailed()
			k.event(event.RestoreFailed, fmt.Sprintf("the restore has failed: %v; the gateway was not disturbed", err), nil)
		}
		return done, err
	}
	defer func() { err = errors.Join(err, k.dropStaged()) }()
	before := k.opts.Supervisor.Status()
	w := &wish{ID: r.ID, Fresh: r.Fresh, OrFresh: r.OrFresh, Damaged: r.AcceptDamaged, At: time.Now().UTC(), Generation: before.Generation}
	if err := k.wish(w, answer); err != nil {
		return done, err
	}
	crashpoint.Passed(crashpoint.StateWished)
	if err := k.opts.Supervisor.Restart(ctx); err != nil {
		return done, errors.Join(fmt.Errorf("cannot have the gateway started on the other state: %w", err), k.record.change(func(n *record) {
			if w.is(n.Wish) {
				n.Wish = nil
			}
		}))
	}
	done.ID, err = k.outcome(ctx, answer, before.Generation)
	return done, err
}

// wish writes down what is asked for. What has come of a restore before it is no
// answer.
func (k *Keeper) wish(w *wish, answer <-chan outcome) error {
	k.verdict.Lock()
	defer k.verdict.Unlock()
	select {
	case <-answer:
	default:
	}
	return k.record.change(func(n *record) { n.Wish = w })
}

// stageAhead writes the files while the gateway still runs, so that it stands
// still for the renames alone. While another restored state is on trial that
// cannot be; Prepare does it then.
func (k *Keeper) stageAhead(ctx context.Context, r RestoreRequest) error {
	if r.ID == "" || k.record.get().Trial != 0 {
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

// stagedAhead gives that snapshot if it was staged ahead.
func (k *Keeper) stagedAhead(id store.ID) (store.Snapshot, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.staged == nil || k.staged.Snapshot.ID != id {
		return store.Snapshot{}, false
	}
	return k.staged.Snapshot, true
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
	return k.restore.leftover(staged.Discard())
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

// outcome is what a restore has come to.
type outcome struct {
	err error    // why there was none; nil: all is well
	put store.ID // whose state is in place; empty: one that begins anew
	// unproved: no instance has got ready on it yet, and none need be waited for.
	unproved bool
}

// outcome waits for what comes of a restore. before is the generation of before it
// was asked for.
func (k *Keeper) outcome(ctx context.Context, answer <-chan outcome, before uint64) (store.ID, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	type ending struct {
		st  gateway.Status
		err error
	}
	ended := make(chan ending, 1)
	go func() { // ends with watching
		st, err := k.opts.Supervisor.WaitFor(watching, func(st gateway.Status) bool { return k.cannotGoOn(st, before) })
		ended <- ending{st, err}
	}()
	var o outcome
	select {
	case o = <-answer:
	case e := <-ended:
		select {
		case o = <-answer: // it says more
		default:
			switch {
			case ctx.Err() != nil:
				return "", unawaited(ctx)
			case e.err != nil:
				return "", fmt.Errorf("the restore is not over, but creel does not look after the gateway any more: %w", e.err)
			case e.st.State == gateway.Stopped:
				return "", errors.New("the restore is not over, but the gateway was asked to stop; it goes on with `creel start`")
			}
			return "", fmt.Errorf("the restore is not over, but the gateway cannot be started: %s", e.st.Reason)
		}
	case <-ctx.Done():
		return "", unawaited(ctx)
	}
	if o.err != nil {
		return o.put, o.err
	}
	return o.put, k.awaitReady(ctx, before, o)
}

// cannotGoOn tells whether a restore that was asked for in generation before has
// come to a halt. A gateway that was given up on a restored state has not: the
// old one is put back, see rescue.
func (k *Keeper) cannotGoOn(st gateway.Status, before uint64) bool {
	switch st.State {
	case gateway.Failed:
		return st.Generation > before && (st.LastEnd == nil || !k.record.get().hasFailed(*st.LastEnd))
	case gateway.Stopped:
		return st.StopAsked && st.Generation >= before
	}
	return false
}

// awaitReady waits until the gateway is seen to be ready in a generation after before.
// One that has proved its state was ready, though not everybody may have been told
// yet; if it has ended again since, that is no matter of the restore.
func (k *Keeper) awaitReady(ctx context.Context, before uint64, o outcome) error {
	st, err := k.opts.Supervisor.WaitFor(ctx, func(st gateway.Status) bool {
		was := !o.unproved && st.LastEnd != nil && st.LastEnd.Generation > before
		return st.Generation > before && (st.State == gateway.Ready || was) || k.cannotGoOn(st, before)
	})
	switch {
	case !o.unproved && err == nil:
		return nil
	case ctx.Err() != nil:
		return unawaited(ctx)
	case err != nil:
		return err
	case st.State != gateway.Ready:
		return fmt.Errorf("the state has begun anew, but the gateway is not ready on it: %s", st.Reason)
	}
	return nil
}

func unawaited(ctx context.Context) error {
	return fmt.Errorf("the restore goes on, but is not waited for any longer: %w", context.Cause(ctx))
}

// ErrRestoring says that a restore is under way already.
var ErrRestoring = errors.New("a restore is under way already; see `creel snapshot status`")

// await makes the caller the one that hears of the outcome of a restore.
func (k *Keeper) await() (<-chan outcome, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiter != nil {
		return nil, ErrRestoring
	}
	k.waiter = make(chan outcome, 1)
	return k.waiter, nil
}

// want keeps a snapshot from being removed while a restore is about it.
func (k *Keeper) want(id store.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = id
}

func (k *Keeper) stopAwaiting() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiter, k.wanted = nil, ""
}

// conclude tells whoever waits what a restore has come to, unless that was another one
// than what is wished for by now.
func (k *Keeper) conclude(o outcome) {
	k.verdict.Lock()
	defer k.verdict.Unlock()
	if k.record.get().Wish == nil {
		k.answer(o)
	}
}

// answer tells whoever waits what a restore has come to.
func (k *Keeper) answer(o outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiter == nil {
		return
	}
	select {
	case k.waiter <- o:
	default: // told already
	}
}
