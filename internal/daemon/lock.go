package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/health"
)

// InUseError says that another creel has the data folder.
type InUseError struct {
	DataDir string
	PID     int // 0: not known
}

func (e *InUseError) Error() string {
	who := "another creel"
	if e.PID != 0 {
		who = fmt.Sprintf("another creel (pid %d)", e.PID)
	}
	return fmt.Sprintf("%s uses the data folder %s already; see `creel status --data-dir %s`, or choose another folder with --data-dir", who, e.DataDir, e.DataDir)
}

// DataDirError says that a data folder cannot be used.
type DataDirError struct {
	DataDir string
	Err     error
}

func (e *DataDirError) Error() string {
	return fmt.Sprintf("cannot use the data folder %s: %v; %s", e.DataDir, e.Err, DataDirRemedy(e.DataDir))
}

// DataDirRemedy says what to do about a data folder that cannot be used. In one that was
// used before there is all that the gateway has, and another one has nothing of it.
func DataDirRemedy(dir string) string {
	_, err := os.Lstat(filepath.Join(dir, lockName))
	if err == nil || errors.Is(err, fs.ErrPermission) { // it was, or cannot be looked into, as another user's
		return "make it writable again for the user that runs creel: the gateway's state is in it, and another folder (--data-dir) begins with an empty state"
	}
	return "choose another one with --data-dir, or make this one writable"
}

func (e *DataDirError) Unwrap() error { return e.Err }

// lockName is the file that is held, by flock(2), for as long as a creel uses the folder: at most
// one supervisor per data folder (I1). It is never removed, since a lock on a
// removed file locks nobody out.
const lockName = "creel.lock"

// lock is the lock on a data folder. It belongs to the open file, which a creel
// hands to its successor: there is no moment at which nobody has it.
//
// On a read-only file system it is held by a descriptor that cannot be written to, which
// locks out others just as well (flock(2)). What is in the file is an earlier creel's then.
type lock struct{ file *os.File }

// lockDataDir makes a data folder and takes its lock. The errors are *InUseError
// and *DataDirError.
func lockDataDir(dir string) (*lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &DataDirError{dir, err}
	}
	f, readOnly, err := openLock(dir)
	if err != nil {
		return nil, &DataDirError{dir, err}
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		inUse := &InUseError{DataDir: dir}
		if readOnly == nil { // else the holder may have been unable to sign
			inUse.PID = lockHolder(f)
		}
		return nil, errors.Join(inUse, f.Close())
	}
	if err != nil && readOnly != nil {
		err = errors.Join(readOnly, err) // a file system that locks for writers only (NFS: see flock(2))
	}
	l := &lock{f}
	if err == nil {
		crashpoint.Passed(crashpoint.LockTaken)
		// The lock holds without a name in it, which a full disk may not take.
		if err = l.sign(); health.Storage(err) {
			err = nil
		}
	}
	if err != nil {
		return nil, errors.Join(&DataDirError{dir, err}, f.Close())
	}
	crashpoint.Passed(crashpoint.LockSigned)
	return l, nil
}

// openLock opens the lock's file. In a folder that was used before and is on a read-only
// file system now, readOnly says so, and the file is open for reading. Only that is
// forgiven: who may not write to a folder (EACCES) is not the one whose gateway is in it.
func openLock(dir string) (f *os.File, readOnly, err error) {
	path := filepath.Join(dir, lockName)
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if !errors.Is(err, unix.EROFS) {
		return f, nil, err
	}
	readOnly = err
	if f, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
		err = readOnly // it was never used
	}
	return f, readOnly, err
}

// sign writes into the file who has the lock. On a read-only file system it fails with
// EROFS; later, the lock being held by a descriptor for reading, it writes by another one.
func (l *lock) sign() error {
	flags, err := unix.FcntlInt(l.file.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		return signIn(l.file)
	}
	// The same file, whatever is at its path now. Closing this descriptor leaves the lock.
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", l.file.Fd()), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(signIn(f), f.Close())
}

func signIn(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// close gives the lock up, unless a successor has it, too. It may be called
// again.
func (l *lock) close() error {
	if err := l.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// lockHolder is the pid that the holder of the lock has written into it.
func lockHolder(f *os.File) int {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// Occupy takes the data folder, which is made if need be, as a daemon does: none
// can run on it until release is called. It is for commands that change what a
// daemon would be using; so a folder that is read-only is refused. The errors are
// *InUseError and *DataDirError.
func Occupy(dir string) (release func() error, err error) {
	l, err := lockDataDir(dir)
	if err != nil {
		return nil, err
	}
	if err := readOnly(dir); err != nil {
		return nil, errors.Join(&DataDirError{dir, err}, l.close())
	}
	return l.close, nil
}
