package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"
	"golang.org/x/sync/errgroup"

	"creel/internal/snapshot/tree"
)

// Snapshots are written with kopia's objects and directories, but not with its
// uploader: that one decides by time and size whether a file has changed,
// reads ignore files and policies, leaves snapshots that are not whole
// ("checkpoints"), and tells of the first error only that there was one.

const (
	// compressor takes two thirds of the time of zstd's default for some 5 %
	// more space, on the state of a real gateway.
	compressor = compression.Name("zstd-fastest")
	// uploaders is how many files are read at once. Two keep a disk and a
	// processor busy; more would take the processor from the gateway.
	uploaders = 2
)

// splitter tells how kopia cuts a file that pieceSize does not. What changes in
// such a file, changes in place or at the end, and the rest does not move.
func splitter(size int64) string {
	switch {
	case size <= 256<<20:
		return "FIXED-128K"
	case size <= 4<<30:
		return "FIXED-1M"
	}
	return "FIXED-4M"
}

// plan is what a walk found, by directory.
type plan struct {
	root   *dir
	list   *listing
	totals tree.Totals
}

type dir struct {
	entry *file // nil: the root of all roots
	dirs  []*dir
	rest  []*file
}

// readPlan walks the tree and holds it to what package tree promises.
func readPlan(ctx context.Context, t tree.Tree) (*plan, error) {
	p := &plan{root: &dir{}, list: newListing()}
	dirs := map[string]*dir{"": p.root}
	for e, err := range t.Walk(ctx) {
		if err != nil {
			return nil, err
		}
		if err := checkEntry(&e); err != nil {
			return nil, err
		}
		f := &file{Entry: e}
		if err := p.list.add(f); err != nil {
			return nil, err
		}
		up := dirs[parent(e.Path)]
		if up == nil {
			return nil, fmt.Errorf("%q comes before its directory", e.Path)
		}
		if e.Kind == tree.Dir {
			d := &dir{entry: f}
			up.dirs = append(up.dirs, d)
			dirs[e.Path] = d
		} else {
			up.rest = append(up.rest, f)
		}
		p.totals.Add(e)
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return p, p.list.finish()
}

// upload is one Save's writing.
type upload struct {
	tree     tree.Tree
	writer   repo.DirectRepositoryWriter
	progress Progress
	known    map[string]*file // by contentKey
}

// run writes everything and returns the snapshot's root.
func (u *upload) run(ctx context.Context, p *plan, m Meta) (*snapshot.DirEntry, error) {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(uploaders)
	for _, f := range p.list.files {
		if f.LinkTo != "" || f.Kind == tree.Dir || f.Kind == tree.FIFO {
			u.progress.Done(boolToInt(f.Kind != tree.Dir), 0)
			continue
		}
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			// Kopia's calls end with their context only between two requests.
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			if err := u.content(gctx, f); err != nil {
				return err
			}
			u.progress.Done(1, f.Size)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, f := range p.list.files {
		if f.LinkTo != "" {
			f.object = p.list.byPath[f.LinkTo].object
		}
	}
	side, err := u.sidecar(ctx, p, m)
	if err != nil {
		return nil, err
	}
	return u.directory(ctx, p.root, m.Time, side)
}

func boolToInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// content writes the content of a file or the target of a link, or finds it.
func (u *upload) content(ctx context.Context, f *file) error {
	if f.Kind == tree.Symlink {
		id, err := u.object(ctx, strings.NewReader(f.Target), object.WriterOptions{MetadataCompressor: compressor}, int64(len(f.Target)))
		f.object = id
		return err
	}
	if old := u.known[contentKey(f)]; old != nil && old.Size == f.Size && u.present(ctx, old.object) {
		f.object = old.object
		return nil
	}
	r, err := u.tree.Open(ctx, f.Path)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", f.Path, err)
	}
	defer r.Close()
	f.object, err = u.file(ctx, r, f.Path, f.Size)
	if err != nil {
		return fmt.Errorf("cannot keep %q: %w", f.Path, err)
	}
	return nil
}

// present tells whether all pieces of an object are there, as far as the index
// knows. A piece that Verify found damaged is marked as deleted there.
func (u *upload) present(ctx context.Context, id object.ID) bool {
	contents, err := u.writer.VerifyObject(ctx, id)
	if err != nil {
		return false
	}
	for _, c := range contents {
		if info, err := u.writer.ContentInfo(ctx, c); err != nil || info.Deleted {
			return false
		}
	}
	return true
}

// object writes what r gives, which must be size bytes.
func (u *upload) object(ctx context.Context, r io.Reader, opts object.WriterOptions, size int64) (object.ID, error) {
	w := u.writer.NewObjectWriter(ctx, opts)
	defer w.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, ctxReader{ctx, r}, make([]byte, int(min(max(size, 512), 128<<10))))
	if err != nil {
		return object.EmptyID, err
	}
	if n != size {
		return object.EmptyID, fmt.Errorf("it has %d bytes and not %d as it was said", n, size)
	}
	return w.Result()
}

// ctxReader ends reading when its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// directory writes a directory and all below it, and returns its entry.
func (u *upload) directory(ctx context.Context, d *dir, at time.Time, extra ...*snapshot.DirEntry) (*snapshot.DirEntry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var b snapshotfs.DirManifestBuilder
	for _, e := range extra {
		b.AddEntry(e)
	}
	for _, sub := range d.dirs {
		e, err := u.directory(ctx, sub, at)
		if err != nil {
			return nil, err
		}
		b.AddEntry(e)
	}
	for _, f := range d.rest {
		if f.Kind != tree.FIFO { // kopia has no word for it
			b.AddEntry(kopiaEntry(f, d.entry == nil))
		}
	}
	self := &snapshot.DirEntry{
		Name: "/", Type: snapshot.EntryTypeDirectory, Permissions: 0o700, ModTime: fs.UTCTimestampFromTime(at),
	}
	path := "/"
	if d.entry != nil {
		path = d.entry.Path
		self = kopiaEntry(d.entry, parent(path) == "")
	}
	manifest := b.Build(self.ModTime, "")
	id, err := snapshotfs.WriteDirManifest(ctx, u.writer, path, manifest, compressor)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the directory %q: %w", path, err)
	}
	self.ObjectID, self.DirSummary = id, manifest.Summary
	return self, nil
}

var kopiaTypes = map[tree.Kind]snapshot.EntryType{
	tree.Dir:     snapshot.EntryTypeDirectory,
	tree.File:    snapshot.EntryTypeFile,
	tree.Symlink: snapshot.EntryTypeSymlink,
}

// kopiaEntry is an entry as kopia says it.
func kopiaEntry(f *file, atRoot bool) *snapshot.DirEntry {
	name := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
	e := &snapshot.DirEntry{
		Name:        kopiaName(name, atRoot),
		Type:        kopiaTypes[f.Kind],
		Permissions: snapshot.Permissions(f.Mode),
		FileSize:    f.Size,
		ModTime:     kopiaTime(f.ModTime),
		UserID:      f.UID,
		GroupID:     f.GID,
		ObjectID:    f.object,
	}
	if f.Kind == tree.Symlink {
		e.FileSize = int64(len(f.Target))
	}
	return e
}

// kopiaTime cuts a time to what 64 bits of nanoseconds can say (1678 to 2262).
func kopiaTime(t time.Time) fs.UTCTimestamp {
	low, high := time.Unix(0, -1<<63), time.Unix(0, 1<<63-1)
	return fs.UTCTimestampFromTime(slices.MaxFunc([]time.Time{low, slices.MinFunc([]time.Time{high, t}, time.Time.Compare)}, time.Time.Compare))
}

// sidecar writes the true list of entries and returns the entry of its folder.
func (u *upload) sidecar(ctx context.Context, p *plan, m Meta) (*snapshot.DirEntry, error) {
	shards := shardCount(len(p.list.files))
	lines := make([]bytes.Buffer, shards)
	for _, f := range p.list.files {
		line, err := encodeRecord(f)
		if err != nil {
			return nil, err
		}
		lines[shardOf(f.Path, shards)].Write(line)
	}
	head, err := json.Marshal(sidecarHead{Format: sidecarFormat, Meta: m, Shards: shards})
	if err != nil {
		return nil, err
	}
	var b snapshotfs.DirManifestBuilder
	add := func(name string, data []byte) error {
		id, err := u.object(ctx, bytes.NewReader(data), object.WriterOptions{
			Prefix:     "t", // any prefix puts it among the metadata, which is read more often than contents
			Compressor: compressor, MetadataCompressor: compressor, Splitter: "FIXED-4M",
		}, int64(len(data)))
		if err != nil {
			return fmt.Errorf("cannot keep the list of files: %w", err)
		}
		// No time: equal shards must make equal directories.
		b.AddEntry(&snapshot.DirEntry{Name: name, Type: snapshot.EntryTypeFile, Permissions: 0o600, FileSize: int64(len(data)), ObjectID: id})
		return nil
	}
	err = add("head.json", head)
	for i := range lines {
		if err == nil {
			err = add(shardName(i), lines[i].Bytes())
		}
	}
	if err != nil {
		return nil, err
	}
	manifest := b.Build(0, "")
	id, err := snapshotfs.WriteDirManifest(ctx, u.writer, sidecarDir, manifest, compressor)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the list of files: %w", err)
	}
	return &snapshot.DirEntry{
		Name: sidecarDir, Type: snapshot.EntryTypeDirectory, Permissions: 0o700, ObjectID: id, DirSummary: manifest.Summary,
	}, nil
}
