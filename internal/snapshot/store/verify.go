package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"
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
	return fail(ctx, fmt.Sprintf("verify snapshot %s in %s", id, s.opts.name()), s.verify(ctx, id, portion, progressOrNone(p)))
}

func (s *kopiaStore) verify(ctx context.Context, id ID, portion float64, p Progress) error {
	if err := s.refresh(ctx); err != nil {
		return err
	}
	if portion >= 1 {
		if _, err := s.recoverLost(ctx); err != nil {
			return err
		}
	}
	found, err := find(ctx, s.repo, id)
	if err != nil {
		return err
	}
	v := newVerification(s, id, portion, p)
	err = v.run(past(ctx), found)
	damaged, is := errors.AsType[*DamagedError](err)
	if is && portion < 1 {
		if n, e := s.recoverLost(ctx); n > 0 && e == nil { // once more, with what was missing
			v = newVerification(s, id, portion, p)
			err = v.run(past(ctx), found)
			damaged, is = errors.AsType[*DamagedError](err)
		}
	}
	if is {
		err = v.sayAll(damaged)
	}
	if len(v.lost) > 0 {
		if e := v.forget(ctx); e != nil && s.opts.Logger != nil {
			s.opts.Logger.Warn("damaged contents stay in the snapshot index", "snapshot", id, "error", e)
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
	lists []piece // of directories and of the sidecar: read whatever the portion
	data  []piece
	lost  []content.ID            // damaged
	bad   map[content.ID]bool     // of those, what several files may have
	more  map[content.ID][]string // where else a content is
	first error
	at    map[string]bool // files and folders that are affected
}

func newVerification(s *kopiaStore, id ID, portion float64, p Progress) *verification {
	return &verification{
		store: s, id: id, portion: portion, progress: p, seen: make(map[content.ID]bool),
		bad: make(map[content.ID]bool), more: make(map[content.ID][]string), at: make(map[string]bool),
	}
}

// piece is a content to be read.
type piece struct {
	id   content.ID
	size int64
	path string
}

// run walks kopia's directories, which lead to all that there is, the sidecar
// too; then it reads.
func (v *verification) run(ctx context.Context, snap *stored) error {
	if err := v.listPacks(ctx); err != nil {
		return err
	}
	m, err := v.store.manifest(ctx, snap)
	if err != nil {
		return v.store.damage(ctx, v.id, "", err)
	}
	if err := v.directory(ctx, m.RootObjectID(), "", false); err != nil {
		return err
	}
	if err := v.read(ctx, append(v.lists, v.choose(v.data)...)); err != nil {
		return err
	}
	if v.first == nil {
		_, v.first = v.store.readListing(ctx, snap)
	}
	return v.first
}

// directory walks one of kopia's directories and those in it. It returns errors
// of the store; damages are noted.
func (v *verification) directory(ctx context.Context, id object.ID, path string, side bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	before := len(v.lists)
	if err := v.object(ctx, id, path, &v.lists); err != nil {
		return err
	}
	entries, err := v.store.readDir(ctx, id)
	if err != nil {
		if err = v.noteDamage(ctx, path, err); err == nil {
			for _, p := range v.lists[before:] {
				v.lost = append(v.lost, p.id)
			}
		}
		return err
	}
	for name, e := range entries {
		inSide := side || path == "" && name == sidecarDir
		below, into := joinPath(path, trueName(name)), &v.data
		if inSide {
			below, into = "", &v.lists
		}
		if e.Type == snapshot.EntryTypeDirectory {
			err = v.directory(ctx, e.ObjectID, below, inSide)
		} else {
			err = v.object(ctx, e.ObjectID, below, into)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// noteDamage notes an error if it is a damage, and returns it otherwise.
func (v *verification) noteDamage(ctx context.Context, path string, err error) error {
	err = v.store.damage(ctx, v.id, path, err)
	if _, damaged := errors.AsType[*DamagedError](err); damaged {
		v.note(err, path)
		return nil
	}
	return err
}

// note keeps the first error, and what is affected.
func (v *verification) note(err error, paths ...string) {
	if v.first == nil {
		v.first = err
	}
	for _, p := range paths {
		if p != "" {
			v.at[p] = true
		}
	}
}

// sayAll is a damage with all that is affected as far as was looked.
func (v *verification) sayAll(d *DamagedError) error {
	all := *d
	all.Paths = slices.Sorted(maps.Keys(v.at))
	return &all
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

// object adds the contents of an object that were not seen before, and looks
// whether their packs are there.
func (v *verification) object(ctx context.Context, id object.ID, path string, into *[]piece) error {
	contents, err := v.store.repo.VerifyObject(ctx, id)
	if err != nil {
		if err = v.noteDamage(ctx, path, err); err == nil {
			v.loseList(id)
		}
		return err
	}
	for _, c := range contents {
		if v.seen[c] {
			if v.bad[c] {
				v.note(nil, path)
			} else if path != "" {
				v.more[c] = append(v.more[c], path)
			}
			continue
		}
		v.seen[c] = true
		info, err := v.store.repo.ContentInfo(ctx, c)
		if err != nil {
			if err = v.noteDamage(ctx, path, err); err != nil {
				return err
			}
			continue
		}
		length, there := v.packs[info.PackBlobID]
		switch end := int64(info.PackOffset) + int64(info.PackedLength); {
		case !there:
			err = fmt.Errorf("the blob %s is missing", info.PackBlobID)
		case length < end:
			err = fmt.Errorf("the blob %s has %d bytes and not at least %d", info.PackBlobID, length, end)
		default:
			*into = append(*into, piece{c, int64(info.PackedLength), path})
			continue
		}
		v.lost = append(v.lost, c)
		v.bad[c] = true
		v.note(&DamagedError{ID: v.id, Path: path, Err: err}, path)
	}
	return nil
}

// loseList gives up the list of the pieces of an object.
func (v *verification) loseList(id object.ID) {
	for {
		index, ok := id.IndexObjectID()
		if !ok {
			break
		}
		id = index
	}
	if c, _, ok := id.ContentID(); ok {
		v.lost = append(v.lost, c)
	}
}

// forget takes what is damaged out of the index, with all else in the same packs
// that is: behind a list that cannot be read there may be more.
func (v *verification) forget(ctx context.Context) error {
	packs := make(map[blob.ID]bool)
	for _, c := range v.lost {
		info, err := v.store.repo.ContentInfo(ctx, c)
		if err != nil {
			return err
		}
		packs[info.PackBlobID] = true
	}
	return v.store.write(ctx, "forget damaged contents", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		var bad []content.ID
		err := w.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(c content.Info) error {
			if !packs[c.PackBlobID] {
				return nil
			}
			_, err := w.ContentReader().GetContent(past(ctx), c.ContentID)
			err = v.store.damage(ctx, v.id, "", err)
			if _, damaged := errors.AsType[*DamagedError](err); damaged {
				bad = append(bad, c.ContentID)
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range bad {
			if err := w.ContentManager().DeleteContent(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
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

// read reads pieces. It notes damages and reads on, to know all that is lost; it
// does not after the store has failed.
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
			v.note(err, append(v.more[pieces[i].id], pieces[i].path)...)
			v.lost = append(v.lost, pieces[i].id)
		}
	}
	return nil
}
