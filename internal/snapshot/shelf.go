package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"creel/internal/event"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

// List gives all snapshots of the gateway, oldest first.
func (k *Keeper) List(ctx context.Context) ([]store.Snapshot, error) {
	st, err := k.store.get(ctx)
	if err != nil {
		return nil, err
	}
	all, err := st.List(ctx, k.opts.Gateway)
	if ctx.Err() == nil {
		k.storeHealth(err)
	}
	// IDs tell times to the second; of two in one second the newest must be known.
	slices.SortStableFunc(all, func(a, b store.Snapshot) int { return a.Order().Compare(b.Order()) })
	return all, err
}

// Find gives a snapshot by its id, of which a beginning that no other has is
// enough. "latest" is the newest. Errors wrap store.ErrNotFound.
func (k *Keeper) Find(ctx context.Context, id store.ID) (store.Snapshot, error) {
	all, err := k.List(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	return find(all, id)
}

// Latest is what people may say in place of the newest snapshot's id.
const Latest store.ID = "latest"

func find(all []store.Snapshot, id store.ID) (store.Snapshot, error) {
	if id == Latest && len(all) > 0 {
		return all[len(all)-1], nil
	}
	var found []store.Snapshot
	for _, s := range all {
		if s.ID == id {
			return s, nil
		}
		if id != "" && strings.HasPrefix(string(s.ID), string(id)) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return store.Snapshot{}, fmt.Errorf("%w: %s; see `creel snapshot list`", store.ErrNotFound, id)
	}
	return store.Snapshot{}, fmt.Errorf("%w: %d snapshots begin with %s, such as %s and %s; say more of it", store.ErrNotFound, len(found), id, found[0].ID, found[1].ID)
}

// inStore finds a snapshot, and gives the store that it lies in.
func (k *Keeper) inStore(ctx context.Context, id store.ID) (store.Store, store.Snapshot, error) {
	s, err := k.Find(ctx, id)
	if err != nil {
		return nil, s, err
	}
	st, err := k.store.get(ctx)
	return st, s, err
}

// Files opens the files of a snapshot, for reading. The caller closes them.
func (k *Keeper) Files(ctx context.Context, id store.ID) (store.Files, error) {
	st, s, err := k.inStore(ctx, id)
	if err != nil {
		return nil, err
	}
	return st.Open(ctx, s.ID)
}

// Verify reads a snapshot back, all of it, and notes what it finds. An error that
// is a *store.DamagedError says what is wrong.
func (k *Keeper) Verify(ctx context.Context, id store.ID) (store.Snapshot, error) {
	ctx, leave, err := k.enter(ctx, mostTime)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer leave()
	st, s, err := k.inStore(ctx, id)
	if err != nil {
		return s, err
	}
	doing, done := k.begin("verify", "reading back "+string(s.ID))
	defer done()
	if err := st.Verify(ctx, s.ID, 1, doing); err != nil {
		return s, errors.Join(err, k.markDamaged(ctx, st, s.ID, err))
	}
	s.Verified, s.Damaged = time.Now().UTC(), ""
	return s, st.Mark(ctx, s.ID, func(m *store.Marks) { m.Verified, m.Damaged = s.Verified, "" })
}

// Pin keeps a snapshot from being removed, or no longer.
func (k *Keeper) Pin(ctx context.Context, id store.ID, pinned bool) (store.Snapshot, error) {
	return k.markAs(ctx, id, func(m *store.Marks) { m.Pinned = pinned })
}

// Accept takes the mark from a snapshot that is much smaller than the one before:
// a person has looked, and it is right.
func (k *Keeper) Accept(ctx context.Context, id store.ID) (store.Snapshot, error) {
	s, err := k.markAs(ctx, id, func(m *store.Marks) { m.Shrunk = "" })
	if err != nil {
		return s, err
	}
	return s, k.reviewShrunk(ctx)
}

// reviewShrunk has the troubles about shrunk snapshots and those that lack files say what
// is so: they must outlive creel, and end when all of them were accepted or removed.
func (k *Keeper) reviewShrunk(ctx context.Context) error {
	all, err := k.List(ctx)
	if err != nil {
		return err
	}
	lineage := k.record.get().Lineage
	for _, s := range slices.Backward(all) {
		if s.Lineage == lineage {
			k.sayUnread(s)
			break
		}
	}
	for _, s := range slices.Backward(all) {
		if s.Shrunk != "" && s.Lineage == lineage {
			k.set(TroubleShrunk, shrunkMessage(s))
			return nil
		}
	}
	k.clear(TroubleShrunk)
	return nil
}

func (k *Keeper) markAs(ctx context.Context, id store.ID, change func(*store.Marks)) (store.Snapshot, error) {
	ctx, leave, err := k.enter(ctx, shortTime)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer leave()
	st, s, err := k.inStore(ctx, id)
	if err != nil {
		return s, err
	}
	change(&s.Marks)
	return s, st.Mark(ctx, s.ID, change)
}

// shortTime is how long what moves no contents may take at most.
const shortTime = 15 * time.Minute

// Remove removes a snapshot that a person names. The last good one of a lineage
// that was read back is not removed: that would leave nothing to restore. Nor is
// one that is pinned.
func (k *Keeper) Remove(ctx context.Context, id store.ID) (store.Snapshot, error) {
	ctx, leave, err := k.enter(ctx, shortTime)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer leave()
	release, err := k.take(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer release()
	all, err := k.List(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	s, err := find(all, id)
	if err != nil {
		return s, err
	}
	others := slices.ContainsFunc(all, func(o store.Snapshot) bool {
		return o.ID != s.ID && o.Lineage == s.Lineage && good(o) && proven(o)
	})
	switch {
	case s.Pinned:
		return s, &KeptError{s.ID, fmt.Sprintf("it is pinned; `creel snapshot unpin %s` first", s.ID)}
	case k.needed(s.ID):
		return s, &KeptError{s.ID, "it is being restored"}
	case good(s) && !others:
		return s, &KeptError{s.ID, "it is the last good one of its state; take another one first"}
	}
	st, err := k.store.get(ctx)
	if err != nil {
		return s, err
	}
	if err := k.unsave(s, standIn(all, s)); err != nil {
		return s, err
	}
	if err := st.Remove(ctx, s.ID); err != nil {
		return s, err
	}
	k.event(event.SnapshotsRemoved, fmt.Sprintf("snapshot %s was removed, as was asked for", s.ID), nil)
	if s.Shrunk != "" || s.Unread > 0 {
		return s, k.reviewShrunk(ctx)
	}
	return s, nil
}

// standIn gives the snapshot that takes the place of s as the last one once s is gone: the
// one that its state grew from, or else the newest of its lineage from before it; nil: there
// is none.
func standIn(all []store.Snapshot, s store.Snapshot) *store.Snapshot {
	if i := slices.IndexFunc(all, func(o store.Snapshot) bool { return o.ID == s.Parent }); i >= 0 {
		return &all[i]
	}
	for i := len(all) - 1; i >= 0; i-- {
		if o := &all[i]; o.ID != s.ID && o.Lineage == s.Lineage && o.Order().Before(s.Order()) {
			return o
		}
	}
	return nil
}

// unsave says, if s is the last snapshot of the present state, that the state is in none:
// the next one is due as after a change, and is compared with the one before. It comes
// before the removal, after which a death would leave a state that counts as saved and
// is not.
func (k *Keeper) unsave(s store.Snapshot, before *store.Snapshot) error {
	was := false
	err := k.record.change(func(r *record) {
		if was = r.Last == s.ID; !was {
			return
		}
		r.Mark, r.Accepted = "", nil
		if before == nil { // a state that goes away now is missed as before
			r.Parent, r.Gone = "", true
			return
		}
		r.Parent, r.Last, r.LastAt, r.Totals, r.RootFiles, r.LogBytes = before.ID, before.ID, before.Time, before.Totals, before.RootFiles, before.LogBytes
	})
	if err != nil || !was {
		return err
	}
	if before != nil {
		k.opts.Recorder.SnapshotKnown(before.Time, before.Totals.Files, before.Totals.Bytes)
	}
	k.mu.Lock()
	now := time.Now()
	k.changes.savedMark, k.changes.first, k.changes.last = "", now, now
	k.mu.Unlock()
	k.nudge()
	return nil
}

// KeptError says that a snapshot is not removed, and why.
type KeptError struct {
	ID  store.ID
	Why string
}

func (e *KeptError) Error() string {
	return fmt.Sprintf("snapshot %s is not removed: %s", e.ID, e.Why)
}

// needed tells whether a restore is about that snapshot.
func (k *Keeper) needed(id store.ID) bool {
	r := k.record.get()
	k.mu.Lock()
	defer k.mu.Unlock()
	return id != "" && (id == k.wanted || id == r.Put || r.Wish != nil && id == r.Wish.ID || r.Next != nil && id == r.Next.Parent)
}

// Prune removes the snapshots that nothing keeps (Retain), and says of all why
// they are kept or not. dry: it only says.
func (k *Keeper) Prune(ctx context.Context, dry bool) ([]Kept, error) {
	ctx, leave, err := k.enter(ctx, shortTime)
	if err != nil {
		return nil, err
	}
	defer leave()
	release, err := k.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	all, err := k.List(ctx)
	if err != nil {
		return nil, err
	}
	kept := Retain(all, k.settings().Keep)
	var gone []store.ID
	r := k.record.get()
	for i := range kept {
		switch s := &kept[i]; {
		case s.ID == r.Last:
			s.because("the last of the present state")
		case r.Earlier != nil && s.ID == r.Earlier.Last:
			s.because("the last of the state that a restore has set aside")
		case k.needed(s.ID):
			s.because("it is being restored")
		}
		if len(kept[i].Why) == 0 {
			gone = append(gone, kept[i].ID)
		}
	}
	if dry || len(gone) == 0 {
		return kept, nil
	}
	st, err := k.store.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := st.Remove(ctx, gone...); err != nil {
		k.storeHealth(err)
		k.set(TroublePrune, "old snapshots cannot be removed: "+err.Error())
		return nil, err
	}
	k.clear(TroublePrune)
	k.event(event.SnapshotsRemoved, fmt.Sprintf("%d snapshots that nothing keeps were removed; %d are left", len(gone), len(all)-len(gone)), map[string]any{"snapshots": gone})
	return kept, nil
}

// Maintain has the store give back space.
func (k *Keeper) Maintain(ctx context.Context) error {
	ctx, leave, err := k.enter(ctx, mostTime)
	if err != nil {
		return err
	}
	defer leave()
	release, err := k.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	st, err := k.store.get(ctx)
	if err != nil {
		return err
	}
	return st.Maintain(ctx)
}

// sweep removes states that were set aside: those from before the newest snapshot
// that was verified, and those that are old.
func (k *Keeper) sweep(ctx context.Context) error {
	st, err := k.restore.Status()
	if err != nil || len(st.Kept) == 0 {
		return err
	}
	all, err := k.List(ctx)
	if err != nil {
		return err
	}
	o := restore.SweepOptions{}
	if old := k.settings().OldFor; old > 0 {
		o.Before = time.Now().Add(-old)
	}
	for _, s := range slices.Backward(all) {
		if s.Time.After(time.Now()) {
			continue // the clock was ahead: nobody knows whether it was before or after
		}
		if good(s) && !s.Verified.IsZero() && s.Lineage == k.record.get().Lineage {
			o.Verified = s.Time
			break
		}
	}
	gone, err := k.restore.Sweep(ctx, o)
	for _, g := range gone {
		k.log.Info("a state that was set aside is removed", "folder", g.Path, "since", g.Since)
	}
	return k.restore.leftover(err)
}

// overdue says when a change has been unsaved for too long.
func (k *Keeper) overdue(c changes, now time.Time) {
	every := k.settings().Schedule.Every
	if every <= 0 || c.first.IsZero() || now.Sub(c.first) < overdueAfter*every {
		k.clear(TroubleOverdue)
		return
	}
	k.set(TroubleOverdue, fmt.Sprintf("changes since %s are in no snapshot", c.first.UTC().Format(time.RFC3339)))
}
