package capture

import (
	"errors"

	"golang.org/x/sys/unix"
)

// chunk is how much is copied between two looks at the context.
const chunk = 8 << 20

// file takes in a regular file.
func (r *round) file(n *node, dirfd int, st stamp, alloc int64) error {
	n.skip, n.children = "", nil
	if r.reuse(n, st) {
		return nil
	}
	if bad, found := r.bad[st.id()]; found && bad.stamp == st && !r.look {
		n.in = &inode{Stamp: st}
		return r.lose(n, bad.err) // asking a disk again takes seconds
	}
	if r.look {
		n.in = &inode{Stamp: st} // for the mark
		r.count(min(alloc, st.Size))
		return nil
	}
	fd, err := open(dirfd, n.name, unix.O_NOFOLLOW)
	if err != nil {
		return r.unreadable(n, "open", err)
	}
	defer unix.Close(fd)
	var sx unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &sx); err != nil {
		return r.fail("look at", err)
	}
	if now := stampOf(&sx); now != st {
		if r.frozen || now.format() != unix.S_IFREG {
			return errGone
		}
		st, alloc = now, int64(sx.Blocks)*512
		if r.reuse(n, st) {
			return nil
		}
	}
	if old := r.inodes[st.id()]; old != nil {
		if r.frozen && old.round == r.no {
			return errGone // it has changed between two of its names
		}
		r.discard(old)
	}
	if r.frozen && r.step != nil {
		r.step(string(r.path), true)
	}
	in := &inode{Stamp: st, Alloc: alloc, round: r.no}
	if err := r.content(in, fd); err != nil {
		delete(r.inodes, st.id())
		n.in = nil
		if isBroken(err) {
			r.bad[st.id()] = badFile{st, err}
			n.in = &inode{Stamp: st} // for the mark
			return r.lose(n, err)
		}
		return err
	}
	in.Xattrs = xattrs(fd)
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &sx); err != nil {
		return r.fail("look at", err)
	}
	same := stampOf(&sx) == st
	if r.frozen && !same {
		r.discard(in)
		return errGone
	}
	in.Proved = same && r.at.proves && st.before(r.begun) && !r.maps.has(st.Ino, n.name)
	r.inodes[st.id()], n.in = in, in
	r.count(min(alloc, st.Size))
	r.progress.Done(1, min(alloc, st.Size))
	return nil
}

// reuse takes a file for unchanged, if that is proved.
func (r *round) reuse(n *node, st stamp) bool {
	in := r.inodes[st.id()]
	if in == nil || in.Stamp != st || !in.Proved && in.round != r.no {
		return false
	}
	in.round, n.in = r.no, in
	return true
}

// count adds a file to what has to be copied.
func (r *round) count(bytes int64) {
	r.delta.Files++
	r.delta.Bytes += bytes
	if bytes > r.largeN {
		r.largest, r.largeN = string(r.path), bytes
	}
}

// content copies what is in an open file: into a blob, or into memory while
// everything is held still. Of a file that changes meanwhile it takes what it
// finds; the caller looks whether it has.
func (r *round) content(in *inode, fd int) error {
	size := in.Stamp.Size
	if size == 0 {
		return nil
	}
	if r.fault != nil {
		if err := r.fault(string(r.path)); err != nil {
			return r.fail("read", err)
		}
	}
	if r.frozen && r.stash.fits(size) {
		return r.keep(in, fd)
	}
	blob, bfd, err := r.folder.create()
	if err != nil {
		return r.folder.full(err)
	}
	defer unix.Close(bfd)
	if !r.clone(in, fd, bfd) {
		err = r.data(fd, bfd, size, in.Alloc < size)
	}
	if err != nil {
		r.folder.drop(blob)
		return err
	}
	in.Blob = blob
	return nil
}

// keep reads a file into the stash.
func (r *round) keep(in *inode, fd int) error {
	s := r.stash.take(in.Stamp.Size)
	buf := r.stash.bytes(s)
	for off := 0; off < len(buf); {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pread(fd, buf[off:min(len(buf), off+chunk)], int64(off))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return r.fail("read", err)
		case n == 0:
			return nil // it has become shorter
		}
		off += n
	}
	in.stash = s
	return nil
}

// clone shares the blocks of a file with its blob, where the file system can.
func (r *round) clone(in *inode, fd, bfd int) bool {
	if r.noClone[in.Stamp.Dev] {
		return false
	}
	err := unix.IoctlFileClone(bfd, fd)
	if err != nil && !errors.Is(err, unix.EINTR) {
		r.noClone[in.Stamp.Dev] = true
	}
	return err == nil
}

// data copies the data of a file, leaving holes where it has some.
func (r *round) data(fd, bfd int, size int64, sparse bool) error {
	for off := int64(0); off < size; {
		end := size
		if sparse {
			start, err := unix.Seek(fd, off, unix.SEEK_DATA)
			if err == unix.ENXIO {
				break // nothing but a hole
			}
			if err == nil {
				off = start
				if end, err = unix.Seek(fd, off, unix.SEEK_HOLE); err != nil {
					end = size
				}
				end = min(end, size)
			}
		}
		if off >= end {
			break
		}
		copied, err := r.extent(fd, bfd, off, end)
		if err != nil {
			return err
		}
		if copied < end {
			break // it has become shorter
		}
		off = end
	}
	if !sparse {
		return nil
	}
	if err := unix.Ftruncate(bfd, size); err != nil {
		return r.folder.full(err)
	}
	return nil
}

// extent copies from off to end, and returns how far it came.
func (r *round) extent(fd, bfd int, off, end int64) (int64, error) {
	for off < end {
		if err := r.ctx.Err(); err != nil {
			return off, err
		}
		n, err := r.piece(fd, bfd, off, int(min(chunk, end-off)))
		if err != nil || n == 0 {
			return off, err
		}
		off += int64(n)
	}
	return off, nil
}

// piece copies up to n bytes, in the kernel if it can.
func (r *round) piece(fd, bfd int, off int64, n int) (int, error) {
	if !r.noRange {
		from, to := off, off
		switch n, err := unix.CopyFileRange(fd, &from, bfd, &to, n, 0); err {
		case nil:
			return n, nil
		case unix.EINTR:
			return r.piece(fd, bfd, off, n)
		case unix.ENOSPC, unix.EDQUOT:
			return 0, r.folder.full(err)
		case unix.EIO: // of which of the two is told by doing it apart
		default: // another file system on an old kernel, or a seccomp filter
			r.noRange = true
		}
	}
	n, err := unix.Pread(fd, r.buffer[:min(n, len(r.buffer))], off)
	if err == unix.EINTR {
		return r.piece(fd, bfd, off, n)
	}
	if err != nil {
		return 0, r.fail("read", err)
	}
	if err := writeAll(bfd, r.buffer[:n], off); err != nil {
		return 0, r.folder.full(err)
	}
	return n, nil
}

func writeAll(fd int, buf []byte, off int64) error {
	for len(buf) > 0 {
		n, err := unix.Pwrite(fd, buf, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		buf, off = buf[n:], off+int64(n)
	}
	return nil
}
