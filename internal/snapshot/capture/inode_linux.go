package capture

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/tree"
)

// stamp is what the kernel says of an inode. Two equal stamps, of which one was
// taken before a copy in the circumstances that the package comment lists, mean
// the same content.
type stamp struct {
	Dev, Ino            uint64
	Size                int64
	Mtime, Ctime, Btime int64 // nanoseconds since 1970
	Mode                uint32
	UID, GID, Nlink     uint32
}

func stampOf(sx *unix.Statx_t) stamp {
	return stamp{
		Dev: unix.Mkdev(sx.Dev_major, sx.Dev_minor), Ino: sx.Ino, Size: int64(sx.Size),
		Mtime: nanos(sx.Mtime), Ctime: nanos(sx.Ctime), Btime: nanos(sx.Btime),
		Mode: uint32(sx.Mode), UID: sx.Uid, GID: sx.Gid, Nlink: sx.Nlink,
	}
}

func nanos(t unix.StatxTimestamp) int64 { return t.Sec*int64(time.Second) + int64(t.Nsec) }

// format is the type bits of the mode.
func (s *stamp) format() uint32 { return s.Mode & unix.S_IFMT }

// mode gives the bits that an Entry has.
func (s *stamp) mode() fs.FileMode {
	m := fs.FileMode(s.Mode & 0o777)
	if s.Mode&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if s.Mode&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if s.Mode&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// before says whether a file's last change is earlier than a moment of the
// coarse clock, as the file system counts: one that keeps whole seconds cuts
// later times down to the same second.
func (s *stamp) before(coarse int64) bool {
	second := int64(time.Second)
	if s.Ctime%second == 0 {
		return s.Ctime/second < coarse/second
	}
	return s.Ctime < coarse
}

// coarseNow is the clock that the kernel takes file times from.
func coarseNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts); err != nil {
		return 0 // never, for a clock that exists; then nothing is proved
	}
	return ts.Nano()
}

// inode is a file's content and attributes as they were copied.
type inode struct {
	Stamp stamp
	// Proved: as long as the live file has this stamp, it has this content.
	Proved bool
	Blob   uint64 // number of the blob of a regular file; 0: none (yet)
	Alloc  int64  // bytes that the file takes on its disk
	Target string // of a symbolic link
	Xattrs map[string][]byte

	round int  // the last round that found it
	stash span // where its content is until it is in a blob
}

// id tells inodes apart.
type id struct{ dev, ino uint64 }

func (s *stamp) id() id { return id{s.Dev, s.Ino} }

// node is a name in a state folder, as the last round saw it.
type node struct {
	name     string
	children []*node // of a directory, by name
	in       *inode  // nil: not in the copy; then skip or rule says why
	skip     string  // why it is not in the copy, or what of it is not
	lost     bool    // skip says that its disk could not give it
	rule     int     // the pattern that excludes it; unruled, notIgnored
	ruledDir bool    // rule was found for a directory
	round    int     // the last round that found it
}

func (n *node) kind() tree.Kind {
	switch n.in.Stamp.format() {
	case unix.S_IFDIR:
		return tree.Dir
	case unix.S_IFLNK:
		return tree.Symlink
	case unix.S_IFIFO:
		return tree.FIFO
	default:
		return tree.File
	}
}
