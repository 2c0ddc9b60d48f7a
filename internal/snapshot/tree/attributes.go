package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Look describes what is at path as an entry; a link is not followed. Its Path
// is the last part of path.
func Look(path string) (Entry, error) {
	e, ok, err := (&Folders{}).entry(filepath.Base(path), path, map[inode]string{})
	if err == nil && !ok {
		err = &os.PathError{Op: "look", Path: path, Err: errors.New("it is a socket or a device")}
	}
	return e, err
}

// SetAttributes gives an existing folder the owner, permissions, extended
// attributes and time of an entry, and takes away extended attributes that the
// entry has not. What cannot be had is reported.
func SetAttributes(dir string, e Entry) (losses []Loss, err error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	has, err := readXattrs(dir)
	if err != nil {
		return nil, err
	}
	for name := range has {
		if _, wanted := e.Xattrs[name]; !wanted {
			if err := unix.Fremovexattr(int(f.Fd()), name); err != nil {
				losses = append(losses, Loss{Path: Quoted(e.Path), What: "xattr " + name, Why: err.Error()})
			}
		}
	}
	w := &writer{}
	if err := w.attributes(e, node{dir: int(f.Fd()), name: ".", fd: int(f.Fd()), isOpen: true}); err != nil {
		return nil, fmt.Errorf("cannot set the attributes of %s: %w", dir, err)
	}
	return append(losses, w.done.Losses...), nil
}
