package ui

import (
	"context"

	"creel/internal/snapshot/store"
)

// snapshotList gives the snapshots as of a moment ago, oldest first.
func (u *UI) snapshotList(ctx context.Context) ([]store.Snapshot, error) {
	if u.snapshots == nil {
		return nil, errNoSnapshots
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	return u.snapshots.get(ctx)
}
