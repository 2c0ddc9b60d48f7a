package moltworker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"creel/internal/snapshot/tree"
)

// rootName is the name of the only root of what is imported: the home.
const rootName = "home"

// item is a file to be imported.
type item struct {
	tree.Entry
	open func(context.Context) (io.ReadCloser, error) // of a File
}

// files is what is to be imported, as a tree.
type files struct {
	items   map[string]item // by Entry.Path
	skipped []tree.Skipped
}

func newFiles(when time.Time) *files {
	root := item{Entry: tree.Entry{Path: rootName, Kind: tree.Dir, Mode: 0o700, ModTime: when}}
	return &files{items: map[string]item{rootName: root}}
}

// add adds an item, whose path is relative to the home, and the folders that it
// is in. What cannot be there is skipped, and said.
func (f *files) add(path string, i item) {
	i.Path = rootName + "/" + path
	if err := tree.CheckPath(i.Path); err != nil {
		f.skip(path, "no path of a file system")
		return
	}
	if old, ok := f.items[i.Path]; ok && (old.Kind != tree.Dir || i.Kind != tree.Dir) {
		f.skip(path, "there is a "+string(old.Kind)+" of this name already")
		return
	}
	for at := parent(i.Path); at != ""; at = parent(at) {
		above, ok := f.items[at]
		if ok && above.Kind != tree.Dir {
			f.skip(path, fmt.Sprintf("it would lie in the %s %q", above.Kind, strings.TrimPrefix(at, rootName+"/")))
			return
		}
	}
	for at := parent(i.Path); at != ""; at = parent(at) {
		if _, ok := f.items[at]; !ok {
			f.items[at] = item{Entry: tree.Entry{Path: at, Kind: tree.Dir, Mode: 0o700, ModTime: i.ModTime}}
		}
	}
	f.items[i.Path] = i
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

func (f *files) skip(path, why string) {
	if !utf8.ValidString(path) {
		path = strconv.Quote(path)
	}
	f.skipped = append(f.skipped, tree.Skipped{Path: path, Reason: why})
}

// replace gives a file another content.
func (f *files) replace(path string, content []byte) {
	i := f.items[path]
	i.Size = int64(len(content))
	i.open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	f.items[path] = i
}

// Walk implements tree.Tree.
func (f *files) Walk(ctx context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, path := range slices.SortedFunc(maps.Keys(f.items), tree.ComparePaths) {
			if ctx.Err() != nil {
				yield(tree.Entry{}, context.Cause(ctx))
				return
			}
			e := f.items[path].Entry
			e.UID, e.GID = uint32(os.Geteuid()), uint32(os.Getegid()) // not the container's
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Open implements tree.Tree.
func (f *files) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	i, ok := f.items[path]
	if !ok || i.open == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return i.open(ctx)
}

// fromObjects takes the objects of one of the older layouts.
func fromObjects(b Bucket, l Layout, objects []Object) *files {
	f := newFiles(time.Now())
	for _, o := range objects {
		path, ok := place(l, o.Key)
		if !ok {
			continue
		}
		f.add(path, item{
			Entry: tree.Entry{Kind: tree.File, Mode: 0o600, Size: o.Size, ModTime: o.ModTime},
			open:  func(ctx context.Context) (io.ReadCloser, error) { return b.Open(ctx, o.Key) },
		})
	}
	return f
}
