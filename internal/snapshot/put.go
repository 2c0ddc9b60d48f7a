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

// put restores a snapshot. w is the wish that it fulfils: the old state is put back if no
// instance gets ready on this one; nil: nobody has asked, and there is no trial.
func (k *Keeper) put(ctx context.Context, still gateway.Stillness, p gateway.Preparation, s store.Snapshot, w *wish) error {
	started := time.Now()
	staged := k.takeStaged(s.ID)
	if staged == nil {
		var err error
		if staged, err = k.stage(ctx, s, w != nil && w.Damaged); err != nil {
			return err
		}
	}
	next := record{Fence: k.record.get().Fence, Lineage: s.Lineage, Began: began.restored, Parent: s.ID, Last: s.ID, LastAt: s.Time, Totals: s.Totals, RootFiles: s.RootFiles, LogBytes: s.LogBytes, App: s.AppVersion}
	return k.swap(ctx, still, p, staged, next, w, func() {
		k.opts.Recorder.Restored(time.Since(started))
		k.event(event.Restored, fmt.Sprintf("the state of snapshot %s is in place", s.ID), map[string]any{"snapshot": s.ID, "seconds": time.Since(started).Seconds()})
	})
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
		return nil, errors.Join(err, k.markDamaged(ctx, st, s.ID, err))
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
// record. tell tells so: before the record knows, for later nobody would who
// starts after a death. w is as in put.
func (k *Keeper) swap(ctx context.Context, still gateway.Stillness, p gateway.Preparation, staged *restore.Staged, next record, w *wish, tell func()) error {
	onTrial := w != nil
	if onTrial {
		next.Trial, next.Put = p.Generation, staged.Snapshot.ID
	} else {
		next.Accepted = next.accepted()
	}
	err := k.record.change(func(r *record) {
		if onTrial {
			next.Earlier = r.earlier()
		}
		r.Next = &next
	})
	if err != nil {
		return errors.Join(err, staged.Discard())
	}
	crashpoint.Passed(crashpoint.StatePlanned)
	if err := staged.Swap(ctx, still); err != nil {
		if halfWay(err) {
			return err // folders may come forward yet, and Next is what they are then
		}
		return errors.Join(err, k.record.change(func(r *record) { r.Next = nil }))
	}
	tell()
	k.settle(ctx)
	k.forgetChanges() // first: what is being saved must not be noted as of the new state
	if err := k.record.change(func(r *record) { r.becomes(*r.Next, w) }); err != nil {
		return &outOfStepError{err} // the next Prepare brings it up
	}
	crashpoint.Passed(crashpoint.StateReplaced)
	if onTrial {
		return nil
	}
	if err := k.restore.confirm(); err != nil {
		return &outOfStepError{err} // likewise
	}
	return nil
}

// settleTime bounds the wait for the journal. What does not get there in this time is a
// disk's trouble, which has an alarm of its own.
const settleTime = 2 * time.Second

// settle waits until what was told outlasts this process.
func (k *Keeper) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	k.opts.Journal.Settle(ctx)
}

// startFresh sets the present state aside and begins a lineage of its own, as w asks for.
func (k *Keeper) startFresh(ctx context.Context, still gateway.Stillness, p gateway.Preparation, w *wish, why string) error {
	empty, err := k.restore.empty()
	if err != nil {
		return err
	}
	next := record{Fence: k.record.get().Fence, Lineage: newLineage(), Began: began.fresh}
	tell := func() { k.event(event.FreshStart, why, map[string]any{"lineage": next.Lineage}) }
	if empty { // there is nothing to go back to, and so no trial
		tell()
		k.settle(ctx)
		err = k.record.change(func(r *record) { r.becomes(next, w) })
	} else {
		var staged *restore.Staged
		if staged, err = k.restore.stage(ctx, newNoFiles(k.opts.Roots), nil, false); err == nil {
			err = k.swap(ctx, still, p, staged, next, w, tell)
		}
	}
	if err != nil {
		return err
	}
	k.clear(TroubleRestore)
	if empty {
		k.forgetChanges()
		k.conclude(outcome{unproved: true})
	}
	return nil
}
