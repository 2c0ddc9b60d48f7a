// Package tree is a state as files: what a capture produces, what a store keeps,
// and what a restore writes.
//
// A Tree is read only, and complete: what the file system of the original could
// say and a plain copy cannot (owners, extended attributes, hard links, names
// that are no UTF-8) is said by its entries. How a store keeps that is its own
// affair; contract suites compare what was put in with what comes out (Compare).
package tree

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"
)

// Kind is the sort of an entry.
type Kind string

// The kinds. Sockets and devices are never part of a tree: a socket is worth
// nothing without the process behind it, and a device is the machine's, not the
// app's. A capture reports them (Skipped).
const (
	Dir     Kind = "dir"
	File    Kind = "file"
	Symlink Kind = "symlink"
	FIFO    Kind = "fifo"
)

// Entry is one file of a tree.
type Entry struct {
	// Path is relative, with "/" between its parts and without "." or "..":
	// the name of a root, then the path below it, as bytes that need not be
	// UTF-8. A root itself is a Dir whose path is its name.
	Path string
	Kind Kind
	// Mode holds the permission bits, setuid, setgid and sticky, as in
	// fs.FileMode; never type bits.
	Mode     fs.FileMode
	UID, GID uint32
	Size     int64     // bytes, of a File
	ModTime  time.Time // in nanoseconds, UTC
	Target   string    // of a Symlink, as it stands, dangling or not
	// Xattrs are the extended attributes by name ("user.x", POSIX ACLs as
	// "system.posix_acl_access"); nil: none.
	Xattrs map[string][]byte
	// LinkTo is the Path of the File that this File is a hard link to. That one
	// comes earlier in the walk and has no LinkTo. Size is the same; Open gives
	// the same content.
	LinkTo string
	// Key identifies the content of a File: two entries of one root with the same
	// key that is not empty have the same content, whichever snapshots they are
	// in. It is empty where that cannot be promised. A store may take the
	// content of an equal key from an earlier snapshot instead of reading it.
	Key string
}

// ModeBits are the bits of an fs.FileMode that Entry.Mode may have.
const ModeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Tree is a set of entries.
//
// Its methods may be called from any goroutine, and end early, with the cause,
// when ctx ends.
type Tree interface {
	// Walk gives all entries in the order of ComparePaths: a directory, what is
	// in it in the order of the names' bytes, then the next name beside it. It
	// ends with the first error.
	Walk(ctx context.Context) iter.Seq2[Entry, error]
	// Open reads the content of a File. Errors wrap fs.ErrNotExist where there
	// is none at that path.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
}

// Totals counts a tree.
type Totals struct {
	Files int64 `json:"files"` // Files and Symlinks, each hard link by itself
	Dirs  int64 `json:"dirs"`
	Bytes int64 `json:"bytes"` // of all Files, a hard link once
}

// Add counts one more entry.
func (t *Totals) Add(e Entry) {
	if e.Kind == Dir {
		t.Dirs++
		return
	}
	t.Files++
	if e.Kind == File && e.LinkTo == "" {
		t.Bytes += e.Size
	}
}

// Skipped is something of the original that is not in a tree, and why.
type Skipped struct {
	Path   string `json:"path"`   // as in Entry; quoted with strconv.Quote if it is no UTF-8
	Reason string `json:"reason"` // "socket", "device", "unreadable: …", "vanished"
}

// Quoted is a path as people and JSON can have it.
func Quoted(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	return strconv.Quote(path)
}
