package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

// Prepare implements gateway.Keeper: it makes the state fit for the next
// instance, in this order:
//
//  0. The lease is demanded, where several machines share the gateway (lease.go).
//  1. A restore that was cut short is finished or taken back.
//  2. A restored state on which an instance has failed is replaced by the old one.
//  3. A restore that a person asked for is carried out. If it fails, the old state
//     is as it was, and the gateway starts on it.
//  4. A state that is missing is filled from the newest good snapshot. If that
//     fails, Prepare does, and the gateway is not started.
//  5. The state that another version of the app has left is saved.
func (k *Keeper) Prepare(ctx context.Context, still gateway.Stillness, p gateway.Preparation) error {
	if err := k.owned(ctx); err != nil {
		return err
	}
	if k.stagedAhead() {
		// What lies beside the state is this Keeper's, and about to be used.
	} else if err := k.recover(still); err != nil {
		return gateway.RestoreError(err, "See docs/snapshots.md, \"When a restore was cut short\".", true)
	}
	if err := k.judge(ctx, still, p); err != nil {
		return gateway.RestoreError(err, "The restored state and the old one are both there; see `creel snapshot status`.", true)
	}
	if err := k.fulfil(ctx, still, p); err != nil {
		return err
	}
	if err := k.fill(ctx, still, p); err != nil {
		return err
	}
	return k.beforeUpgrade(ctx, still, p)
}

// recover finishes or takes back a restore that was cut short, and brings the
// record up to what was found.
func (k *Keeper) recover(still gateway.Stillness) error {
	got, err := k.restore.Recover(still)
	if err != nil {
		return err
	}
	if got.Trouble != nil {
		k.log.Warn("a restore that was cut short has left something", "error", got.Trouble)
	}
	r := k.record.get()
	message := ""
	switch got.Outcome {
	case restore.Nothing:
		if r.Trial == 0 {
			return nil
		}
		return k.record.change(func(n *record) { *n = n.proved() }) // it was confirmed, and creel died
	case restore.RolledBack:
		message = fmt.Sprintf("the restore of snapshot %s had not got far when creel died; the old state is as it was", got.Snapshot)
	case restore.Undone:
		message = fmt.Sprintf("the restore of snapshot %s was taken back; the old state is in place", got.Snapshot)
		err = k.record.change(func(n *record) {
			if n.Trial != 0 {
				*n = *n.earlier()
			}
			n.Wish, n.Next = nil, nil
		})
		k.answer(errors.New(message))
	case restore.RolledForward, restore.StillOnTrial:
		if r.Next == nil { // the record says so already
			return nil
		}
		message = fmt.Sprintf("the restore of snapshot %s was finished; its state is in place", got.Snapshot)
		if err = k.record.change(func(n *record) { *n = *n.Next }); err == nil && r.Next.Trial == 0 {
			err = k.restore.confirm()
		}
	}
	if err != nil {
		return err
	}
	k.event(event.RestoreRecovered, message, map[string]any{"snapshot": got.Snapshot, "outcome": got.Outcome})
	return nil
}

// blameless are causes of an end that say nothing about the state: the instance
// has not been able to show what it makes of it.
var blameless = []gateway.Cause{
	gateway.CauseAsked, gateway.CausePortTaken, gateway.CauseCommand, gateway.CauseLimits, gateway.CauseLaunch, gateway.CauseCreelAway, gateway.CauseRestore,
	gateway.CauseOwnedElsewhere, gateway.CauseOwnerUnknown,
}

// judge puts the old state back if the instance that was to prove the restored
// one has failed.
func (k *Keeper) judge(ctx context.Context, still gateway.Stillness, p gateway.Preparation) error {
	r := k.record.get()
	if r.Trial == 0 {
		return nil
	}
	if p.Last.Generation != r.Trial || slices.Contains(blameless, p.Last.Cause) {
		return k.record.change(func(n *record) { n.Trial = p.Generation })
	}
	p.Restoring()
	if err := k.restore.undo(still); err != nil {
		return fmt.Errorf("cannot put the old state back: %w", err)
	}
	why := fmt.Errorf("the gateway did not get ready on the state of snapshot %s (%s); the old state is back", r.Put, p.Last.Message)
	if err := k.record.change(func(n *record) { *n = *r.earlier() }); err != nil {
		return err
	}
	k.opts.Recorder.RestoreFailed()
	k.event(event.RestoreUndone, why.Error(), map[string]any{"snapshot": r.Put})
	k.set(troubleRestore, why.Error())
	k.answer(why)
	return nil
}

// fulfil carries out the restore that a person asked for.
func (k *Keeper) fulfil(ctx context.Context, still gateway.Stillness, p gateway.Preparation) error {
	w := k.record.get().Wish
	if w == nil {
		return nil
	}
	err := k.carryOut(ctx, still, p, w)
	if ctx.Err() != nil {
		return err // it was called off, and is still wished for
	}
	if err == nil {
		return nil
	}
	if unfinished, ok := errors.AsType[*restore.UnfinishedError](err); ok {
		return gateway.RestoreError(unfinished, "Remove the cause, then `creel start`.", false)
	}
	k.opts.Recorder.RestoreFailed()
	if w.Moved {
		k.set(troubleRestore, "what another machine has saved cannot be restored: "+err.Error())
		return gateway.RestoreError(fmt.Errorf("another machine has run the gateway since it ran here, and what it has saved cannot be restored: %w", err), k.wayOut(ctx, err), permanent(err))
	}
	k.event(event.RestoreFailed, fmt.Sprintf("the restore has failed: %v; the old state is as it was", err), nil)
	k.set(troubleRestore, "the last restore has failed: "+err.Error())
	if change := k.record.change(func(r *record) { r.Wish, r.Next = nil, nil }); change != nil {
		return gateway.RestoreError(errors.Join(err, change), "Make room in creel's data folder.", false)
	}
	k.answer(err)
	return nil // on the old state; if that is missing, fill says so
}

func (k *Keeper) carryOut(ctx context.Context, still gateway.Stillness, p gateway.Preparation, w *wish) error {
	p.Restoring()
	if w.Fresh {
		return k.startFresh(ctx, still, p, "a fresh start was asked for")
	}
	s, err := k.choose(ctx, w.ID)
	if err == nil {
		err = k.put(ctx, still, p, s, true, w.Damaged)
	}
	if err != nil && w.OrFresh && ctx.Err() == nil {
		return k.startFresh(ctx, still, p, fmt.Sprintf("a fresh start was asked for in case that the restore fails, and it did: %v", err))
	}
	return err
}

// fill restores a state that is missing.
func (k *Keeper) fill(ctx context.Context, still gateway.Stillness, p gateway.Preparation) error {
	empty, err := k.restore.empty()
	if err != nil {
		return gateway.RestoreError(err, "Let creel read the gateway's state folders.", false)
	}
	r := k.record.get()
	switch {
	case !empty && r.Lineage != "":
		return nil
	case !empty:
		return k.begins(began.found)
	case k.opts.NoRestore, r.Trial != 0: // what was restored may be empty
		if r.Lineage == "" {
			return k.begins(began.fresh)
		}
		return nil
	}
	s, err := k.choose(ctx, "")
	switch {
	case errors.Is(err, errNone) && r.Lineage == "":
		return k.begins(began.fresh)
	case errors.Is(err, errNone) && r.Last == "":
		return nil // it has begun, and nothing of it was saved yet
	case errors.Is(err, errNone):
		err = fmt.Errorf("%w, though %s was taken of it at %s", err, r.Last, r.LastAt.Format(time.RFC3339))
	case err == nil:
		p.Restoring()
		err = k.put(ctx, still, p, s, false, false)
	}
	if err == nil {
		return nil
	}
	k.opts.Recorder.RestoreFailed()
	k.event(event.RestoreFailed, fmt.Sprintf("the gateway's state is missing and cannot be restored: %v; it is not started without", err), nil)
	k.set(troubleRestore, "the gateway's state is missing and cannot be restored: "+err.Error())
	return gateway.RestoreError(fmt.Errorf("its state is missing and cannot be restored: %w", err), k.wayOut(ctx, err), permanent(err))
}

// permanent tells whether trying again cannot help.
func permanent(err error) bool {
	var (
		access    *store.AccessError
		damaged   *store.DamagedError
		databases *restore.DatabasesError
		roots     *restore.RootsError
	)
	return errors.As(err, &access) || errors.As(err, &damaged) || errors.As(err, &databases) || errors.As(err, &roots)
}

// wayOut says what a person can do about a state that cannot be restored.
func (k *Keeper) wayOut(ctx context.Context, err error) string {
	var damaged *store.DamagedError
	if errors.As(err, &damaged) {
		if older, e := k.olderThan(ctx, damaged.ID); e == nil {
			return fmt.Sprintf("`creel snapshot restore %s` restores the one before it; `creel snapshot restore --or-fresh` tries again, and begins without a state if that fails.", older.ID)
		}
	}
	return "Mend the cause, then `creel start`; `creel snapshot restore --or-fresh` tries again, and begins without a state if that fails."
}

// put restores a snapshot. onTrial: a person asked for it, and the old state is
// put back if no instance gets ready on it.
func (k *Keeper) put(ctx context.Context, still gateway.Stillness, p gateway.Preparation, s store.Snapshot, onTrial, acceptDamaged bool) error {
	started := time.Now()
	staged := k.takeStaged(s.ID)
	if staged == nil {
		var err error
		if staged, err = k.stage(ctx, s, acceptDamaged); err != nil {
			return err
		}
	}
	next := record{Fence: k.record.get().Fence, Lineage: s.Lineage, Began: began.restored, Parent: s.ID, Last: s.ID, LastAt: s.Time, Totals: s.Totals, App: s.AppVersion, Put: s.ID}
	if err := k.swap(ctx, still, p, staged, next, onTrial); err != nil {
		return err
	}
	k.opts.Recorder.Restored(time.Since(started))
	k.event(event.Restored, fmt.Sprintf("the state of snapshot %s is in place", s.ID), map[string]any{"snapshot": s.ID, "seconds": time.Since(started).Seconds()})
	if !onTrial {
		k.clear(troubleRestore)
	}
	return nil
}

// stage writes the files of a snapshot beside the state.
func (k *Keeper) stage(ctx context.Context, s store.Snapshot, acceptDamaged bool) (*restore.Staged, error) {
	doing, done := k.begin("restore", "reading the snapshot")
	defer done()
	k.event(event.RestoreBegun, fmt.Sprintf("restoring snapshot %s of %s (%d files with %d bytes)", s.ID, s.Time.Format(time.RFC3339), s.Totals.Files, s.Totals.Bytes), map[string]any{"snapshot": s.ID})
	st, err := k.store.get(ctx)
	if err != nil {
		return nil, err
	}
	files, err := st.Open(ctx, s.ID)
	if err != nil {
		return nil, err
	}
	staged, err := k.restore.stage(ctx, files, doing, acceptDamaged)
	closed := files.Close()
	if err != nil {
		return nil, errors.Join(err, k.markDamaged(ctx, st, s.ID, err), closed)
	}
	if closed != nil {
		return nil, errors.Join(closed, staged.Discard())
	}
	return staged, nil
}

// swap puts what was staged in the place of the state, and next in that of the
// record.
func (k *Keeper) swap(ctx context.Context, still gateway.Stillness, p gateway.Preparation, staged *restore.Staged, next record, onTrial bool) error {
	if onTrial {
		next.Trial = p.Generation
	}
	err := k.record.change(func(r *record) {
		if onTrial {
			next.Wish, next.Earlier = r.Wish, r.earlier()
		}
		r.Next = &next
	})
	if err != nil {
		return errors.Join(err, staged.Discard())
	}
	if err := staged.Swap(ctx, still); err != nil {
		return errors.Join(err, k.record.change(func(r *record) { r.Next = nil }))
	}
	if err := k.record.change(func(r *record) { *r = *r.Next }); err != nil {
		return err // the next Prepare brings it up
	}
	k.forgetChanges()
	if onTrial {
		return nil
	}
	return k.restore.confirm()
}

// startFresh sets the present state aside and begins a lineage of its own.
func (k *Keeper) startFresh(ctx context.Context, still gateway.Stillness, p gateway.Preparation, why string) error {
	empty, err := k.restore.empty()
	if err != nil {
		return err
	}
	next := record{Fence: k.record.get().Fence, Lineage: newLineage(), Began: began.fresh}
	if empty {
		err = k.record.change(func(r *record) { *r = next })
	} else {
		var staged *restore.Staged
		if staged, err = k.restore.stage(ctx, newNoFiles(k.opts.Roots), nil, false); err == nil {
			err = k.swap(ctx, still, p, staged, next, true)
		}
	}
	if err != nil {
		return err
	}
	k.clear(troubleRestore)
	k.event(event.FreshStart, why, map[string]any{"lineage": next.Lineage})
	if empty {
		k.forgetChanges()
		k.answer(nil)
	}
	return nil
}

// begins notes where a state comes from that nothing is known of.
func (k *Keeper) begins(how string) error {
	lineage := newLineage()
	if err := k.record.change(func(r *record) { r.Lineage, r.Began = lineage, how }); err != nil {
		return gateway.RestoreError(err, "Make room in creel's data folder.", false)
	}
	if how == began.fresh {
		k.event(event.FreshStart, "there is neither a state nor a snapshot of one", map[string]any{"lineage": lineage})
	}
	return nil
}

// beforeUpgrade saves the state that another version of the app has left.
func (k *Keeper) beforeUpgrade(ctx context.Context, still gateway.Stillness, p gateway.Preparation) error {
	app, config := k.opts.App()
	r := k.record.get()
	if app == r.App && config == r.Config {
		return nil
	}
	other := app != r.App && r.App != ""
	if other || r.Config != "" { // else nothing has run on this state under creel
		if err := k.saveStill(ctx, still, other); err != nil {
			if other {
				return &gateway.PlanError{
					Cause: gateway.CauseLaunch, Hint: "Mend the cause, then `creel start`; or set snapshots.mode to off.",
					Err: fmt.Errorf("the state of version %s could not be saved before version %s starts on it: %w", r.App, app, err),
				}
			}
			k.log.Warn("the state could not be saved before the gateway starts with another configuration", "error", err)
		}
	}
	return k.record.change(func(n *record) { n.App, n.Config = app, config })
}

// saveStill takes a snapshot while nothing runs, with a capturer of its own: the
// usual one may be waiting for that very stillness to end.
//
// Only another version is worth waiting for.
func (k *Keeper) saveStill(ctx context.Context, still gateway.Stillness, wait bool) error {
	if !wait {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, beforeRestartTime)
		defer cancel()
	}
	c, err := k.capturer("copies-before-upgrade")
	if err != nil {
		return err
	}
	_, err = k.create(ctx, Request{Reason: store.BeforeUpgrade}, c, func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
		if !still.Holds() {
			return 0, restore.ErrMoving
		}
		return 0, do(ctx)
	})
	return errors.Join(err, os.RemoveAll(filepath.Join(k.opts.Dir, "copies-before-upgrade")))
}

// beforeRestartTime bounds the snapshot before a start with another
// configuration, which can be taken back.
const beforeRestartTime = 30 * time.Second

// errNone says that the store has no snapshot to choose.
var errNone = errors.New("the store has no good snapshot of this gateway")

// choose finds a snapshot by its id, of which a beginning that no other has is
// enough; "": the newest good one, of the present lineage if there is one.
func (k *Keeper) choose(ctx context.Context, id store.ID) (store.Snapshot, error) {
	all, err := k.List(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	if id != "" {
		return find(all, id)
	}
	slices.SortStableFunc(all, func(a, b store.Snapshot) int { return cmp.Compare(a.Fence, b.Fence) }) // see store.Meta
	lineage := k.record.get().Lineage
	for _, s := range slices.Backward(all) {
		if (lineage == "" || s.Lineage == lineage) && good(s) && s.Totals.Files > 0 {
			return s, nil
		}
	}
	for _, s := range all {
		if (lineage == "" || s.Lineage == lineage) && s.Totals.Files > 0 {
			return store.Snapshot{}, fmt.Errorf("none of its snapshots is good; the newest is %s (%s)", all[len(all)-1].ID, cmp.Or(all[len(all)-1].Damaged, all[len(all)-1].Shrunk))
		}
	}
	return store.Snapshot{}, errNone
}

// olderThan is the newest good snapshot before id.
func (k *Keeper) olderThan(ctx context.Context, id store.ID) (store.Snapshot, error) {
	all, err := k.List(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	i := slices.IndexFunc(all, func(s store.Snapshot) bool { return s.ID == id })
	for _, s := range slices.Backward(all[:max(i, 0)]) {
		if good(s) {
			return s, nil
		}
	}
	return store.Snapshot{}, errNone
}
