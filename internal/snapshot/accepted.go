package snapshot

import (
	"cmp"
	"context"
	"slices"
	"time"

	"creel/internal/snapshot/store"
)

// Of two snapshots the later one is not always what a missing state is to be
// restored from: somebody may have gone back from it, and what he has left is saved
// as the latest of all (store.BeforeRestore). So a snapshot has a standing: when it
// was taken, or when it was restored for good, if that was later. The latter is a
// mark at the store (store.Marks.Restored), since the record dies with its machine.
//
// The mark is made after the restore is final: a restore that is undone must leave
// no trace, for what was saved before it is then the newest indeed. Until the mark
// is made the record says so (record.Accepted), so that a store which is away keeps
// nobody from restoring. If the machine is lost before that, within seconds as a
// rule, the standing is that of times.
//
// Rejected: to pass over snapshots of store.BeforeRestore. If the restore has failed
// they are the newest of the state; and with --no-snapshot there is none of them,
// but there is the one before, which somebody has gone back from just the same.

// standing is what snapshots are compared by.
func standing(s store.Snapshot) (fence uint64, at time.Time) {
	r := s.Restored
	if r.Fence > s.Fence || r.Fence == s.Fence && r.At.After(s.Order()) {
		return r.Fence, r.At
	}
	return s.Fence, s.Order()
}

func fenceOf(s store.Snapshot) uint64 {
	fence, _ := standing(s)
	return fence
}

func compareStanding(a, b store.Snapshot) int {
	fa, ta := standing(a)
	fb, tb := standing(b)
	return cmp.Or(cmp.Compare(fa, fb), ta.Compare(tb))
}

// accepted is the restore, for good, of the state that r is about.
func (r record) accepted() *store.Restoration {
	return &store.Restoration{At: time.Now().UTC(), Fence: r.Fence}
}

// after is r, of all[i], moved behind all snapshots that its owner could have seen:
// a clock that was set back must not make what was restored older than what it has
// replaced.
func after(all []store.Snapshot, i int, r store.Restoration) store.Restoration {
	for j, s := range all {
		if fence, at := standing(s); j != i && fence == r.Fence && !at.Before(r.At) {
			r.At = at.Add(time.Millisecond)
		}
	}
	return r
}

// restored is after for what was restored here.
func (k *Keeper) restored(all []store.Snapshot, i int, r store.Restoration) store.Restoration {
	r.Fence = k.fence(all, r.Fence)
	return after(all, i, r)
}

// HighestFence is the highest fencing number that a snapshot of the gateway bears.
func (k *Keeper) HighestFence(ctx context.Context) (uint64, error) {
	all, err := k.List(ctx)
	return highestFence(all), err
}

func highestFence(all []store.Snapshot) (top uint64) {
	for _, s := range all {
		top = max(top, s.Fence, s.Restored.Fence)
	}
	return top
}

// behind is m, moved behind all snapshots that are there: it is newer than they are,
// though the clock may have been set back since they were taken.
func behind(all []store.Snapshot, m store.Meta) store.Meta {
	for _, s := range all {
		if fence, at := standing(s); fence == m.Fence && !at.Before(m.Order()) {
			m.After = at.Add(time.Millisecond)
		}
	}
	return m
}

// fence is the fencing number of what is saved here. Where no lease is kept any more it is
// the highest that was ever given: what is saved now is newer than all of that.
func (k *Keeper) fence(all []store.Snapshot, lease uint64) uint64 {
	if k.opts.Lease != nil {
		return lease
	}
	return max(lease, highestFence(all))
}

// acceptEvery is the pause between two attempts to tell the store of a restore.
const acceptEvery = 15 * time.Second

// tellAccepted tells the store which snapshot was restored, if nothing else does:
// one that is the newest anyway needs no mark.
func (k *Keeper) tellAccepted(ctx context.Context) error {
	ctx, leave, err := k.enter(ctx, shortTime)
	if err != nil {
		return err
	}
	defer leave()
	release, err := k.take(ctx) // a snapshot that is being taken makes it needless
	if err != nil {
		return err
	}
	defer release()
	r := k.record.get()
	if r.Accepted == nil || r.Trial != 0 {
		return nil
	}
	all, err := k.List(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s store.Snapshot) bool { return s.ID == r.Last })
	newest := func() bool { return slices.MaxFunc(all, compareStanding).ID == r.Last }
	if i >= 0 && !newest() {
		st, err := k.store.get(ctx)
		if err != nil {
			return err
		}
		restored := k.restored(all, i, *r.Accepted)
		if err := st.Mark(ctx, r.Last, func(m *store.Marks) { m.Restored = restored }); err != nil {
			return err
		}
	}
	return k.record.change(func(n *record) {
		if n.Last == r.Last && n.Accepted != nil && *n.Accepted == *r.Accepted { // else it is about another state by now
			n.Accepted = nil
		}
	})
}
