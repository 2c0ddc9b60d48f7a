// Package store keeps snapshots: a Store is where they live.
//
// What is in a store is encrypted with a Key that lies in a file. Losing it is
// losing the snapshots: there is no other way to them.
package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"creel/internal/snapshot/tree"
)

// ErrNotFound is returned (wrapped) for an ID that the store has no snapshot of.
var ErrNotFound = errors.New("no such snapshot")

// ID names a snapshot: "20261126T015400Z-7f3a", the time of its cut (UTC, to the
// second) and four hexadecimal digits of chance. IDs of different
// seconds sort by time.
type ID string

// Reason is why a snapshot was taken.
type Reason string

// The reasons.
const (
	Asked         Reason = "asked"          // a person or a program asked for it
	OnChange      Reason = "change"         // the state had changed
	OnInterval    Reason = "interval"       // it was time
	BeforeUpgrade Reason = "before_upgrade" // another version or configuration was about to start
	BeforeRestore Reason = "before_restore" // the state that a restore sets aside
	OnStop        Reason = "stop"           // the gateway had stopped in good order
	Imported      Reason = "import"         // brought in from elsewhere
)

// Meta is what is known of a snapshot besides its files. It never changes.
type Meta struct {
	ID      ID        `json:"id"`
	Gateway string    `json:"gateway"`
	Time    time.Time `json:"time"` // of the cut, UTC
	// After is set where the clock was behind that of a snapshot before this one: as of
	// when this one counts, since it is the newer.
	After  time.Time `json:"after,omitzero"`
	Reason Reason    `json:"reason"`
	Note   string    `json:"note,omitempty"` // a person's words
	// Parent is the snapshot that this state grew from: the one restored last,
	// or the one taken last on this machine since then; empty: a fresh start.
	Parent ID `json:"parent,omitempty"`
	// Lineage is chosen when a state begins afresh and is handed on to all that
	// grows from it, over restores and machines.
	Lineage    string `json:"lineage"`
	Machine    string `json:"machine"` // host name, for people
	Generation uint64 `json:"generation"`
	// Fence is the fencing number of the owner that has taken it, where several
	// machines share a gateway: of two snapshots the one with the higher is the
	// newer, whatever their times say. 0: it was not shared.
	Fence      uint64 `json:"fence,omitempty"`
	AppVersion string `json:"app_version,omitempty"`
	// Frozen is how long the gateway was held still; 0: it did not run.
	Frozen time.Duration `json:"frozen_ns"`
	Roots  []Root        `json:"roots"`
	Totals tree.Totals   `json:"totals"`
	// RootFiles are the Files of each root, by its name; nil: a creel of before.
	RootFiles map[string]int64 `json:"root_files,omitempty"`
	// LogBytes are those of Totals.Bytes that come and go: the logs of databases, see
	// package snapshot. nil: not known, it is of a creel of before.
	LogBytes *int64 `json:"log_bytes,omitempty"`
	// Smaller says in words how much smaller it is than the one before. It is the first
	// Marks.Shrunk: what may tell of a loss must be known for it from the instant it is there.
	Smaller string         `json:"smaller,omitempty"`
	Skipped []tree.Skipped `json:"skipped,omitempty"` // at most 100; Omitted counts the others
	Omitted int            `json:"omitted,omitempty"`
	// Unread is how many files their disk did not give when it was taken: it lacks them,
	// and is no reason to remove others.
	Unread int64 `json:"unread,omitempty"`
}

// Order is the time by which snapshots are put in order.
func (m Meta) Order() time.Time {
	if m.After.After(m.Time) {
		return m.After
	}
	return m.Time
}

// Root is a state folder.
type Root struct {
	Name string `json:"name"` // first part of the paths in the tree
	Path string `json:"path"` // absolute, where it was
}

// Marks are what is found out about a snapshot later.
type Marks struct {
	// Verified is when all of its content was last read back and found whole.
	Verified time.Time `json:"verified,omitzero"`
	// Sampled is the same for a sample of it, as after each Save.
	Sampled time.Time `json:"sampled,omitzero"`
	// Damaged says what is wrong with it; empty: nothing known.
	Damaged string `json:"damaged,omitempty"`
	// Shrunk says in words how much smaller it is than the one before; it is
	// then no reason to remove others.
	Shrunk string `json:"shrunk,omitempty"`
	// Pinned keeps it from being removed.
	Pinned bool `json:"pinned,omitempty"`
	// Restored is when its state last took the place of a later one, for good.
	Restored Restoration `json:"restored,omitzero"`
}

// Restoration is when a snapshot was restored, told so that it can be compared
// with when others were taken.
type Restoration struct {
	At    time.Time `json:"at"`              // UTC; after all snapshots that were there
	Fence uint64    `json:"fence,omitempty"` // of the owner that has restored it, see Meta
}

// Snapshot is a snapshot as it lies in a store.
type Snapshot struct {
	Meta
	Marks
	Stored int64 `json:"stored"` // bytes that were added to the store for it, compressed and encrypted
}

// Progress is told how far a long call has got. Its methods are called often,
// from several goroutines, and must return at once.
type Progress interface {
	// Total says how much there is to do, once it is known; it may be called again.
	Total(files, bytes int64)
	// Done says that so much more has been done.
	Done(files, bytes int64)
}

// Store keeps the snapshots of gateways. Several creels, on several machines,
// may use one place at once.
//
// Its methods may be called from any goroutine; calls that write wait for each
// other. They end early, with the cause, when ctx ends. Errors that callers
// branch on: ErrNotFound, *AccessError, *DamagedError. All others are taken for
// passing.
type Store interface {
	// Save keeps a tree. The snapshot exists, whole, once Save has returned
	// without an error, and not at all otherwise; what a Save that was cut short
	// has left is removed by Maintain. base, if not empty, is a snapshot of the
	// same gateway whose contents may be taken for equal keys.
	Save(ctx context.Context, t tree.Tree, m Meta, base ID, p Progress) (Snapshot, error)

	// List gives the snapshots of a gateway, oldest first; "": of all gateways.
	List(ctx context.Context, gateway string) ([]Snapshot, error)

	// Open gives the files of a snapshot. Content is checked as it is read; what
	// is not as it was saved gives *DamagedError. The caller closes it.
	Open(ctx context.Context, id ID) (Files, error)

	// Verify reads portion (0 to 1) of the contents of a snapshot back, chosen
	// at random, and the whole list of its files. It returns *DamagedError for
	// the first that is missing or not as it was saved.
	Verify(ctx context.Context, id ID, portion float64, p Progress) error

	// Check looks whether all that was ever saved, and not removed since, is listed,
	// and mends what it can. It comes before a choice among snapshots by which others
	// are passed over; Maintain and Remove include it. It returns *DamagedError if
	// there may be snapshots that are not listed.
	Check(ctx context.Context) error

	// Mark changes what is known of a snapshot.
	Mark(ctx context.Context, id ID, change func(*Marks)) error

	// Remove removes snapshots. Space comes back with Maintain. Those that do
	// not exist are passed over.
	Remove(ctx context.Context, ids ...ID) error

	// Maintain gives back space, in as little of the processor and as few
	// requests as it can. Contents that a Save under way elsewhere may need are
	// kept, by age.
	Maintain(ctx context.Context) error

	// Close lets go of the store. Calls under way end first.
	Close(ctx context.Context) error
}

// Files are the files of one snapshot.
type Files interface {
	tree.Tree
	Snapshot() Snapshot
	Close() error
}

// AccessError says that the store refuses: wrong credentials, wrong key, no such
// bucket or folder, full. Trying again does not help until a person has changed
// something.
type AccessError struct {
	Store string // which, such as "s3://bucket/prefix"
	Err   error
	Hint  string // the next step
	Full  bool   // there is no room: it wraps ErrFull
}

// ErrFull is wrapped by the *AccessError of a store that has no room left. What is
// in it is whole and can be read; what could not be written leaves nothing that is
// listed.
var ErrFull = errors.New("the snapshot store is full")

// Is makes errors.Is find ErrFull.
func (e *AccessError) Is(target error) bool { return e.Full && target == ErrFull }

func (e *AccessError) Error() string {
	return fmt.Sprintf("cannot use the snapshot store %s: %v", e.Store, e.Err)
}

func (e *AccessError) Unwrap() error { return e.Err }

// DamagedError says that something in the store is not as it was saved.
type DamagedError struct {
	ID   ID     // empty: the store as a whole
	Path string // which file; empty: the snapshot as a whole
	Err  error
	// Paths are all files and folders that are affected, as far as Verify has looked;
	// of a folder, all that is in it.
	Paths []string
}

func (e *DamagedError) Error() string {
	if e.ID == "" {
		return fmt.Sprintf("the snapshot store is damaged: %v", e.Err)
	}
	if e.Path == "" {
		return fmt.Sprintf("snapshot %s is damaged: %v", e.ID, e.Err)
	}
	at := strconv.Quote(e.Path)
	if n := len(e.Paths); n > 1 {
		var names []string
		for _, p := range e.Paths[:min(n, mostNamed)] {
			names = append(names, strconv.Quote(p))
		}
		if at = strings.Join(names, ", "); n > mostNamed {
			at += fmt.Sprintf(" and %d more", n-mostNamed)
		}
	}
	return fmt.Sprintf("snapshot %s is damaged at %s: %v", e.ID, at, e.Err)
}

// mostNamed is how many files a DamagedError names.
const mostNamed = 10

func (e *DamagedError) Unwrap() error { return e.Err }
