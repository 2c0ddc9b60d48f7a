package capture

import (
	"crypto/rand"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// indexVersion changes when an older index must not be read.
const indexVersion = 1

// folder is the folder for copies:
//
//	lock     held from the beginning of a capture to the release of its cut
//	index    what the blobs are copies of (gob)
//	blobs/   files with hexadecimal numbers, never written to again
//
// The index is replaced by rename and not synced. It holds the boot id, and one
// of another boot is dropped with all blobs.
type folder struct {
	path  string
	lock  *flock.Flock
	blobs int // descriptor of blobs/
	boot  string
	// epoch is chosen at random with each new index. With the number of a blob it
	// makes a key that no other folder has.
	epoch string
	seq   uint64 // number of the newest blob
	// dropped are blobs that nothing refers to any more.
	dropped []uint64
}

// index is the folder's index as it lies on disk.
type index struct {
	Version     int
	Boot, Epoch string
	Seq         uint64
	Inodes      []*inode
}

// openFolder takes the folder, and gives what it holds a proved copy of. It
// returns *BusyError if another capture has it.
func openFolder(path string) (*folder, map[id]*inode, error) {
	f := &folder{path: path, blobs: -1}
	inodes, err := f.open()
	if err != nil {
		f.close()
		if _, busy := errors.AsType[*BusyError](err); !busy {
			err = fmt.Errorf("cannot use the folder for copies %s: %w", path, err)
		}
		return nil, nil, err
	}
	return f, inodes, nil
}

func (f *folder) open() (map[id]*inode, error) {
	if err := os.MkdirAll(filepath.Join(f.path, "blobs"), 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(f.path, "lock"), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, &BusyError{Dir: f.path}
	}
	f.lock = lock
	if f.blobs, err = openDir(unix.AT_FDCWD, filepath.Join(f.path, "blobs"), 0); err != nil {
		return nil, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	f.boot = strings.TrimSpace(string(boot))
	x := f.readIndex()
	f.epoch, f.seq = x.Epoch, x.Seq
	return f.tidy(x.Inodes)
}

// readIndex gives the index, or a new one if there is none that can be used.
// Why it cannot is of no interest: all it could save is a copy.
func (f *folder) readIndex() index {
	var x index
	file, err := os.Open(filepath.Join(f.path, "index"))
	if err == nil {
		err = gob.NewDecoder(file).Decode(&x)
		file.Close()
	}
	if err != nil || x.Version != indexVersion || x.Boot != f.boot {
		fresh := make([]byte, 8)
		_, _ = rand.Read(fresh) // never fails
		x = index{Version: indexVersion, Boot: f.boot, Epoch: hex.EncodeToString(fresh)}
	}
	return x
}

// tidy removes blobs that no record has, and drops records whose blob is missing.
func (f *folder) tidy(records []*inode) (map[id]*inode, error) {
	entries, err := os.ReadDir(filepath.Join(f.path, "blobs"))
	if err != nil {
		return nil, err
	}
	there := make(map[uint64]bool, len(entries))
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 16, 64)
		if err == nil {
			there[n] = true
			f.seq = max(f.seq, n)
		}
	}
	inodes := make(map[id]*inode, len(records))
	for _, in := range records {
		if in.Blob != 0 {
			if !there[in.Blob] {
				continue
			}
			delete(there, in.Blob)
		}
		inodes[in.Stamp.id()] = in
	}
	for n := range there {
		if err := f.remove(n); err != nil {
			return nil, err
		}
	}
	return inodes, nil
}

// save writes the index of all that is proved, for the next capture.
func (f *folder) save(inodes map[id]*inode) error {
	x := index{Version: indexVersion, Boot: f.boot, Epoch: f.epoch, Seq: f.seq}
	for _, in := range inodes {
		if in.Proved && in.stash.size == 0 {
			x.Inodes = append(x.Inodes, in)
		}
	}
	err := f.writeIndex(&x)
	if err != nil {
		return f.full(fmt.Errorf("cannot write the index of the copies in %s: %w", f.path, err))
	}
	return nil
}

func (f *folder) writeIndex(x *index) error {
	temp := filepath.Join(f.path, "index.new")
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = gob.NewEncoder(file).Encode(x)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, filepath.Join(f.path, "index"))
}

// create makes a blob.
func (f *folder) create() (n uint64, fd int, err error) {
	f.seq++
	fd, err = unix.Openat(f.blobs, blobName(f.seq), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	return f.seq, fd, err
}

// drop marks a blob as of no use. It is removed later, when nobody is held still.
func (f *folder) drop(n uint64) {
	if n != 0 {
		f.dropped = append(f.dropped, n)
	}
}

// sweep removes what was dropped.
func (f *folder) sweep() error {
	var errs []error
	for _, n := range f.dropped {
		errs = append(errs, f.remove(n))
	}
	f.dropped = f.dropped[:0]
	return errors.Join(errs...)
}

func (f *folder) remove(n uint64) error {
	err := unix.Unlinkat(f.blobs, blobName(n), 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot remove the copy %s: %w", filepath.Join(f.path, "blobs", blobName(n)), err)
	}
	return nil
}

// full turns an error of a write into what callers branch on.
func (f *folder) full(err error) error {
	if _, typed := errors.AsType[*NoSpaceError](err); typed || err == nil {
		return err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &NoSpaceError{Dir: f.path, Err: err}
	}
	return fmt.Errorf("cannot write a copy to %s: %w", f.path, err)
}

// free is how many bytes creel may still write here.
func (f *folder) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(f.blobs, &st); err != nil {
		return 0, fmt.Errorf("cannot tell how much space is free in %s: %w", f.path, err)
	}
	return int64(st.Bavail) * st.Frsize, nil
}

// close lets go of the folder.
func (f *folder) close() {
	if f.blobs >= 0 {
		_ = unix.Close(f.blobs)
		f.blobs = -1
	}
	if f.lock != nil {
		_ = f.lock.Close() // the kernel lets go in any case
		f.lock = nil
	}
}

func blobName(n uint64) string { return fmt.Sprintf("%016x", n) }
