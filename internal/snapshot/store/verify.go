package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"creel/internal/snapshot/tree"
)

// Verify also looks, whatever the portion, whether all that the snapshot's
// contents lie in is there at its full length, which is one list of the store.
//
// What is found damaged is taken out of the index: else the next Save would find
// it there, not write it again, and be damaged too. If the same content is saved
// once more, older snapshots are whole again.
func (s *kopiaStore) Verify(ctx context.Context, id ID, portion float64, p Progress) error {
	ctx, leave, err := s.enterWriting(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.fail(ctx, fmt.Sprintf("verify snapshot %s in %s", id, s.opts.name()), s.verify(ctx, id, portion, progressOrNone(p)))
}

func (s *kopiaStore) verify(ctx context.Context, id ID, portion float64, p Progress) error {
	if err := s.repo.Refresh(ctx); err != nil {
		return err
	}
	found, err := find(ctx, s.repo, id)
	if err != nil {
		return err
	}
	v := &verification{store: s, id: id, portion: portion, progress: p, seen: make(map[content.ID]bool)}
	err = v.run(ctx, found)
	if len(v.lost) > 0 {
		forget := s.write(ctx, "forget damaged contents", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
			for _, c := range v.lost {
				if err := w.ContentManager().DeleteContent(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
		if forget != nil && s.opts.Logger != nil {
			s.opts.Logger.Warn("damaged contents stay in the snapshot index", "snapshot", id, "error", forget)
		}
	}
	return err
}

// verification is one call of Verify.
type verification struct {
	store    *kopiaStore
	id       ID
	portion  float64
	progress Progress

	packs map[blob.ID]int64
	seen  map[content.ID]bool
	lost  []content.ID // damaged
	first error
}

// piece is a content to be read.
type piece struct {
	id   content.ID
	size int64
	path string
}

func (v *verification) run(ctx context.Context, snap *stored) error {
	if err := v.listPacks(ctx); err != nil {
		return err
	}
	m, err := snapshot.LoadSnapshot(ctx, v.store.repo, snap.manifest)
	if err == nil {
		// kopia's own directories: its maintenance walks them.
		err = v.directory(ctx, m.RootObjectID(), "")
	}
	if err != nil {
		return v.store.damage(ctx, v.id, "", err)
	}
	list, err := v.store.readListing(ctx, snap)
	if err != nil {
		return err
	}
	var all []piece
	for _, f := range list.files {
		if f.Kind != tree.File || f.LinkTo != "" {
			continue
		}
		pieces, err := v.pieces(ctx, f.object, f.Path)
		if err != nil {
			v.note(v.store.damage(ctx, v.id, f.Path, err))
			continue
		}
		all = append(all, pieces...)
	}
	return v.read(ctx, v.choose(all))
}

// note keeps the first error.
func (v *verification) note(err error) {
	if v.first == nil {
		v.first = err
	}
}

func (v *verification) listPacks(ctx context.Context) error {
	v.packs = make(map[blob.ID]int64)
	for _, prefix := range content.PackBlobIDPrefixes {
		err := v.store.guard.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			v.packs[m.BlobID] = m.Length
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// directory looks after one of kopia's directories and those in it.
func (v *verification) directory(ctx context.Context, id object.ID, path string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := v.pieces(ctx, id, path); err != nil {
		return err
	}
	entries, err := v.store.readDir(ctx, id)
	if err != nil {
		return err
	}
	for name, e := range entries {
		if e.Type != snapshot.EntryTypeDirectory {
			continue
		}
		if err := v.directory(ctx, e.ObjectID, path+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// pieces gives the contents of an object that were not seen before, and looks
// whether their packs are there.
func (v *verification) pieces(ctx context.Context, id object.ID, path string) ([]piece, error) {
	contents, err := v.store.repo.VerifyObject(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []piece
	for _, c := range contents {
		if v.seen[c] {
			continue
		}
		v.seen[c] = true
		info, err := v.store.repo.ContentInfo(ctx, c)
		if err != nil {
			return nil, err
		}
		length, there := v.packs[info.PackBlobID]
		switch end := int64(info.PackOffset) + int64(info.PackedLength); {
		case !there:
			v.lost = append(v.lost, c)
			err = fmt.Errorf("the blob %s is missing", info.PackBlobID)
		case length < end:
			v.lost = append(v.lost, c)
			err = fmt.Errorf("the blob %s has %d bytes and not at least %d", info.PackBlobID, length, end)
		}
		if err != nil {
			v.note(&DamagedError{ID: v.id, Path: path, Err: err})
			continue
		}
		out = append(out, piece{c, int64(info.PackedLength), path})
	}
	return out, nil
}

// choose takes a portion by chance, and one at least.
func (v *verification) choose(all []piece) []piece {
	if v.portion >= 1 || len(all) == 0 {
		return all
	}
	if v.portion <= 0 {
		return nil
	}
	var chosen []piece
	for _, p := range all {
		if rand.Float64() < v.portion {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 {
		chosen = append(chosen, all[rand.IntN(len(all))])
	}
	return chosen
}

// read reads pieces and returns the first error of all. It reads on after a
// damage, to know all that is lost; it does not after the store has failed.
func (v *verification) read(ctx context.Context, pieces []piece) error {
	var bytes int64
	for _, p := range pieces {
		bytes += p.size
	}
	v.progress.Total(int64(len(pieces)), bytes)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(uploaders)
	bad := make([]error, len(pieces))
	for i, p := range pieces {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			_, err := v.store.repo.ContentReader().GetContent(gctx, p.id)
			v.progress.Done(1, p.size)
			err = v.store.damage(gctx, v.id, p.path, err)
			if _, damaged := errors.AsType[*DamagedError](err); damaged {
				bad[i] = err
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, err := range bad {
		if err != nil {
			v.note(err)
			v.lost = append(v.lost, pieces[i].id)
		}
	}
	return v.first
}
