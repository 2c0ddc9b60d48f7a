package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"creel/internal/snapshot/tree"
)

// maxSidecarFile bounds what is read of the list of files at once.
const maxSidecarFile = 1 << 30

func (s *kopiaStore) Open(ctx context.Context, id ID) (Files, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := s.open(ctx, id)
	if err != nil {
		return nil, fail(ctx, fmt.Sprintf("open snapshot %s in %s", id, s.opts.name()), err)
	}
	return f, nil
}

func (s *kopiaStore) open(ctx context.Context, id ID) (*snapshotFiles, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	found, err := find(ctx, s.repo, id)
	if err != nil {
		return nil, err
	}
	list, err := s.readListing(ctx, found)
	if err != nil {
		return nil, err
	}
	return &snapshotFiles{store: s, snap: found.Snapshot, list: list}, nil
}

// readListing reads the sidecar of a snapshot.
func (s *kopiaStore) readListing(ctx context.Context, snap *stored) (*listing, error) {
	list, err := s.listing(ctx, snap)
	if err != nil {
		return nil, s.damage(ctx, snap.ID, "", err)
	}
	return list, nil
}

func (s *kopiaStore) listing(ctx context.Context, snap *stored) (*listing, error) {
	m, err := s.manifest(ctx, snap)
	if err != nil {
		return nil, err
	}
	root, err := s.readDir(ctx, m.RootObjectID())
	if err != nil {
		return nil, err
	}
	side := root[sidecarDir]
	if side == nil {
		return nil, errors.New("the list of its files is missing")
	}
	parts, err := s.readDir(ctx, side.ObjectID)
	if err != nil {
		return nil, err
	}
	var head sidecarHead
	data, err := s.readPart(ctx, parts, "head.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("the list of its files: head.json: %w", err)
	}
	if head.Format != sidecarFormat || head.Shards < 1 || head.Shards > maxShards || head.Meta.ID != snap.ID {
		return nil, fmt.Errorf("the list of its files is of format %d in %d shards for snapshot %q, which this creel does not understand",
			head.Format, head.Shards, head.Meta.ID)
	}
	list := newListing()
	for i := range head.Shards {
		data, err := s.readPart(ctx, parts, shardName(i))
		if err == nil {
			err = decodeShard(data, i, head.Shards, list.add)
		}
		if err != nil {
			return nil, fmt.Errorf("the list of its files: %s: %w", shardName(i), err)
		}
	}
	return list, list.finish()
}

// readDir reads one of kopia's directories.
func (s *kopiaStore) readDir(ctx context.Context, id object.ID) (map[string]*snapshot.DirEntry, error) {
	r, err := s.repo.OpenObject(ctx, id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var m snapshot.DirManifest
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return nil, err
	}
	out := make(map[string]*snapshot.DirEntry, len(m.Entries))
	for _, e := range m.Entries {
		out[e.Name] = e
	}
	return out, nil
}

func (s *kopiaStore) readPart(ctx context.Context, dir map[string]*snapshot.DirEntry, name string) ([]byte, error) {
	e := dir[name]
	if e == nil {
		return nil, errors.New("it is missing")
	}
	r, err := s.repo.OpenObject(ctx, e.ObjectID)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Length() > maxSidecarFile {
		return nil, fmt.Errorf("it has %d bytes", r.Length())
	}
	data := make([]byte, r.Length())
	_, err = io.ReadFull(r, data)
	return data, err
}

// damage tells whether reading failed because of what is in the store. What is
// not the fault of the store's answers, or of the way to it, is.
func (s *kopiaStore) damage(ctx context.Context, id ID, path string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*DamagedError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*AccessError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*storageError](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errClosed) || errors.Is(err, ErrNotFound) {
		return err
	}
	return &DamagedError{ID: id, Path: path, Err: err}
}

// snapshotFiles are the files of a snapshot.
type snapshotFiles struct {
	store *kopiaStore
	snap  Snapshot
	list  *listing
}

var _ Files = (*snapshotFiles)(nil)

func (f *snapshotFiles) Snapshot() Snapshot { return f.snap }

func (f *snapshotFiles) Close() error {
	giveBack()
	return nil
}

func (f *snapshotFiles) Walk(ctx context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, x := range f.list.files {
			if ctx.Err() != nil {
				yield(tree.Entry{}, context.Cause(ctx))
				return
			}
			if !yield(x.Entry, nil) {
				return
			}
		}
	}
}

func (f *snapshotFiles) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	x := f.list.byPath[path]
	if x == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if x.Kind != tree.File {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is a %s", x.Kind)}
	}
	ctx, leave, err := f.store.enter(ctx)
	if err != nil {
		return nil, err
	}
	r, err := f.store.repo.OpenObject(ctx, x.object)
	if err == nil && r.Length() != x.Size {
		err = errors.Join(fmt.Errorf("it has %d bytes and not %d", r.Length(), x.Size), r.Close())
	}
	if err != nil {
		err = f.store.damage(ctx, f.snap.ID, path, err)
		leave()
		return nil, err
	}
	return &contentReader{ctx: ctx, leave: leave, files: f, path: path, r: r}, nil
}

// contentReader reads a content and says what is wrong with it. The store stays
// open until it is closed.
type contentReader struct {
	ctx   context.Context
	leave func()
	files *snapshotFiles
	path  string
	r     object.Reader
}

func (c *contentReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		err = c.files.store.damage(c.ctx, c.files.snap.ID, c.path, err)
	}
	return n, err
}

func (c *contentReader) Close() error {
	if c.leave == nil {
		return nil
	}
	err := c.r.Close()
	c.leave()
	c.leave = nil
	return err
}
