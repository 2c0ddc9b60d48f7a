package moltworker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/sqlite"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// Options say what to import, and where to.
type Options struct {
	Bucket Bucket
	Home   string // the gateway's home folder, absolute: absent, or without files
	Layout Layout // empty: the only one that there is
	Backup string // id of an image; empty: the present one
	DryRun bool   // list only
	// Progress is told how far it is; may be nil.
	Progress store.Progress
}

// Report says what was imported, or would be.
type Report struct {
	Layout    Layout         `json:"layout"`
	Backup    string         `json:"backup,omitempty"`
	Home      string         `json:"home"`
	Totals    tree.Totals    `json:"totals"`
	Files     []File         `json:"files"`
	Rewritten []Rewritten    `json:"rewritten,omitempty"`
	Skipped   []tree.Skipped `json:"skipped,omitempty"`
	Losses    []tree.Loss    `json:"losses,omitempty"`
	// Damaged are databases that are not whole. moltworker copied them while
	// they were written to.
	Damaged []string `json:"damaged,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// File is a file that was imported.
type File struct {
	Path string `json:"path"` // in the home; quoted with strconv.Quote if it is no UTF-8
	Size int64  `json:"size"`
}

// Import imports. The caller sees to it that no gateway runs on that home. Errors
// that callers branch on: *LayoutError, *restore.NotEmptyError.
func Import(ctx context.Context, o Options) (Report, error) {
	found, err := restore.Empty([]store.Root{{Name: rootName, Path: o.Home}})
	if err != nil {
		return Report{}, err
	}
	if found != "" {
		return Report{}, &restore.NotEmptyError{Dir: o.Home, Found: found}
	}
	objects, layouts, err := survey(ctx, o.Bucket)
	if err != nil {
		return Report{}, err
	}
	chosen, err := choose(o.Bucket.String(), layouts, o)
	if err != nil {
		return Report{}, err
	}
	r := Report{Layout: chosen.Layout, Backup: chosen.Backup, Home: o.Home}
	f, done, err := gather(ctx, o, chosen, objects)
	if err != nil {
		return r, fmt.Errorf("cannot import from %s: %w", o.Bucket, err)
	}
	defer done()
	if err := r.describe(ctx, f, o); err != nil {
		return r, fmt.Errorf("cannot import from %s: %w", o.Bucket, err)
	}
	if o.DryRun {
		return r, nil
	}
	if err := r.write(ctx, f, o); err != nil {
		return r, fmt.Errorf("cannot import into %s, which was left as it was: %w", o.Home, err)
	}
	return r, nil
}

// gather finds the files. done lets go of what they are read from.
func gather(ctx context.Context, o Options, chosen Found, objects []Object) (f *files, done func(), err error) {
	if chosen.Layout != Snapshot {
		return fromObjects(o.Bucket, chosen.Layout, objects), func() {}, nil
	}
	img, err := download(ctx, o.Bucket, "backups/"+chosen.Backup+"/data.sqsh", "")
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = img.Close() } // read from only
	if f, err = fromImage(ctx, img); err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}

func (r *Report) describe(ctx context.Context, f *files, o Options) error {
	rewritten, note, err := f.rewrite(ctx, o.Home)
	if err != nil {
		return err
	}
	slices.SortFunc(rewritten, func(a, b Rewritten) int { return cmp.Compare(a.Where, b.Where) })
	r.Rewritten, r.Skipped = rewritten, f.skipped
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	for e, err := range f.Walk(ctx) {
		if err != nil {
			return err
		}
		r.Totals.Add(e)
		if e.Kind != tree.Dir {
			r.Files = append(r.Files, File{tree.Quoted(strings.TrimPrefix(e.Path, rootName+"/")), e.Size})
		}
	}
	if o.Progress != nil {
		o.Progress.Total(r.Totals.Files, r.Totals.Bytes)
	}
	return nil
}

// write writes the files beside the home and puts them in its place.
func (r *Report) write(ctx context.Context, f *files, o Options) (err error) {
	if err := os.MkdirAll(filepath.Dir(o.Home), 0o700); err != nil {
		return err
	}
	prefix := filepath.Base(o.Home) + ".creel-import-"
	left, err := os.ReadDir(filepath.Dir(o.Home))
	if err != nil {
		return err
	}
	for _, d := range left { // by an import that was killed
		if strings.HasPrefix(d.Name(), prefix) {
			if err := os.RemoveAll(filepath.Join(filepath.Dir(o.Home), d.Name())); err != nil {
				return err
			}
		}
	}
	work, err := os.MkdirTemp(filepath.Dir(o.Home), prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	staged := filepath.Join(work, rootName)
	var mu sync.Mutex
	var databases []string
	options := tree.WriteOptions{Sync: true, Head: func(e tree.Entry, head []byte) {
		if sqlite.Is(head) {
			mu.Lock()
			defer mu.Unlock()
			databases = append(databases, e.Path)
		}
	}}
	if o.Progress != nil {
		options.Done = o.Progress.Done
	}
	written, err := tree.Write(ctx, f, map[string]string{rootName: staged}, options)
	if err != nil {
		return err
	}
	r.Losses = written.Losses
	slices.Sort(databases)
	for _, path := range databases {
		err := sqlite.Check(ctx, filepath.Join(work, path), work)
		if _, damaged := errors.AsType[*sqlite.DamagedError](err); damaged {
			r.Damaged = append(r.Damaged, strings.TrimPrefix(path, rootName+"/"))
		} else if _, unchecked := errors.AsType[*sqlite.UncheckableError](err); err != nil && !unchecked {
			return err
		}
	}
	if err := removeEmpty(o.Home); err != nil {
		return err
	}
	if err := os.Rename(staged, o.Home); err != nil {
		return err
	}
	return tree.SyncDir(filepath.Dir(o.Home))
}

// removeEmpty removes a folder that holds nothing but folders. A file that has
// come meanwhile keeps it from it.
func removeEmpty(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range list {
		if !d.IsDir() {
			return &restore.NotEmptyError{Dir: dir, Found: d.Name()}
		}
		if err := removeEmpty(filepath.Join(dir, d.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}
