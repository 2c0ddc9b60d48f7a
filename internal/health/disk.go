package health

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk looks after the folder that creel writes to. It is used by one goroutine,
// but for Release.
type Disk struct {
	dir      string
	registry *Registry
}

const (
	// ballastName is a file of no content that is there to be given up: on a disk
	// that has become full, its room is what the few hundred bytes are written to
	// without which no instance may be started (its number, its record).
	ballastName = "ballast"
	ballastSize = 256 << 10
	trialName   = ".trial"
	trialSize   = 4 << 10

	// Free space is low below lowBytes, and below a part of the disk where that is
	// less.
	lowBytes = 256 << 20
	lowPart  = 20
)

// NewDisk looks after a folder, on behalf of a registry.
func NewDisk(dir string, r *Registry) *Disk { return &Disk{dir: dir, registry: r} }

// Look finds out how the folder is. It tells whether all is well with it.
func (d *Disk) Look() bool {
	err := d.try()
	switch {
	case err == nil:
		d.registry.Clear(DataFolder)
	case NoDescriptors(err): // that says nothing of the folder
	default:
		d.Failed(err)
	}
	return d.space() && err == nil
}

// Failed sets the condition for an error that was met in writing to the folder.
func (d *Disk) Failed(err error) {
	d.registry.Set(DataFolder, Trouble, fmt.Sprintf("the data folder %s cannot be written: %v", d.dir, rootOf(err)), remedyFor(err))
}

func remedyFor(err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "mount it writable again (a file system that finds errors makes itself read-only: see `dmesg`)"
	case errors.Is(err, unix.EIO):
		return "the disk has errors: see `dmesg`"
	case errors.Is(err, unix.EDQUOT):
		return "raise the quota, or remove what is not needed"
	case errors.Is(err, unix.ENOSPC):
		return "remove what is not needed: `df -h` and `df -i` show what is full"
	}
	return "see that its owner, and nobody else, may write to it"
}

// rootOf leaves out what wraps an error of the kernel's.
func rootOf(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path
	}
	return err
}

// try writes to the folder, and lays in the ballast if it lacks.
func (d *Disk) try() error {
	trial := filepath.Join(d.dir, trialName)
	if err := write(trial, trialSize); err != nil {
		_ = os.Remove(trial) // what is wrong is known already
		return err
	}
	if err := os.Remove(trial); err != nil && !errors.Is(err, fs.ErrNotExist) { // gone: another creel, at an upgrade
		return err
	}
	ballast := filepath.Join(d.dir, ballastName)
	if info, err := os.Lstat(ballast); err == nil && info.Size() == ballastSize {
		return nil
	}
	if err := write(ballast, ballastSize); err != nil {
		_ = os.Remove(ballast) // half of it is of no use
		return err
	}
	return nil
}

// write makes a file of that size, whose room is really taken: zeros would be
// left out by some file systems.
func write(path string, size int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + 1)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// Release gives the ballast up, so that a little room is there. It may be called
// from any goroutine; Look lays it in again when there is room enough.
func (d *Disk) Release() { _ = os.Remove(filepath.Join(d.dir, ballastName)) } // if it is not there, it is of no help

// space warns before the folder is full, and tells whether there is enough.
func (d *Disk) space() bool {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return true // try has said what is wrong
	}
	size, free := st.Blocks*uint64(st.Bsize), st.Bavail*uint64(st.Bsize)
	if free >= min(lowBytes, size/lowPart) {
		d.registry.Clear(LowSpace)
		return true
	}
	d.registry.Set(LowSpace, Warning, fmt.Sprintf("only %.1f MiB are free for the data folder %s", float64(free)/(1<<20), d.dir), "remove what is not needed, or give it more room")
	return false
}
