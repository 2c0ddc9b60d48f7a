package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"creel/internal/event"
	"creel/internal/snapshot/capture"
	"creel/internal/snapshot/store"
)

// ErrNoLineage says that it is not known where the present state came from, so
// that it must not be saved: it may be what a failed restore has left.
var ErrNoLineage = errors.New("the gateway's state is not in place yet, and what is there is not saved; see `creel status`, and `creel snapshot restore`")

// sampleAfterSave is how much of a new snapshot is read back at once.
const sampleAfterSave = 0.05

// Request asks for a snapshot.
type Request struct {
	Reason store.Reason // empty: Asked
	Note   string
}

// The stages at which a snapshot can fail, for metrics.
const (
	stageCapture = "capture"
	stageSave    = "save"
	stageCheck   = "check"
)

// Create takes a snapshot. One that is asked for while another is being taken
// waits for its turn. When Create returns without an error the snapshot is in
// the store and a sample of it was read back.
//
// Errors that callers branch on: ErrNoLineage, those of capture, those of
// store.Store.
func (k *Keeper) Create(ctx context.Context, r Request) (store.Snapshot, error) {
	if r.Reason == "" {
		r.Reason = store.Asked
	}
	release, err := k.take(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer release()
	if err := k.adopt(); err != nil {
		return store.Snapshot{}, err
	}
	return k.create(ctx, r, k.capture, k.opts.Supervisor.Still)
}

// create is Create for whoever has the turn, or does without: the capturer and
// the stillness are its own.
func (k *Keeper) create(ctx context.Context, r Request, c *capture.Capturer, still capture.Still) (store.Snapshot, error) {
	before := k.record.get()
	if before.Lineage == "" {
		return store.Snapshot{}, ErrNoLineage
	}
	begun := time.Now()
	s, stage, err := k.save(ctx, r, before, c, still)
	if err != nil {
		k.saveFailed(r, stage, err)
		return s, err
	}
	k.saved(s, r, before, time.Since(begun))
	return s, nil
}

// save takes the cut and keeps it. stage is where it failed.
func (k *Keeper) save(ctx context.Context, r Request, before record, c *capture.Capturer, still capture.Still) (s store.Snapshot, stage string, err error) {
	doing, done := k.begin("snapshot", "copying")
	defer done()
	cut, err := c.Capture(ctx, still, doing)
	if err != nil {
		return s, stageCapture, err
	}
	defer func() { err = errors.Join(err, cut.Release()) }()
	m := store.Meta{
		ID: store.NewID(cut.Time), Gateway: k.opts.Gateway, Time: cut.Time.UTC(), Reason: r.Reason, Note: r.Note,
		Parent: before.Parent, Lineage: before.Lineage, Machine: machine(), Generation: k.opts.Supervisor.Status().Generation,
		AppVersion: before.App, Frozen: cut.Frozen, Roots: k.opts.Roots, Totals: cut.Totals,
	}
	m.Skipped, m.Omitted = first(cut.Skipped, mostSkipped)
	if m.Fence, err = k.confirmed(ctx); err != nil {
		return s, stageSave, err
	}
	doing.stage("saving")
	st, err := k.store.get(ctx)
	if err != nil {
		return s, stageSave, err
	}
	if s, err = st.Save(ctx, cut, m, before.Last, doing); err != nil {
		return s, stageSave, err
	}
	if err := k.record.change(func(n *record) {
		n.Fence = m.Fence
		n.Parent, n.Last, n.LastAt, n.Totals = s.ID, s.ID, s.Time, s.Totals
	}); err != nil {
		return s, stageSave, err
	}
	k.savedAs(cut.Mark)
	doing.stage("checking")
	if err := st.Verify(ctx, s.ID, sampleAfterSave, doing); err != nil {
		return s, stageCheck, errors.Join(err, k.markDamaged(ctx, st, s.ID, err))
	}
	small := shrunk(before.Totals, s.Totals, k.settings().ShrinkTo)
	s.Sampled, s.Shrunk = time.Now().UTC(), small
	if err := st.Mark(ctx, s.ID, func(m *store.Marks) { m.Sampled, m.Shrunk = s.Sampled, small }); err != nil {
		return s, stageCheck, err
	}
	return s, "", nil
}

// markDamaged notes what was found out about a snapshot.
func (k *Keeper) markDamaged(ctx context.Context, st store.Store, id store.ID, err error) error {
	var damaged *store.DamagedError
	if !errors.As(err, &damaged) {
		return nil // it could not be read now, which says nothing about it
	}
	k.event(event.SnapshotDamaged, err.Error(), map[string]any{"snapshot": id})
	return st.Mark(ctx, id, func(m *store.Marks) { m.Damaged = damaged.Error() })
}

// saved tells of a snapshot, and removes what it has made dispensable.
func (k *Keeper) saved(s store.Snapshot, r Request, before record, took time.Duration) {
	k.clear(troubleSave)
	k.opts.Recorder.SnapshotTaken(s.Time, s.Frozen, took, s.Totals.Files, s.Totals.Bytes, s.Stored)
	k.event(event.SnapshotTaken, fmt.Sprintf("snapshot %s: %d files with %d bytes, %d added to the store; held still for %v", s.ID, s.Totals.Files, s.Totals.Bytes, s.Stored, s.Frozen.Round(100*time.Microsecond)),
		map[string]any{"snapshot": s.ID, "reason": r.Reason, "seconds": took.Seconds()})
	if s.Shrunk != "" {
		k.set(troubleShrunk, fmt.Sprintf("snapshot %s is much smaller than the one before: %s; nothing older is removed for it until you `creel snapshot accept %s` or remove it", s.ID, s.Shrunk, s.ID))
		k.event(event.SnapshotShrunk, s.Shrunk, map[string]any{"snapshot": s.ID, "before": before.Last})
	}
}

func (k *Keeper) saveFailed(r Request, stage string, err error) {
	if errors.Is(err, context.Canceled) {
		return // whoever asked has thought better of it, or creel ends
	}
	k.opts.Recorder.SnapshotFailed(stage)
	k.set(troubleSave, "the last snapshot has failed: "+err.Error())
	k.event(event.SnapshotFailed, fmt.Sprintf("no snapshot could be taken: %v", err), map[string]any{"reason": r.Reason, "stage": stage})
}

// Finish saves what the gateway has left when it was stopped for creel's own end,
// if that is in no snapshot yet.
func (k *Keeper) Finish(ctx context.Context) error {
	if k.opts.Manual || k.record.get().Lineage == "" {
		return nil
	}
	mark, err := k.capture.Mark(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	saved := mark == k.changes.savedMark
	k.mu.Unlock()
	if saved {
		return nil
	}
	_, err = k.Create(ctx, Request{Reason: store.OnStop})
	return err
}

// adopt takes a state for granted that was there when creel began to look after
// it, and has no history yet. A state that is missing stays unsaved until a
// launch has put one in place.
func (k *Keeper) adopt() error {
	if k.record.get().Lineage != "" {
		return nil
	}
	empty, err := k.restore.empty()
	if err != nil {
		return err
	}
	if empty {
		return ErrNoLineage
	}
	return k.record.change(func(r *record) { r.Lineage, r.Began = newLineage(), began.found })
}

// began are the words for how a lineage came to this machine.
var began = struct{ fresh, found, restored string }{"fresh", "found", "restored"}

func machine() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// mostSkipped is how many of the files that are not in a snapshot it names.
const mostSkipped = 100

// first gives the first n of a list, and how many there are beyond.
func first[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}
