// Package durable keeps small records in files of JSON, for what must be known after
// a death: of creel, or of the machine.
//
// # What it guarantees
//
//   - A file holds one whole version, at any instant and after any death: it is
//     written beside its place, synced, and renamed.
//   - With Synced, the version is there after a power cut once the call has returned.
//     With Renamed, the one before may be there instead: a rename is not durable by
//     itself. It takes half the time, and nothing less would do for the content: a
//     name that is durable before what it names is an empty file.
//   - What cannot be read is an error, never an empty record, and is not written
//     over. So is what a newer creel has written.
//
// # Which to choose
//
// Synced where a record must agree with something else that outlives a power cut
// (the record of where a state comes from, with the state's folders), or with what a
// person was told. Renamed where all that the record is about dies with the machine.
//
// Rejected: one durability for all (the number of a launch is written while requests
// wait for it); a database (of records that are read by people when all is lost).
package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Durability is what a version outlives.
type Durability int

const (
	// Renamed outlives processes.
	Renamed Durability = iota
	// Synced outlives a power cut, too.
	Synced
)

// Write makes v, as JSON, the content of a file of mode 0600. If it fails for a
// *SyncError, v is the content already; else it is what it was.
func Write(path string, v any, d Durability) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, append(b, '\n'), 0o600, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return settle(dir, d)
}

// Remove removes a file, if there is one, with the durability of a Write.
func Remove(path string, d Durability) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return settle(filepath.Dir(path), d)
}

func settle(dir string, d Durability) error {
	if d != Synced {
		return nil
	}
	if err := SyncDir(dir); err != nil {
		return &SyncError{err}
	}
	return nil
}

// SyncError says that a file was written, but may be the one of before after a power
// cut.
type SyncError struct{ Err error }

func (e *SyncError) Error() string {
	return "it was written, but cannot be made durable: " + e.Err.Error()
}
func (e *SyncError) Unwrap() error { return e.Err }

// SyncDir makes the names in a folder outlive a power cut.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, unix.EINVAL) { // some network file systems cannot, and say so
		err = nil
	}
	return errors.Join(err, f.Close())
}

// ClearTemporary removes what writers of a file have left beside it that died before
// they had renamed it. Nobody may be writing it. What cannot be removed takes a
// little room, and is no reason to say anything.
func ClearTemporary(path string) {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+name) { // as renameio names them
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// NewerError says that a newer creel has written a record.
type NewerError struct{ Version int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("it was written by a newer creel (version %d)", e.Version)
}

// errNoVersion says that a file holds something else.
var errNoVersion = errors.New("it names no version")

// CheckVersion looks whether b is JSON that names a version from 1 to known. A newer
// record may differ in everything else, so this comes before it is understood.
func CheckVersion(b []byte, known int) error {
	var v struct {
		Version int `json:"version"`
	}
	switch err := json.Unmarshal(b, &v); {
	case err != nil:
		return err
	case v.Version > known:
		return &NewerError{v.Version}
	case v.Version < 1:
		return errNoVersion
	}
	return nil
}

// Record is a file that holds a T, with its present version in memory. T's JSON has
// the field "version", which whoever changes it sets. Its methods may be called from
// any goroutine.
type Record[T any] struct {
	mu      sync.Mutex
	path    string // empty: it is kept in memory alone
	known   int    // the highest version that is understood
	now     T      // as on disk
	unsured bool   // what is on disk may not outlive a power cut
}

// Open reads a record. One that is not there is empty. With an error, which names no
// path, it is empty, too, and nothing may be changed until Read was without one. path
// empty: it is kept in memory alone.
func Open[T any](path string, known int) (*Record[T], error) {
	r := &Record[T]{path: path, known: known}
	if path == "" {
		return r, nil
	}
	ClearTemporary(path)
	return r, r.Read()
}

// Read reads the file again.
func (r *Record[T]) Read() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var none T
	r.now = none
	b, err := os.ReadFile(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	if err := CheckVersion(b, r.known); err != nil {
		return err
	}
	now := none
	if err := json.Unmarshal(b, &now); err != nil {
		return err
	}
	r.now = now
	return nil
}

// Get gives the record.
func (r *Record[T]) Get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// Change changes the record, on disk first. change must not keep its argument, nor
// change what is behind pointers in it. Its result is how durable that has to be.
// What changes nothing is not written.
func (r *Record[T]) Change(change func(next *T) Durability) (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.now
	d := change(&next)
	if reflect.DeepEqual(next, r.now) && !(d == Synced && r.unsured) {
		return false, nil
	}
	if r.path != "" {
		err = Write(r.path, next, d)
	}
	_, written := errors.AsType[*SyncError](err)
	if err == nil || written {
		r.now = next
	}
	switch {
	case err == nil:
		r.unsured = d != Synced && r.path != ""
	case written:
		r.unsured = true
	}
	return err == nil, err
}
