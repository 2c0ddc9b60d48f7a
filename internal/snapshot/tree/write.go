package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// WriteOptions say how a tree is written. The zero value is fine.
type WriteOptions struct {
	// Sync makes all of it durable, files and folders, before Write returns.
	Sync bool
	// Done is told how much more has been written, often, from several
	// goroutines; may be nil.
	Done func(files, bytes int64)
	// Head is shown the first bytes (at most HeadSize) of each File, once, from
	// several goroutines, in no order; may be nil.
	Head func(e Entry, head []byte)
}

// HeadSize is how much of a file WriteOptions.Head is shown.
const HeadSize = 64

// Written is what Write has done.
type Written struct {
	Totals
	// Losses is what could not be made as the tree has it; at most maxLosses,
	// MoreLosses counts the others. The files' contents are never among them.
	Losses     []Loss
	MoreLosses int
}

const maxLosses = 100

// Loss is something of an entry that the target cannot have.
type Loss struct {
	Path string `json:"path"` // as in Entry; quoted with strconv.Quote if it is no UTF-8
	What string `json:"what"` // "owner", "setuid", "xattr user.x", "hard link"
	Why  string `json:"why"`
}

// writers is how many files are written at once. Most of the time goes into
// waiting, for a store or for the disk.
const writers = 8

// Write makes each root of a tree the folder that dirs gives for its name. That
// folder must be absent or empty, and the one that it is in must exist.
//
// What it promises:
//
//   - Nothing outside these folders is touched, whatever the tree says. Each
//     folder is opened part by part from its root without following links
//     (O_NOFOLLOW), names are checked, and an entry whose parent is not a Dir of
//     this tree, or that comes twice, is refused with a *PathError.
//   - Names, kinds, contents, permissions, times of files and folders, links,
//     hard links, FIFOs, extended attributes and ACLs are as the tree has them.
//     So are owners, where the process may say so; what cannot be had is reported
//     (Written.Losses). A setuid or setgid bit is not given to a file whose owner
//     or group is another one than the tree says.
//   - Blocks of zeros become holes.
//   - A File whose content is not exactly as long as its entry says is an error.
//
// On an error, or when ctx ends, what was written until then stays; the caller
// removes it.
func Write(ctx context.Context, t Tree, dirs map[string]string, o WriteOptions) (Written, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &writer{
		tree: t, opts: o, fail: cancel,
		roots: map[string]*os.File{}, paths: dirs,
		isDir: map[string]bool{}, isFile: map[string]bool{},
	}
	defer w.close()
	if err := w.write(ctx); err != nil {
		return w.done, fmt.Errorf("cannot write a tree: %w", err)
	}
	return w.done, nil
}

// writer is one Write.
type writer struct {
	tree  Tree
	opts  WriteOptions
	fail  context.CancelCauseFunc
	paths map[string]string   // of the roots
	roots map[string]*os.File // open; changed only while no worker runs, but for new ones: see mu

	// owned by the walk
	dirs   []Entry // in order
	links  []Entry // hard links, in order
	isDir  map[string]bool
	isFile map[string]bool // Files that are no hard links

	mu   sync.Mutex
	done Written
}

func (w *writer) write(ctx context.Context) error {
	if err := w.walk(ctx); err != nil {
		return err
	}
	at := w.opener()
	defer at.close()
	for _, e := range w.links {
		if err := w.link(ctx, at, e); err != nil {
			return err
		}
	}
	// Last, and the innermost first: writing into a folder changes its times,
	// and its permissions may forbid it.
	for _, e := range slices.Backward(w.dirs) {
		if err := cmpErr(context.Cause(ctx), w.finishDir(at, e)); err != nil {
			return err
		}
	}
	if w.opts.Sync {
		for _, path := range w.paths {
			if err := SyncDir(filepath.Dir(path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk makes folders, links and FIFOs as they come, and has the files written
// beside that.
func (w *writer) walk(ctx context.Context) error {
	files := make(chan Entry)
	var workers sync.WaitGroup
	for range writers {
		workers.Go(func() {
			at := w.opener()
			defer at.close()
			for e := range files {
				if err := w.file(ctx, at, e); err != nil {
					w.fail(err)
				}
			}
		})
	}
	err := w.entries(ctx, files)
	if err != nil {
		w.fail(err)
	}
	close(files)
	workers.Wait()
	return context.Cause(ctx) // the first error
}

func (w *writer) entries(ctx context.Context, files chan<- Entry) error {
	at := w.opener()
	defer at.close()
	for e, err := range w.tree.Walk(ctx) {
		if err != nil {
			return err
		}
		if err := w.admit(e); err != nil {
			return err
		}
		switch {
		case e.Kind == Dir:
			err = w.dir(at, e)
		case e.Kind == Symlink || e.Kind == FIFO:
			err = w.special(at, e)
		case e.LinkTo != "":
			w.links = append(w.links, e)
		default:
			select {
			case files <- e:
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	for name := range w.paths {
		if !w.isDir[name] {
			return fmt.Errorf("the tree has no root %q", name)
		}
	}
	return nil
}

// admit refuses what no honest tree has.
func (w *writer) admit(e Entry) error {
	if err := CheckPath(e.Path); err != nil {
		return err
	}
	parent, _ := split(e.Path)
	switch {
	case w.isDir[e.Path] || w.isFile[e.Path]:
		return &PathError{e.Path, "it comes twice"}
	case parent == "" && w.paths[e.Path] == "":
		return &PathError{e.Path, "no folder was given for this root"}
	case parent == "" && e.Kind != Dir:
		return &PathError{e.Path, "a root that is no folder"}
	case parent != "" && !w.isDir[parent]:
		return &PathError{e.Path, "what it is in is no folder of the tree"}
	case e.Mode&^ModeBits != 0:
		return &PathError{e.Path, fmt.Sprintf("its mode is %v", e.Mode)}
	}
	switch e.Kind {
	case Dir:
		w.isDir[e.Path] = true
	case Symlink, FIFO:
	case File:
		switch {
		case e.LinkTo == "":
			w.isFile[e.Path] = true
		case !w.isFile[e.LinkTo]:
			return &PathError{e.Path, fmt.Sprintf("it is a link to %q, which is no file before it", e.LinkTo)}
		}
		if e.Size < 0 {
			return &PathError{e.Path, fmt.Sprintf("its size is %d", e.Size)}
		}
	default:
		return &PathError{e.Path, fmt.Sprintf("its kind is %q", e.Kind)}
	}
	return nil
}

// dir makes a folder that only its owner can enter, for the time being.
func (w *writer) dir(at *opener, e Entry) error {
	parent, name := split(e.Path)
	if parent == "" {
		f, err := newRoot(w.paths[name])
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.roots[name] = f
		w.mu.Unlock()
	} else if err := at.in(parent, func(dir int) error { return unix.Mkdirat(dir, name, 0o700) }); err != nil {
		return failed("make the folder", e, err)
	}
	w.dirs = append(w.dirs, e)
	return nil
}

// newRoot makes a folder, or takes one that is empty.
func newRoot(path string) (*os.File, error) {
	err := os.Mkdir(path, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.Readdirnames(1)
	if err == nil {
		err = &fs.PathError{Op: "write a tree into", Path: path, Err: errors.New("it is not empty")}
	}
	if err != io.EOF {
		return nil, errors.Join(err, f.Close())
	}
	// What the folder above hands down to all that is made in it is no part of
	// the tree.
	for _, acl := range []string{aclDefault, aclAccess} {
		_ = unix.Fremovexattr(int(f.Fd()), acl) // ENODATA, or a file system without ACLs
	}
	return f, nil
}

// special makes a symbolic link or a FIFO.
func (w *writer) special(at *opener, e Entry) error {
	parent, name := split(e.Path)
	err := at.in(parent, func(dir int) error {
		var err error
		if e.Kind == Symlink {
			err = unix.Symlinkat(e.Target, dir, name)
		} else {
			err = unix.Mkfifoat(dir, name, 0o600)
		}
		if err != nil {
			return err
		}
		return w.attributes(e, node{dir: dir, name: name})
	})
	if err != nil {
		return failed("make the "+string(e.Kind), e, err)
	}
	w.count(e)
	w.progress(1, 0)
	return nil
}

// link makes a hard link, or a copy where file systems end in between.
func (w *writer) link(ctx context.Context, at *opener, e Entry) error {
	from, fromName := split(e.LinkTo)
	to, toName := split(e.Path)
	other := w.opener() // at holds one folder at a time
	defer other.close()
	err := other.in(from, func(fromDir int) error {
		return at.in(to, func(toDir int) error { return unix.Linkat(fromDir, fromName, toDir, toName, 0) })
	})
	switch {
	case err == nil:
		w.count(e)
		w.progress(1, 0)
		return nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EMLINK):
		w.lose(e.Path, "hard link", err)
		e.LinkTo = ""
		return w.file(ctx, at, e)
	}
	return failed("link", e, err)
}

// finishDir gives a folder what it is to have, and makes it durable.
func (w *writer) finishDir(at *opener, e Entry) error {
	err := at.in(e.Path, func(dir int) error {
		if err := w.attributes(e, node{dir: dir, name: ".", fd: dir, isOpen: true}); err != nil {
			return err
		}
		if w.opts.Sync {
			return folderError(unix.Fsync(dir))
		}
		return nil
	})
	if err != nil {
		return failed("finish the folder", e, err)
	}
	w.count(e)
	return nil
}

func failed(what string, e Entry, err error) error {
	return fmt.Errorf("cannot %s %q: %w", what, e.Path, err)
}

func (w *writer) count(e Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done.Add(e)
}

func (w *writer) progress(files, bytes int64) {
	if w.opts.Done != nil {
		w.opts.Done(files, bytes)
	}
}

func (w *writer) lose(path, what string, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.done.Losses) == maxLosses {
		w.done.MoreLosses++
		return
	}
	w.done.Losses = append(w.done.Losses, Loss{Path: Quoted(path), What: what, Why: why.Error()})
}

func (w *writer) close() {
	for _, f := range w.roots {
		_ = f.Close() // only read from; what was written is synced by name
	}
}

// SyncDir makes the names in a folder durable.
func SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folderError(f.Sync()), f.Close())
}

// folderError is err of syncing a folder, unless it says that the file system cannot, as
// some of the network do: nobody could do better there.
func folderError(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
