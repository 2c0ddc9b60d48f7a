package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

// A restored state is on trial until an instance has got ready on it. Two files
// tell how it stands, the journal of package restore (which folders are where)
// and the record (what they are). They are written in this order, so that either
// of them says enough at any instant:
//
//	record  Next: what the new state will be
//	journal swapping, folders, on trial
//	record  is Next, with Trial and Earlier
//	…
//	ready:  journal forgets it; record has no Trial any more
//	fails:  record Undoing; journal undoing, folders, forgets it; record is Earlier

// recover finishes or takes back a restore that was cut short, and brings the
// record up to what was found.
func (k *Keeper) recover(still gateway.Stillness) error {
	got, err := k.restore.Recover(still)
	if err != nil {
		return err
	}
	first := !k.looked
	k.looked = true
	if got.Trouble != nil {
		k.log.Warn("a restore that was cut short has left something", "error", got.Trouble)
	}
	r := k.record.get()
	message := ""
	switch got.Outcome {
	case restore.Nothing:
		return k.recordEnded(r)
	case restore.RolledBack:
		message = fmt.Sprintf("the restore of %s had not got far when creel ended; the old state is as it was", named(got.Snapshot))
		err = k.record.change(func(n *record) { n.Next = nil })
	case restore.Undone:
		message = fmt.Sprintf("the restore of %s was taken back; the old state is in place", named(got.Snapshot))
		err = k.record.change(func(n *record) {
			if n.Trial != 0 {
				n.takeBack() // a wish is for another restore then
				return
			}
			n.Wish, n.Next = nil, nil
		})
		k.answer(outcome{err: errors.New(message)})
	case restore.RolledForward, restore.StillOnTrial:
		switch {
		case r.Next != nil:
			message = fmt.Sprintf("the restore of %s was finished; its state is in place", named(got.Snapshot))
			k.forgetChanges()
			err = k.record.change(func(n *record) { *n = *n.Next })
		case r.Trial != 0 && first: // its line in the journal may have died with the creel that restored
			message = fmt.Sprintf("the restore of %s was on trial when creel ended; its state is in place", named(got.Snapshot))
		case r.Trial != 0: // the record says so already
			return nil
		}
		if err == nil && k.record.get().Trial == 0 { // it needs no trial
			err = k.restore.confirm()
		}
	}
	if err != nil || message == "" {
		return err
	}
	k.event(event.RestoreRecovered, message, map[string]any{"snapshot": got.Snapshot, "outcome": got.Outcome})
	return nil
}

// recordEnded brings the record up to a journal that has forgotten a restore.
func (k *Keeper) recordEnded(r record) error {
	switch {
	case r.Trial != 0 && r.Undoing:
		return k.record.change(func(n *record) { n.takeBack() })
	case r.Trial != 0:
		return k.record.change(func(n *record) { *n = n.proved() })
	case r.Next != nil: // nothing had moved, or all was moved back
		return k.record.change(func(n *record) { n.Next = nil })
	}
	return nil
}

// named names what a restore is about.
func named(id store.ID) string {
	if id == "" {
		return "an empty state"
	}
	return "snapshot " + string(id)
}

// blameless are causes of an end that say nothing about the state: the instance
// has not been able to show what it makes of it.
var blameless = []gateway.Cause{
	gateway.CauseAsked, gateway.CausePortTaken, gateway.CauseCommand, gateway.CauseLimits, gateway.CauseLaunch, gateway.CauseCreelAway, gateway.CauseRestore,
	gateway.CauseOwnedElsewhere, gateway.CauseOwnerUnknown,
}

// hasFailed tells whether the instance that was to prove a restored state has
// shown that it cannot.
func (r record) hasFailed(last gateway.End) bool {
	return r.Trial != 0 && (r.Undoing || last.Generation == r.Trial && !slices.Contains(blameless, last.Cause))
}

// judge puts the old state back if the instance that was to prove the restored
// one has failed, or if a person wants another one by now.
func (k *Keeper) judge(still gateway.Stillness, p gateway.Preparation) error {
	k.verdict.Lock()
	defer k.verdict.Unlock()
	r := k.record.get()
	if r.Trial == 0 {
		return nil
	}
	gone, err := k.restore.empty()
	if err != nil {
		return err
	}
	gone = gone && r.Totals.Files > 0
	switch {
	case k.ready.Load() >= r.Trial && !r.Undoing: // it was ready, and has ended before that was noted
		return k.proved()
	case !r.hasFailed(p.Last) && r.Wish == nil && !gone:
		return k.record.change(func(n *record) { n.Trial = p.Generation })
	}
	p.Restoring()
	if err := k.record.change(func(n *record) { n.Undoing = true }); err != nil {
		return err
	}
	if err := k.restore.undo(still); err != nil && !errors.Is(err, restore.ErrNotUnderWay) {
		return fmt.Errorf("cannot put the old state back: %w", err)
	}
	k.forgetChanges()
	if err := k.record.change(func(n *record) { n.takeBack() }); err != nil {
		return err
	}
	if r.Wish != nil {
		k.event(event.RestoreUndone, fmt.Sprintf("the state of %s was never proved, and makes room for another restore", named(r.Put)), map[string]any{"snapshot": r.Put})
		return nil
	}
	why := fmt.Errorf("the gateway did not get ready on the state of %s (%s); the old state is back", named(r.Put), p.Last.Message)
	if gone {
		why = fmt.Errorf("the state of %s went away before the gateway got ready on it; the old state is back", named(r.Put))
	}
	k.opts.Recorder.RestoreFailed()
	k.event(event.RestoreUndone, why.Error(), map[string]any{"snapshot": r.Put})
	k.set(TroubleRestore, why.Error())
	k.answer(outcome{err: why})
	return nil
}

// Ready implements gateway.Keeper.
func (k *Keeper) Ready(generation uint64) {
	for {
		known := k.ready.Load()
		if generation <= known || k.ready.CompareAndSwap(known, generation) {
			break
		}
	}
	select {
	case k.proof <- struct{}{}:
	default: // it is about to be looked at
	}
	k.nudge()
}

// prove ends the trial of a restored state on which an instance has got ready.
func (k *Keeper) prove() error {
	k.verdict.Lock()
	defer k.verdict.Unlock()
	r := k.record.get()
	if r.Trial == 0 || r.Undoing || k.ready.Load() < r.Trial {
		return nil
	}
	return k.proved()
}

// proved is for whoever has the verdict.
func (k *Keeper) proved() error {
	put := k.record.get().Put
	if err := k.restore.confirm(); err != nil {
		return err
	}
	if err := k.record.change(func(n *record) { *n = n.proved() }); err != nil {
		return err
	}
	crashpoint.Passed(crashpoint.StateProved)
	k.clear(TroubleRestore)
	if k.record.get().Wish == nil { // else whoever waits has asked for another
		k.answer(outcome{put: put})
	}
	k.nudge() // the store is to be told
	return nil
}

// rescue has a gateway that was given up on a restored state started once more:
// the start puts the old state back.
func (k *Keeper) rescue(ctx context.Context, st gateway.Status) error {
	r := k.record.get()
	if st.State != gateway.Failed || st.LastEnd == nil || !r.hasFailed(*st.LastEnd) {
		return nil
	}
	return k.opts.Supervisor.Restart(ctx)
}
