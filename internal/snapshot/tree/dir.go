package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Folders is the tree of plain folders as they are while it is read. It makes no
// cut: nobody should be writing to them.
type Folders struct {
	dirs map[string]string
	// Skipped, if not nil, is told of what is left out: sockets and devices.
	Skipped func(Skipped)
}

var _ Tree = (*Folders)(nil)

// OfDir is the tree of one folder, as the root called name.
func OfDir(name, dir string) *Folders { return OfDirs(map[string]string{name: dir}) }

// OfDirs is the tree of folders by the names of their roots. A folder may be
// given by a link to it.
func OfDirs(dirs map[string]string) *Folders { return &Folders{dirs: maps.Clone(dirs)} }

// inode tells hard links.
type inode struct{ dev, ino uint64 }

// Walk implements Tree.
func (d *Folders) Walk(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		first := map[inode]string{}
		for _, name := range slices.Sorted(maps.Keys(d.dirs)) {
			if err := CheckPath(name); err != nil || strings.Contains(name, "/") {
				yield(Entry{}, cmpErr(err, &PathError{name, "the name of a root is one part"}))
				return
			}
			dir, err := filepath.EvalSymlinks(d.dirs[name])
			if err != nil {
				yield(Entry{}, fmt.Errorf("cannot read the folder of %q: %w", name, err))
				return
			}
			if !d.walk(ctx, name, dir, first, yield) {
				return
			}
		}
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// walk yields what is at abs, and below; false: the walk is over.
func (d *Folders) walk(ctx context.Context, path, abs string, first map[inode]string, yield func(Entry, error) bool) bool {
	if ctx.Err() != nil {
		yield(Entry{}, context.Cause(ctx))
		return false
	}
	e, ok, err := d.entry(path, abs, first)
	if err != nil {
		yield(Entry{}, err)
		return false
	}
	if !ok {
		return true
	}
	if !yield(e, nil) {
		return false
	}
	if e.Kind != Dir {
		return true
	}
	list, err := os.ReadDir(abs) // sorted by name, as bytes
	if err != nil {
		yield(Entry{}, fmt.Errorf("cannot list a folder: %w", err))
		return false
	}
	for _, child := range list {
		if !d.walk(ctx, path+"/"+child.Name(), filepath.Join(abs, child.Name()), first, yield) {
			return false
		}
	}
	return true
}

// entry describes what is at abs; false: it is no part of a tree.
func (d *Folders) entry(path, abs string, first map[inode]string) (Entry, bool, error) {
	info, err := os.Lstat(abs)
	if err != nil {
		return Entry{}, false, fmt.Errorf("cannot look at a file: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Entry{}, false, fmt.Errorf("cannot tell the owner of %q on this system", abs)
	}
	e := Entry{
		Path: path, Mode: info.Mode() & ModeBits, UID: st.Uid, GID: st.Gid,
		ModTime: info.ModTime().UTC(),
	}
	switch info.Mode().Type() {
	case 0:
		e.Kind, e.Size = File, info.Size()
		if st.Nlink > 1 {
			id := inode{uint64(st.Dev), st.Ino}
			if e.LinkTo, ok = first[id]; !ok {
				first[id] = path
			}
		}
	case fs.ModeDir:
		e.Kind = Dir
	case fs.ModeSymlink:
		e.Kind, e.Mode = Symlink, 0o777
		if e.Target, err = os.Readlink(abs); err != nil {
			return Entry{}, false, fmt.Errorf("cannot read a link: %w", err)
		}
	case fs.ModeNamedPipe:
		e.Kind = FIFO
	default:
		d.skip(path, info.Mode())
		return Entry{}, false, nil
	}
	e.Xattrs, err = readXattrs(abs)
	return e, true, err
}

func (d *Folders) skip(path string, mode fs.FileMode) {
	if d.Skipped == nil {
		return
	}
	reason := "device"
	if mode&fs.ModeSocket != 0 {
		reason = "socket"
	}
	d.Skipped(Skipped{Path: Quoted(path), Reason: reason})
}

// Open implements Tree.
func (d *Folders) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	root, rest := SplitRoot(path)
	dir, ok := d.dirs[root]
	if !ok || rest == "" {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	// O_NONBLOCK: a FIFO that has come in place of the file must not hold us up.
	f, err := os.OpenFile(filepath.Join(dir, rest), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("it is no regular file any more")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &boundFile{f, ctx}, nil
}

// boundFile ends with its context.
type boundFile struct {
	f   *os.File
	ctx context.Context
}

func (b *boundFile) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.f.Read(p)
}

func (b *boundFile) Close() error { return b.f.Close() }
