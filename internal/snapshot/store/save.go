package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/snapshot"

	"creel/internal/snapshot/tree"
)

func (s *kopiaStore) Save(ctx context.Context, t tree.Tree, m Meta, base ID, p Progress) (Snapshot, error) {
	ctx, leave, err := s.enterWriting(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	defer leave()
	snap, err := s.save(ctx, t, m, base, progressOrNone(p))
	return snap, fail(ctx, fmt.Sprintf("save snapshot %s to %s", m.ID, s.opts.name()), err)
}

func (s *kopiaStore) save(ctx context.Context, t tree.Tree, m Meta, base ID, p Progress) (Snapshot, error) {
	if _, err := ParseID(string(m.ID)); err != nil {
		return Snapshot{}, err
	}
	if m.Gateway == "" {
		return Snapshot{}, errors.New("it is of no gateway")
	}
	if err := s.refresh(ctx); err != nil {
		return Snapshot{}, err
	}
	if _, err := find(ctx, s.repo, m.ID); !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = errors.New("there is a snapshot of that id already")
		}
		return Snapshot{}, err
	}
	plan, err := readPlan(ctx, t)
	if err != nil {
		return Snapshot{}, err
	}
	p.Total(plan.totals.Files, plan.totals.Bytes)
	known, err := s.knownContents(ctx, m.Gateway, base)
	if err != nil {
		return Snapshot{}, err
	}
	snap := Snapshot{Meta: m, Marks: markTable{}.of(m)}
	err = s.write(ctx, "save", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		before := s.guard.written.Load()
		u := &upload{tree: t, writer: w, progress: p, known: known}
		root, err := u.run(ctx, plan, m)
		if err != nil {
			return err
		}
		// All that the manifest will refer to is durable and in the index before
		// there is a manifest.
		if err := w.Flush(ctx); err != nil {
			return err
		}
		snap.Stored = s.guard.written.Load() - before
		return s.putManifest(ctx, w, snap, plan, root)
	})
	if err != nil && !s.exists(ctx, m.ID) {
		return Snapshot{}, err
	}
	return snap, nil
}

// exists looks whether a snapshot is there although writing it has failed: an
// answer may be lost after what was asked for was done.
func (s *kopiaStore) exists(ctx context.Context, id ID) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(10*time.Second, s.guard.patience))
	defer cancel()
	ctx, done := oneFailure(ctx)
	defer done()
	if s.refresh(ctx) != nil {
		return false
	}
	_, err := find(ctx, s.repo, id)
	return err == nil
}

// putManifest makes the snapshot exist; the end of the session writes it.
func (s *kopiaStore) putManifest(ctx context.Context, w repo.RepositoryWriter, snap Snapshot, plan *plan, root *snapshot.DirEntry) error {
	meta, err := json.Marshal(savedMeta{Meta: snap.Meta, Stored: snap.Stored})
	if err != nil {
		return err
	}
	_, err = snapshot.SaveSnapshot(ctx, w, &snapshot.Manifest{
		Source: snapshot.SourceInfo{
			Host:     s.opts.Machine,
			UserName: "creel",
			Path:     "/" + snap.Gateway,
		},
		Description: snap.Note,
		StartTime:   fs.UTCTimestampFromTime(snap.Time),
		EndTime:     fs.UTCTimestampFromTime(s.now()),
		Stats: snapshot.Stats{
			TotalFileCount:      int32(plan.totals.Files),
			TotalDirectoryCount: int32(plan.totals.Dirs),
			TotalFileSize:       plan.totals.Bytes,
		},
		RootEntry: root,
		Tags: map[string]string{
			tagID:      string(snap.ID),
			tagGateway: snap.Gateway,
			tagMeta:    string(meta),
		},
	})
	return err
}

// knownContents maps content keys to where the base has that content. A base
// that is gone or damaged is no base; nothing is lost by that but time.
func (s *kopiaStore) knownContents(ctx context.Context, gateway string, base ID) (map[string]*file, error) {
	if base == "" {
		return nil, nil
	}
	b, err := find(ctx, s.repo, base)
	if errors.Is(err, ErrNotFound) || err == nil && (b.Gateway != gateway || b.Damaged != "") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := s.readListing(ctx, b)
	if _, damaged := errors.AsType[*DamagedError](err); damaged || errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := make(map[string]*file)
	for _, f := range list.files {
		if k := contentKey(f); k != "" {
			known[k] = f
		}
	}
	return known, nil
}

// noProgress tells nobody.
type noProgress struct{}

func (noProgress) Total(int64, int64) {}
func (noProgress) Done(int64, int64)  {}

func progressOrNone(p Progress) Progress {
	if p == nil {
		return noProgress{}
	}
	return p
}
