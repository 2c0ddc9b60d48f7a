package event

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// active is the name of the file that is written to.
const active = "events.jsonl"

// file is what the store needs of an *os.File.
type file interface {
	Write([]byte) (int, error)
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

func openForAppend(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

// store is the files of a journal. It is used by one goroutine.
type store struct {
	dir      string
	maxBytes int64
	keep     int
	memory   int
	openFile func(path string) (file, error)

	lock      *os.File // the folder, locked; nil while it is not open
	f         file     // the active file; nil while it is not open
	size      int64    // of f, in whole batches
	first     uint64   // number of the first event in f; 0: it is empty
	last      uint64   // number of the last event in any file
	attempted uint64   // number of the last event that was given to a write
	dirty     bool     // written to since the last sync

	recent []Event // the newest events found by open, at most memory
	notes  []Event // what open and rotate have to tell; the writer takes them
}

func newStore(o Options) *store {
	return &store{dir: o.Dir, maxBytes: o.MaxBytes, keep: o.Keep, memory: o.Memory, openFile: o.openFile}
}

func (s *store) path() string { return filepath.Join(s.dir, active) }

// open takes the lock, finds out what the files hold, repairs the end of the
// active one and opens it. It may be called again after it has failed, or when
// usable says no. Errors: ErrLocked, *readError, and what the disk says.
func (s *store) open(lockWait time.Duration) error {
	if err := s.close(); err != nil {
		s.note("not_written", fmt.Sprintf("the journal's file could not be closed: %v", err))
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.takeLock(lockWait); err != nil {
		return err
	}
	found, err := survey(s.dir, s.memory)
	if err != nil {
		return &readError{err}
	}
	s.last, s.recent = found.last, found.recent
	if err := s.repair(found); err != nil {
		return err
	}
	f, err := s.openFile(s.path())
	if err != nil {
		return err
	}
	s.f, s.first, s.size = f, found.first, found.size
	if found.unended {
		if _, err := s.f.Write([]byte{'\n'}); err != nil {
			return errors.Join(err, s.closeFile())
		}
		s.size++
	}
	return syncDir(s.dir)
}

// repair sets aside an active file that cannot be gone on with, or cuts off
// its torn end. It notes what it did.
func (s *store) repair(found *findings) error {
	switch {
	case found.reason != nil:
		kind := "damaged"
		var newer *newerError
		if errors.As(found.reason, &newer) {
			kind = "newer"
		}
		aside, err := s.setAside(kind)
		if err != nil {
			return err
		}
		s.note("set_aside", fmt.Sprintf("a journal file was set aside as %s: %v; the numbers go on at %d",
			aside, found.reason, s.last+1))
		found.first, found.size = 0, 0
	case found.torn > 0:
		if err := os.Truncate(s.path(), found.size); err != nil {
			return err
		}
		s.note("torn", fmt.Sprintf("the last %d bytes of the journal were cut off: a write had been cut short", found.torn))
	}
	return nil
}

// setAside renames the active file to the first free events.jsonl.<kind>-<n>.
func (s *store) setAside(kind string) (string, error) {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.%s-%d", active, kind, n)
		_, err := os.Lstat(filepath.Join(s.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return name, os.Rename(s.path(), filepath.Join(s.dir, name))
		case err != nil:
			return "", err
		}
	}
}

// usable tells whether the active file is open and still the one of its name:
// a person may have removed it, or the whole folder.
func (s *store) usable() bool {
	if s.f == nil {
		return false
	}
	ours, err := s.f.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(s.path())
	return err == nil && os.SameFile(ours, theirs)
}

// append writes events as one batch. If it fails, none of them is counted as
// written, and open must find out which ones are.
func (s *store) append(events []Event) error {
	if len(events) == 0 {
		return nil
	}
	var lines []byte
	for _, e := range events {
		lines = appendLine(lines, e)
	}
	if s.size > 0 && s.size+int64(len(lines)) > s.maxBytes {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	last := events[len(events)-1].Seq
	s.attempted = max(s.attempted, last)
	s.dirty = true
	if _, err := s.f.Write(lines); err != nil {
		// Part of it may be there. Take that back, so that readers do not see
		// a torn line for as long as the trouble lasts; if this fails, open
		// does it.
		return errors.Join(err, s.f.Truncate(s.size), s.closeFile())
	}
	s.size += int64(len(lines))
	s.last = last
	if s.first == 0 {
		s.first = events[0].Seq
	}
	return nil
}

// rotate renames the active file after its first event, begins a new one, and
// removes the oldest.
func (s *store) rotate() error {
	if err := errors.Join(s.sync(), s.closeFile()); err != nil {
		return err
	}
	name := filepath.Join(s.dir, rotatedName(s.first))
	switch _, err := os.Lstat(name); {
	case err == nil: // of the same number: never overwritten
		aside, err := s.setAside("duplicate")
		if err != nil {
			return err
		}
		s.note("set_aside", fmt.Sprintf("a journal file was set aside as %s: there already is a %s", aside, filepath.Base(name)))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if err := os.Rename(s.path(), name); err != nil {
			return err
		}
	}
	f, err := s.openFile(s.path())
	if err != nil {
		return err
	}
	s.f, s.size, s.first = f, 0, 0
	s.prune()
	return syncDir(s.dir)
}

// prune removes the oldest rotated files. That it could not is noted and no
// reason to stop writing.
func (s *store) prune() {
	names, err := rotatedFiles(s.dir)
	for i := 0; err == nil && i < len(names)-s.keep; i++ {
		err = os.Remove(filepath.Join(s.dir, names[i].name))
	}
	if err != nil {
		s.note("not_pruned", fmt.Sprintf("old files of the journal could not be removed: %v", err))
	}
}

func (s *store) sync() error {
	if s.f == nil || !s.dirty {
		return nil
	}
	if err := s.f.Sync(); err != nil {
		return err
	}
	s.dirty = false
	return nil
}

func (s *store) closeFile() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}

// close closes the file and lets go of the lock.
func (s *store) close() error {
	err := s.closeFile()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close()) // which releases the lock
		s.lock = nil
	}
	return err
}

// note keeps what a person should know. Attempts repeat, notes do not.
func (s *store) note(cause, message string) {
	for _, n := range s.notes {
		if n.Message == message {
			return
		}
	}
	s.notes = append(s.notes, Event{Kind: JournalTrouble, Cause: cause, Message: message})
}

// takeLock locks the folder itself (flock(2)): that needs no file to be
// created, so it works on a full disk.
func (s *store) takeLock(wait time.Duration) error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(wait)
	for {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			if time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return errors.Join(ErrLocked, dir.Close())
		default:
			// The file system knows no locks (some network ones). The journal
			// is worth more than the protection against a second creel, which
			// the data folder has in other ways.
			s.note("not_locked", fmt.Sprintf("the journal's folder could not be locked: %v", err))
		}
		s.lock = dir
		return nil
	}
}

// syncDir makes names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) { // fsync(2): the file system has none for folders
		err = nil
	}
	return errors.Join(err, d.Close())
}

// readError says that files are there and could not be read.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }
