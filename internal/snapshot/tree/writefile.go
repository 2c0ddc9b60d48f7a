package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// file writes one File.
func (w *writer) file(ctx context.Context, at *opener, e Entry) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	parent, name := split(e.Path)
	err := at.in(parent, func(dir int) error {
		fd, err := retry(func() (int, error) {
			return unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		})
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		err = w.content(ctx, f, e)
		if err == nil {
			err = w.attributes(e, node{dir: dir, name: name, fd: fd, isOpen: true})
		}
		if err == nil && w.opts.Sync {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return failed("write", e, err)
	}
	w.count(e)
	w.progress(1, 0)
	return nil
}

func (w *writer) content(ctx context.Context, f *os.File, e Entry) error {
	r, err := w.tree.Open(ctx, e.Path)
	if err != nil {
		return err
	}
	err = w.copy(f, r, e)
	return errors.Join(err, r.Close())
}

// block is the unit of holes: that of most file systems.
const block = 4096

var (
	zeros   [block]byte
	buffers = sync.Pool{New: func() any { b := make([]byte, 64*block); return &b }}
)

// copy writes the content, and leaves out blocks of zeros.
func (w *writer) copy(f *os.File, r io.Reader, e Entry) error {
	p := buffers.Get().(*[]byte)
	defer buffers.Put(p)
	var at int64
	for {
		n, err := io.ReadFull(r, *p)
		got := (*p)[:n]
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("after %d bytes: %w", at, err)
		}
		if at+int64(n) > e.Size {
			return fmt.Errorf("its content is longer than the %d bytes it should have", e.Size)
		}
		if at == 0 && w.opts.Head != nil {
			w.opts.Head(e, got[:min(n, HeadSize)])
		}
		if werr := writeSparse(f, got, at); werr != nil {
			return werr
		}
		at += int64(n)
		w.progress(0, int64(n))
		if err != nil {
			break
		}
	}
	if at != e.Size {
		return fmt.Errorf("its content ended after %d of %d bytes", at, e.Size)
	}
	return f.Truncate(e.Size) // a hole at the end
}

// writeSparse writes p at off, which is a multiple of block, but for blocks that
// are all zeros.
func writeSparse(f *os.File, p []byte, off int64) error {
	isHole := func(i int) bool {
		b := p[i:min(i+block, len(p))]
		return bytes.Equal(b, zeros[:len(b)])
	}
	for i := 0; i < len(p); {
		if isHole(i) {
			i += block
			continue
		}
		end := i + block
		for end < len(p) && !isHole(end) {
			end += block
		}
		end = min(end, len(p))
		if _, err := f.WriteAt(p[i:end], off+int64(i)); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// node is something that was made a moment ago, to be given its attributes.
type node struct {
	dir    int    // the folder that it is in, open
	name   string // its name there
	fd     int    // itself, if isOpen
	isOpen bool
}

// path names a node for calls that know no descriptors of links and FIFOs.
func (n node) path() string { return "/proc/self/fd/" + strconv.Itoa(n.dir) + "/" + n.name }

// attributes gives owner, permissions, extended attributes and times, in this
// order: a change of owner takes setuid bits and capabilities away, an ACL and
// the permissions of the group are the same bits.
func (w *writer) attributes(e Entry, n node) error {
	mode := e.Mode
	if err := n.chown(e); err != nil {
		w.lose(e.Path, "owner", err)
		if bits := mode & (fs.ModeSetuid | fs.ModeSetgid); bits != 0 && e.Kind != Dir {
			mode &^= bits
			w.lose(e.Path, "setuid", errors.New("it would be another owner's"))
		}
	}
	if err := n.chmod(e.Kind, mode); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		err := n.setXattr(name, e.Xattrs[name])
		if errors.Is(err, unix.EIO) {
			return err
		}
		if err != nil {
			w.lose(e.Path, "xattr "+name, err)
		}
	}
	return n.setTime(e)
}

// chown changes the owner if it is another one. Nobody but root may; a member of
// a group may give a file to it.
func (n node) chown(e Entry) error {
	var st unix.Stat_t
	if err := unix.Fstatat(n.dir, n.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Uid == e.UID && st.Gid == e.GID {
		return nil
	}
	err := unix.Fchownat(n.dir, n.name, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && st.Uid == e.UID {
		return err
	}
	if err != nil && unix.Fchownat(n.dir, n.name, -1, int(e.GID), unix.AT_SYMLINK_NOFOLLOW) == nil {
		return fmt.Errorf("the user %d: %w", e.UID, err)
	}
	return err
}

func (n node) chmod(kind Kind, mode fs.FileMode) error {
	bits := uint32(mode.Perm())
	for _, b := range []struct {
		mode fs.FileMode
		bit  uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}} {
		if mode&b.mode != 0 {
			bits |= b.bit
		}
	}
	switch {
	case kind == Symlink:
		return nil // has none of its own
	case n.isOpen:
		return unix.Fchmod(n.fd, bits)
	}
	return unix.Fchmodat(n.dir, n.name, bits, 0) // a FIFO of ours, in a folder that is ours alone
}

func (n node) setXattr(name string, value []byte) error {
	if n.isOpen {
		return unix.Fsetxattr(n.fd, name, value, 0)
	}
	return unix.Lsetxattr(n.path(), name, value, 0)
}

func (n node) setTime(e Entry) error {
	mtime := unix.Timespec{Sec: e.ModTime.Unix(), Nsec: int64(e.ModTime.Nanosecond())}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	return unix.UtimesNanoAt(n.dir, n.name, times, unix.AT_SYMLINK_NOFOLLOW)
}
