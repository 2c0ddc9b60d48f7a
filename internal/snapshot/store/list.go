package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
)

// A snapshot is a manifest of kopia's own kind, so that kopia shows it and keeps
// what it refers to. What is ours is in its tags, which kopia carries along when
// it writes a manifest anew; the manifest's own id changes then.
const (
	tagID      = "tag:creel-id" // kopia's command line knows tags by this prefix
	tagGateway = "tag:creel-gateway"
	tagMeta    = "tag:creel-meta"
)

// savedMeta is the text of tagMeta.
type savedMeta struct {
	Meta
	Stored int64 `json:"stored"`
}

// stored is a snapshot and kopia's manifest of it.
type stored struct {
	Snapshot
	manifest manifest.ID
}

// load lists snapshots without their marks; gateway "": of all.
func load(ctx context.Context, r repo.Repository, labels map[string]string) ([]*stored, error) {
	want := map[string]string{manifest.TypeLabelKey: snapshot.ManifestType}
	for k, v := range labels {
		want[k] = v
	}
	entries, err := r.FindManifests(ctx, want)
	if err != nil {
		return nil, err
	}
	byID := make(map[ID]*stored, len(entries))
	for _, e := range entries { // oldest first: the last of several is in force
		id, err := ParseID(e.Labels[tagID])
		if err != nil {
			continue // somebody else's snapshot
		}
		var m savedMeta
		if err := json.Unmarshal([]byte(e.Labels[tagMeta]), &m); err != nil || m.ID != id {
			continue // of a creel to come, or not of creel at all
		}
		byID[id] = &stored{Snapshot: Snapshot{Meta: m.Meta, Stored: m.Stored}, manifest: e.ID}
	}
	list := make([]*stored, 0, len(byID))
	for _, s := range byID {
		list = append(list, s)
	}
	// Of two within one second the ids do not tell which is the newer one.
	slices.SortFunc(list, func(a, b *stored) int { return cmp.Or(a.Order().Compare(b.Order()), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// find gives one snapshot, with its marks. The error wraps ErrNotFound.
func find(ctx context.Context, r repo.Repository, id ID) (*stored, error) {
	list, err := load(ctx, r, map[string]string{tagID: string(id)})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w as %s", ErrNotFound, id)
	}
	marks, err := loadMarks(ctx, r, id)
	if err != nil {
		return nil, err
	}
	list[0].Marks = marks.of(list[0].Meta)
	return list[0], nil
}

// manifest reads kopia's manifest of a snapshot that was found. Since then it may have been
// removed, which is no damage (ErrNotFound), or written anew.
func (s *kopiaStore) manifest(ctx context.Context, found *stored) (*snapshot.Manifest, error) {
	m, err := snapshot.LoadSnapshot(ctx, s.repo, found.manifest)
	if !errors.Is(err, snapshot.ErrSnapshotNotFound) {
		return m, err
	}
	again, err := find(ctx, s.repo, found.ID)
	if err != nil {
		return nil, err
	}
	return snapshot.LoadSnapshot(ctx, s.repo, again.manifest)
}

func (s *kopiaStore) List(ctx context.Context, gateway string) ([]Snapshot, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	list, err := s.list(ctx, gateway)
	return list, fail(ctx, "list the snapshots in "+s.opts.name(), err)
}

func (s *kopiaStore) list(ctx context.Context, gateway string) ([]Snapshot, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	var labels map[string]string
	if gateway != "" {
		labels = map[string]string{tagGateway: gateway}
	}
	list, err := load(ctx, s.repo, labels)
	if err != nil {
		return nil, err
	}
	marks, err := loadMarks(ctx, s.repo, "")
	if err != nil {
		return nil, err
	}
	out := make([]Snapshot, len(list))
	for i, x := range list {
		x.Marks = marks.of(x.Meta)
		out[i] = x.Snapshot
	}
	return out, nil
}

func (s *kopiaStore) Remove(ctx context.Context, ids ...ID) error {
	ctx, leave, err := s.enterWriting(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return fail(ctx, "remove snapshots from "+s.opts.name(), s.remove(ctx, ids))
}

func (s *kopiaStore) remove(ctx context.Context, ids []ID) error {
	if err := s.refresh(ctx); err != nil {
		return err
	}
	// What is not listed may be what those were to be dispensable for.
	if _, err := s.recoverLost(ctx); err != nil {
		return err
	}
	return s.write(ctx, "remove", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		for _, id := range ids {
			for _, labels := range []map[string]string{
				{manifest.TypeLabelKey: snapshot.ManifestType, tagID: string(id)},
				{manifest.TypeLabelKey: markType, markID: string(id)},
			} {
				entries, err := w.FindManifests(ctx, labels)
				if err != nil {
					return err
				}
				for _, e := range entries {
					if err := w.DeleteManifest(ctx, e.ID); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// write runs f with a writer and makes what it wrote durable and seen, all at
// once.
func (s *kopiaStore) write(ctx context.Context, purpose string, f func(context.Context, repo.DirectRepositoryWriter) error) error {
	return repo.DirectWriteSession(ctx, s.repo, repo.WriteSessionOptions{Purpose: purpose}, f)
}
