package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"creel/internal/snapshot/store"
)

// errNone says that the store has no snapshot to choose.
var errNone = errors.New("the store has no good snapshot of this gateway")

// choiceError says that creel does not choose by itself: a person has to say how
// much may be lost.
type choiceError struct {
	Newest store.ID // which is damaged, or has shrunk
	Why    string
	Shrunk bool
	Unread int64    // how many files it lacks, since they could not be read
	Older  store.ID // the next older one that is good; empty: there is none
}

func (e *choiceError) Error() string {
	if e.Shrunk {
		return fmt.Sprintf("the only snapshot that could be restored is %s, and it may tell of a loss (%s)", e.Newest, e.Why)
	}
	s := fmt.Sprintf("the newest snapshot, %s, is damaged (%s)", e.Newest, e.Why)
	if e.Unread > 0 {
		s = fmt.Sprintf("the newest snapshot, %s, lacks %d files that could not be read when it was taken", e.Newest, e.Unread)
	}
	if e.Older == "" {
		return s + ", and no older one is good"
	}
	return s + fmt.Sprintf("; the one before it that is good is %s", e.Older)
}

// choose finds a snapshot by its id, of which a beginning that no other has is
// enough; "": the newest good one, of the present lineage if there is one; newest
// by its standing, see accepted.go. One
// that has shrunk is passed over, since it may tell of a loss, and stays in the
// store; one that is damaged is not (*choiceError). Nor are those of which the store has
// lost sight: if there may be any, the error is a *store.DamagedError.
func (k *Keeper) choose(ctx context.Context, id store.ID) (store.Snapshot, error) {
	if id == "" {
		if err := k.checkStore(ctx); err != nil {
			return store.Snapshot{}, err
		}
	}
	all, err := k.List(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	if id != "" {
		return find(all, id)
	}
	r := k.record.get()
	if i := slices.IndexFunc(all, func(s store.Snapshot) bool { return s.ID == r.Last }); i >= 0 && r.Accepted != nil {
		all[i].Restored = k.restored(all, i, *r.Accepted)
	}
	slices.SortStableFunc(all, compareStanding)
	lineage := r.Lineage
	var damaged *choiceError
	others, small := store.ID(""), store.Snapshot{}
	for _, s := range slices.Backward(all) {
		switch {
		case s.Totals.Files == 0:
		case lineage != "" && s.Lineage != lineage:
			others = cmp.Or(others, s.ID)
		case s.Damaged != "" && damaged == nil:
			damaged = &choiceError{Newest: s.ID, Why: s.Damaged}
		case lacking(s) && damaged == nil:
			damaged = &choiceError{Newest: s.ID, Unread: s.Unread}
		case good(s) && damaged != nil:
			damaged.Older = s.ID
			return store.Snapshot{}, damaged
		case good(s):
			return s, nil
		case small.ID == "":
			small = s
		}
	}
	switch {
	case damaged != nil:
		return store.Snapshot{}, damaged
	case small.ID != "":
		return store.Snapshot{}, &choiceError{Newest: small.ID, Why: small.Shrunk, Shrunk: true}
	case others != "":
		return store.Snapshot{}, fmt.Errorf("%w since its state began anew; the newest of before is %s", errNone, others)
	}
	return store.Snapshot{}, errNone
}

// checkStore has the store look whether it lists all that it should.
func (k *Keeper) checkStore(ctx context.Context) error {
	st, err := k.store.get(ctx)
	if err != nil {
		return err
	}
	err = st.Check(ctx)
	if ctx.Err() == nil {
		k.storeHealth(err)
	}
	return err
}

// olderThan is the newest good snapshot before id, of the same lineage; empty:
// none is known.
func (k *Keeper) olderThan(ctx context.Context, id store.ID) store.ID {
	all, err := k.List(ctx)
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(all, func(s store.Snapshot) bool { return s.ID == id })
	for _, s := range slices.Backward(all[:max(i, 0)]) {
		if good(s) && s.Lineage == all[i].Lineage && s.Totals.Files > 0 {
			return s.ID
		}
	}
	return ""
}
