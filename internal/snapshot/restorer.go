package snapshot

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// restorer is package restore's for the roots of one gateway. What could merely
// not be removed is logged, and tried again by sweep.
type restorer struct {
	*restore.Restorer
	roots []store.Root
	log   *slog.Logger
}

// empty tells whether the state is missing.
func (r *restorer) empty() (bool, error) {
	found, err := restore.Empty(r.roots)
	return found == "" && err == nil, err
}

// stage writes files beside the state. The caller swaps or discards them.
func (r *restorer) stage(ctx context.Context, files store.Files, p store.Progress, acceptDamaged bool) (*restore.Staged, error) {
	staged, err := r.Stage(ctx, files, r.roots, restore.StageOptions{Progress: p, AcceptDamaged: acceptDamaged})
	if err != nil {
		return nil, err
	}
	if n := len(staged.Losses) + staged.MoreLosses; n > 0 {
		r.log.Warn("not all that the snapshot says of its files can be had here", "snapshot", staged.Snapshot.ID, "files", n, "first", staged.Losses[0])
	}
	for _, d := range staged.Damaged {
		r.log.Warn("a damaged database is restored, as was asked for", "error", d)
	}
	return staged, nil
}

// confirm ends a restore that has come to a good end; that none is under way is
// fine.
func (r *restorer) confirm() error {
	err := r.leftover(r.Confirm())
	if errors.Is(err, restore.ErrNotUnderWay) {
		return nil
	}
	return err
}

// undo puts the old state back; the rejected one is kept for a look at it.
func (r *restorer) undo(still gateway.Stillness) error {
	return r.leftover(r.Undo(still, true))
}

// leftover is err, unless it only says that something could not be removed.
func (r *restorer) leftover(err error) error {
	if left, ok := errors.AsType[*restore.LeftoverError](err); ok {
		r.log.Warn("a folder stays behind for now", "error", left)
		return nil
	}
	return err
}

// noFiles is a state that begins anew: its folders, and nothing in them.
type noFiles struct{ snapshot store.Snapshot }

func newNoFiles(roots []store.Root) noFiles {
	return noFiles{store.Snapshot{Meta: store.Meta{Roots: roots, Totals: tree.Totals{Dirs: int64(len(roots))}}}}
}

var _ store.Files = noFiles{}

func (n noFiles) Walk(context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, r := range n.snapshot.Roots {
			if !yield(tree.Entry{Path: r.Name, Kind: tree.Dir, Mode: 0o700, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), ModTime: time.Now().UTC()}, nil) {
				return
			}
		}
	}
}

func (noFiles) Open(context.Context, string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
func (n noFiles) Snapshot() store.Snapshot                          { return n.snapshot }
func (noFiles) Close() error                                        { return nil }
