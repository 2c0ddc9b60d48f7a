package capture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/tree"
)

// statMask is what is asked of every file.
const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// round looks at every file once, and brings the copy up to date.
type round struct {
	*session
	ctx    context.Context
	no     int
	look   bool  // only count what would be copied
	frozen bool  // everything is held still: into memory, and nothing may change meanwhile
	begun  int64 // the coarse clock at its beginning

	delta   tree.Totals // what was copied, or would have been
	largest string      // path of the largest file of it
	largeN  int64
	took    time.Duration
	lost    int // files that could not be read
}

// errGone says that a path is not what it was a moment ago.
var errGone = errors.New("vanished")

// run makes a round while the gateway runs.
func (r *round) run() error {
	begun := coarseNow()
	if err := r.maps.find(r.ctx); err != nil {
		return err
	}
	return r.runFrom(begun)
}

// runFrom makes the round over all roots. begun is the coarse clock before
// mappings were looked for last: of what has changed since, nothing is proved.
func (r *round) runFrom(begun int64) error {
	start := time.Now()
	r.begun = begun
	for i := range r.roots {
		if err := r.root(&r.roots[i]); err != nil {
			return err
		}
	}
	r.took = time.Since(start)
	return nil
}

// root walks one root. One that does not exist is left out of the cut.
func (r *round) root(w *walked) error {
	w.top = nil
	fd, err := openDir(unix.AT_FDCWD, w.path, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot capture state folder %s: %w", w.path, err)
	}
	defer unix.Close(fd)
	var sx unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &sx); err != nil {
		return fmt.Errorf("cannot capture state folder %s: %w", w.path, err)
	}
	w.proves = provesChange(fd)
	n := w.kept
	if n == nil {
		n = &node{name: w.Name, rule: notIgnored}
		w.kept = n
	}
	r.at, r.path = w, append(r.path[:0], w.Name...)
	err = r.dir(n, fd, stampOf(&sx))
	switch {
	case err == nil:
		w.top = n
	case !errors.Is(err, errGone):
		return err
	case r.frozen:
		return &NotStillError{Path: w.Name}
	}
	return nil
}

// dir takes in a directory that is open, and what is in it.
func (r *round) dir(n *node, fd int, st stamp) error {
	n.round = r.no
	n.skip = ""
	in, known := r.inode(st)
	if !known {
		in.Xattrs = xattrs(fd)
		in.Proved = st.before(r.begun)
	}
	n.in = in
	if err := r.names(n, fd); err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) && (errno == unix.EACCES || errno == unix.EPERM) {
			n.skip = "unreadable: " + errno.Error()
			n.children = n.children[:0]
			return nil
		}
		if errno == unix.ENOENT || errno == unix.ESTALE {
			return errGone // removed since it was opened
		}
		err = r.fail("read the folder", err)
		if isBroken(err) && n != r.at.kept {
			n.children = n.children[:0]
			return r.lose(n, err)
		}
		return err
	}
	length := len(r.path)
	defer func() { r.path = r.path[:length] }()
	for _, c := range n.children {
		if c.round != r.no {
			continue
		}
		r.path = append(append(r.path[:length], '/'), c.name...)
		if err := r.entry(c, fd); err != nil {
			if !errors.Is(err, errGone) {
				return err
			}
			if r.frozen {
				return &NotStillError{Path: string(r.path)}
			}
			c.round = 0
		}
	}
	n.children = slices.DeleteFunc(n.children, func(c *node) bool { return c.round != r.no })
	return nil
}

// names reads what is in a directory. Nodes of names that are still there are
// kept, the others are left behind with an old round.
func (r *round) names(n *node, fd int) error {
	old := n.children
	for {
		size, err := unix.Getdents(fd, r.dirents)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if size <= 0 {
			break
		}
		for name := range direntNames(r.dirents[:size]) {
			if i, found := slices.BinarySearchFunc(old, name, compareName); found {
				old[i].round = r.no
				continue
			}
			n.children = append(n.children, &node{name: string(name), rule: unruled, round: r.no})
		}
	}
	if len(n.children) > len(old) {
		slices.SortFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
		// A directory that is changed while it is read may give a name twice.
		n.children = slices.CompactFunc(n.children, func(a, b *node) bool { return a.name == b.name })
	}
	return nil
}

// entry takes in what a name in a directory stands for.
func (r *round) entry(n *node, dirfd int) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.frozen && r.step != nil {
		r.step(string(r.path), false)
	}
	var sx unix.Statx_t
	if err := unix.Statx(dirfd, n.name, unix.AT_SYMLINK_NOFOLLOW, statMask, &sx); err != nil {
		return r.unreadable(n, "look at", err)
	}
	n.lost = false
	st := stampOf(&sx)
	isDir := st.format() == unix.S_IFDIR
	if n.rule == unruled || n.ruledDir != isDir {
		n.rule, n.ruledDir = r.at.ignore.match(r.below(), isDir), isDir
	}
	if n.rule != notIgnored {
		n.in, n.children = nil, nil
		return nil
	}
	switch st.format() {
	case unix.S_IFREG:
		return r.file(n, dirfd, st, int64(sx.Blocks)*512)
	case unix.S_IFDIR:
		return r.directory(n, dirfd, st, sx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0)
	case unix.S_IFLNK, unix.S_IFIFO:
		return r.special(n, dirfd, st)
	case unix.S_IFSOCK:
		n.in, n.skip, n.children = nil, "socket", nil
	default:
		n.in, n.skip, n.children = nil, "device", nil
	}
	return nil
}

// directory takes in a directory by its name.
func (r *round) directory(n *node, dirfd int, st stamp, mount bool) error {
	if r.exclude[st.id()] {
		n.in, n.skip, n.children = nil, "creel's own data", nil
		return nil
	}
	fd, err := openDir(dirfd, n.name, unix.O_NOFOLLOW)
	if err != nil {
		if !denied(err) {
			return r.unreadable(n, "open", err)
		}
		// Its own attributes are known.
		n.in, _ = r.inode(st)
		n.skip, n.children = "unreadable: "+err.Error(), nil
		return nil
	}
	defer unix.Close(fd)
	var sx unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &sx); err != nil {
		return r.fail("look at", err)
	}
	if now := stampOf(&sx); now != st {
		if r.frozen || now.Ino != st.Ino || now.Dev != st.Dev {
			return errGone // another one by now
		}
		st = now
	}
	if mount {
		in, known := r.inode(st)
		if !known {
			in.Xattrs = xattrs(fd)
		}
		n.in, n.children = in, nil
		n.skip = "mount point: what is mounted here has to be a state folder of its own"
		return nil
	}
	return r.dir(n, fd, st)
}

// special takes in a symbolic link or a FIFO.
func (r *round) special(n *node, dirfd int, st stamp) error {
	n.skip, n.children = "", nil
	in, known := r.inode(st)
	n.in = in
	if known {
		return nil
	}
	if err := r.readSpecial(in, n.name, dirfd); err != nil {
		delete(r.inodes, st.id())
		return r.unreadable(n, "read", err)
	}
	in.Proved = st.before(r.begun)
	return nil
}

// readSpecial reads what there is to a symbolic link or a FIFO. It is opened
// first, so that what is read belongs to the inode that was looked at.
func (r *round) readSpecial(in *inode, name string, dirfd int) error {
	fd, err := unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var sx unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &sx); err != nil {
		return err
	}
	if stampOf(&sx) != in.Stamp {
		return unix.ENOENT // another one by now
	}
	if in.Stamp.format() == unix.S_IFLNK {
		if in.Target, err = readlink(fd, in.Stamp.Size); err != nil {
			return err
		}
	}
	in.Xattrs = xattrs(fd)
	return nil
}

// inode gives the record of an inode, and whether what it says still holds. If
// not, it is a new one in the place of the old.
func (r *round) inode(st stamp) (in *inode, known bool) {
	in = r.inodes[st.id()]
	if in != nil && in.Stamp == st && (in.Proved || in.round == r.no) {
		in.round = r.no
		return in, true
	}
	if in != nil {
		r.discard(in)
	}
	in = &inode{Stamp: st, round: r.no}
	r.inodes[st.id()] = in
	return in, false
}

// below is the path of the present entry in its root, for patterns.
func (r *round) below() string { return string(r.path[len(r.at.Name)+1:]) }

// unreadable says what becomes of an entry that cannot be had: it is skipped,
// or gone, or the end of the capture.
func (r *round) unreadable(n *node, what string, err error) error {
	n.in, n.children = nil, nil
	switch {
	case denied(err), errors.Is(err, unix.EAGAIN): // EAGAIN: another process has a lease on it
		n.skip = "unreadable: " + err.Error()
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ESTALE):
		return errGone
	}
	if err = r.fail(what, err); isBroken(err) {
		return r.lose(n, err)
	}
	return err
}

// badFile is a file that could not be read.
type badFile struct {
	stamp stamp
	err   error
}

// lose leaves out what a disk does not give. The other files are worth a copy more than
// ever; the cut says that it is not whole. The state's own folder is not left out, nor
// too much: then there is no cut.
func (r *round) lose(n *node, err error) error {
	n.lost, n.skip = true, "cannot be read: "+cause(err)
	if r.lost++; r.lost > mostUnread {
		return fmt.Errorf("more than %d files cannot be read, so that nothing is captured; look after the disk: %w", mostUnread, err)
	}
	return nil
}

func cause(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// isBroken tells errors that say that a disk, or what a file system has on it, is.
func isBroken(err error) bool {
	_, reading := errors.AsType[*readError](err)
	return reading && (errors.Is(err, unix.EIO) || errors.Is(err, unix.EUCLEAN) || errors.Is(err, unix.EBADMSG))
}

func denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// fail is an error about the present path.
func (r *round) fail(what string, err error) error {
	rel := strings.TrimPrefix(string(r.path), r.at.Name)
	return &readError{fmt.Errorf("cannot %s %s: %w", what, printable(filepath.Join(r.at.path, rel)), err)}
}

// readError is an error of the state, not of the folder for copies.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }
