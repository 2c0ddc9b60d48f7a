package tree

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// opener opens folders of a tree under way. It keeps the last one open, since
// entries of a folder come together. It belongs to one goroutine.
//
// It opens part by part with O_NOFOLLOW, not the whole path: no link is followed
// on any kernel, and paths may be longer than PATH_MAX. (openat2 with
// RESOLVE_NO_SYMLINKS would do the first alone, from Linux 5.6, and is forbidden
// in older containers.)
type opener struct {
	root func(name string) *os.File
	path string // of the folder that is open
	fd   int    // -1: none, or a root's
}

func (w *writer) opener() *opener {
	return &opener{fd: -1, root: func(name string) *os.File {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.roots[name]
	}}
}

// in calls f with the folder at path.
func (o *opener) in(path string, f func(dir int) error) error {
	root, rest := SplitRoot(path)
	top := o.root(root)
	if top == nil {
		return &PathError{path, "no such root"}
	}
	if rest == "" {
		return f(int(top.Fd()))
	}
	if o.fd < 0 || o.path != path {
		o.close()
		fd, err := openBelow(int(top.Fd()), rest)
		if err != nil {
			return err
		}
		o.fd, o.path = fd, path
	}
	return f(o.fd)
}

// openBelow opens the folder at rest below top.
func openBelow(top int, rest string) (int, error) {
	at := top
	for part := range strings.SplitSeq(rest, "/") {
		fd, err := retry(func() (int, error) {
			return unix.Openat(at, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		})
		if at != top {
			_ = unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}

func (o *opener) close() {
	if o.fd >= 0 {
		_ = unix.Close(o.fd)
	}
	o.fd = -1
}

// retry calls again what a signal has cut short.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
