package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	if err := k.record.usable(); err != nil {
		k.set(TroubleRecord, err.Error())
		return gateway.RestoreError(err, "Put the file back from a copy, or use the creel that has written it; or move it away, and the state that is there is taken for what it is, with a history of its own. Then `creel start`.", true)
	}
	k.clear(TroubleRecord)
	if err := k.recover(still); err != nil {
		return gateway.RestoreError(err, "See docs/snapshots.md, \"When a restore was cut short\".", true)
	}
	if err := k.judge(still, p); err != nil {
		return gateway.RestoreError(err, "The restored state and the old one are both there; see `creel snapshot status`.", false)
	}
	if err := k.fulfil(ctx, still, p); err != nil {
		return err
	}
	if err := k.fill(ctx, still, p); err != nil {
		return err
	}
	k.clear(TroubleMissing)
	return k.beforeUpgrade(ctx, still)
}

// fulfil carries out the restore that a person asked for.
func (k *Keeper) fulfil(ctx context.Context, still gateway.Stillness, p gateway.Preparation) error {
	w := k.record.get().Wish
	if w == nil {
		return nil
	}
	err := k.carryOut(ctx, still, p, w)
	switch {
	case err == nil:
		return nil
	case halfWay(err):
		return gateway.RestoreError(err, "Remove the cause, then `creel start`.", false)
	case ctx.Err() != nil:
		return err // it was called off, and is still wished for
	}
	k.opts.Recorder.RestoreFailed()
	if w.Moved {
		k.set(TroubleRestore, "what another machine has saved cannot be restored: "+err.Error())
		return gateway.RestoreError(fmt.Errorf("another machine has run the gateway since it ran here, and what it has saved cannot be restored: %w", err), k.wayOut(ctx, err), permanent(err))
	}
	k.event(event.RestoreFailed, fmt.Sprintf("the restore has failed: %v; the old state is as it was", err), nil)
	k.set(TroubleRestore, "the last restore has failed: "+err.Error())
	if change := k.record.change(func(r *record) {
		r.Next = nil
		if w.is(r.Wish) { // else another one was asked for meanwhile
			r.Wish = nil
		}
	}); change != nil {
		return gateway.RestoreError(errors.Join(err, change), "Make room in creel's data folder.", false)
	}
	k.conclude(outcome{err: err})
	return nil // on the old state; if that is missing, fill says so
}

// halfWay tells whether the state in place, or what is known of it, may be that
// of either side of a restore. Nothing is launched then, and nothing else begun;
// the next Prepare goes on.
func halfWay(err error) bool {
	_, folders := errors.AsType[*restore.UnfinishedError](err)
	_, known := errors.AsType[*outOfStepError](err)
	return folders || known
}

// outOfStepError says that the restored state is in place, but not its record.
type outOfStepError struct{ err error }

func (e *outOfStepError) Error() string {
	return "the restored state is in place, but that could not be noted: " + e.err.Error()
}

func (e *outOfStepError) Unwrap() error { return e.err }

func (k *Keeper) carryOut(ctx context.Context, still gateway.Stillness, p gateway.Preparation, w *wish) error {
	p.Restoring()
	if w.Fresh {
		return k.startFresh(ctx, still, p, w, "a fresh start was asked for")
	}
	var err error
	s, ahead := k.stagedAhead(w.ID)
	if !ahead { // else the store may be away by now
		s, err = k.choose(ctx, w.ID)
	}
	if err == nil {
		err = k.put(ctx, still, p, s, w)
	}
	if err != nil && w.OrFresh && !halfWay(err) && ctx.Err() == nil {
		return k.startFresh(ctx, still, p, w, fmt.Sprintf("a fresh start was asked for in case that the restore fails, and it did: %v", err))
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
	case r.Trial != 0: // what was restored may be empty
		return nil
	case k.opts.NoRestore && (r.Lineage == "" || r.Last != ""):
		return k.begins(began.fresh) // a history of its own: it must not push out what was
	case k.opts.NoRestore, r.Lineage != "" && r.Last == "" && !r.Tried:
		return nil // it has begun, and nothing of it was saved yet
	}
	p.Restoring()
	s, err := k.choose(ctx, "")
	switch {
	case errors.Is(err, errNone) && r.Lineage == "":
		return k.begins(began.fresh)
	case errors.Is(err, errNone) && (r.Last == "" || r.Totals.Files == 0):
		return nil // nor was it saved when that was tried, or what was saved was empty, too
	case errors.Is(err, errNone):
		err = fmt.Errorf("%w, though %s was taken of it at %s", err, r.Last, r.LastAt.Format(time.RFC3339))
	case err == nil:
		err = k.put(ctx, still, p, s, nil)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !halfWay(err) {
		return err // it was called off
	}
	k.opts.Recorder.RestoreFailed()
	k.event(event.RestoreFailed, fmt.Sprintf("the gateway's state is missing and cannot be restored: %v; it is not started without", err), nil)
	k.set(TroubleMissing, "the gateway's state is missing and cannot be restored: "+err.Error())
	return gateway.RestoreError(fmt.Errorf("its state is missing and cannot be restored: %w", err), k.wayOut(ctx, err), permanent(err))
}

// permanent tells whether trying again cannot help.
func permanent(err error) bool {
	var (
		access    *store.AccessError
		damaged   *store.DamagedError
		databases *restore.DatabasesError
		roots     *restore.RootsError
		choice    *choiceError
	)
	return errors.As(err, &choice) || errors.As(err, &access) || errors.As(err, &damaged) || errors.As(err, &databases) || errors.As(err, &roots)
}

// wayOut says what a person can do about a state that cannot be restored.
func (k *Keeper) wayOut(ctx context.Context, err error) string {
	var (
		damaged   *store.DamagedError
		databases *restore.DatabasesError
		choice    *choiceError
		older     store.ID
	)
	switch {
	case errors.As(err, &choice) && choice.Shrunk:
		return fmt.Sprintf("`creel snapshot restore %s` restores it all the same, and `creel snapshot accept %s` has it chosen from now on; `creel snapshot restore --fresh` begins without a state.", choice.Newest, choice.Newest)
	case errors.As(err, &choice) && choice.Unread > 0:
		return strings.TrimSpace(fmt.Sprintf("`creel snapshot show %s` says which; `creel snapshot restore %s` restores it without them. %s", choice.Newest, choice.Newest, olderHint(choice.Older)))
	case errors.As(err, &choice):
		older = choice.Older
	case errors.As(err, &damaged) && damaged.ID != "":
		older = k.olderThan(ctx, damaged.ID)
	case errors.As(err, &databases):
		older = k.olderThan(ctx, databases.Snapshot)
	}
	if remedy := diskRemedy(err); remedy != "" && older == "" && damaged == nil {
		return remedy + ", then `creel start`; `creel snapshot restore --or-fresh` tries again, and begins without a state if that fails."
	}
	if damaged != nil && damaged.ID == "" {
		return "Mend the store, then `creel start`; or `creel snapshot list` says what is left of it, and `creel snapshot restore ID` restores that; `creel snapshot restore --or-fresh` begins without a state if nothing can be restored."
	}
	if older != "" {
		return olderHint(older)
	}
	return "Mend the cause, then `creel start`; `creel snapshot restore --or-fresh` tries again, and begins without a state if that fails."
}

// diskRemedy says what can be done about a disk that is full or broken; "": it is neither.
func diskRemedy(err error) string {
	var space *restore.SpaceError
	switch {
	case errors.As(err, &space), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "Make room on the disk that the message names"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return "Mend the disk (`dmesg` says what it lacks)"
	}
	return ""
}

func olderHint(id store.ID) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf("`creel snapshot restore %s` restores the one before it; `creel snapshot restore --or-fresh` tries again, and begins without a state if that fails.", id)
}

// begins notes where a state comes from that nothing is known of.
func (k *Keeper) begins(how string) error {
	lineage := newLineage()
	if err := k.record.change(func(r *record) { r.becomes(record{Lineage: lineage, Began: how}, nil) }); err != nil {
		return gateway.RestoreError(err, "Make room in creel's data folder.", false)
	}
	k.forgetChanges()
	if how == began.fresh {
		k.event(event.FreshStart, "there is no state, and none is restored", map[string]any{"lineage": lineage})
	}
	return nil
}

// beforeUpgrade saves the state that another version of the app has left.
func (k *Keeper) beforeUpgrade(ctx context.Context, still gateway.Stillness) error {
	app, config := k.opts.App()
	r := k.record.get()
	if app == r.App && config == r.Config {
		return nil
	}
	other := app != r.App && r.App != ""
	if r.Trial != 0 {
		// Nothing is the better for a copy of what was just restored; and if no instance gets
		// ready on it, it would stand as the newest of a state that is put away.
	} else if other || r.Config != "" { // else nothing has run on this state under creel
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
