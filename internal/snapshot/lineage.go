package snapshot

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"creel/internal/durable"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// record is what must be known of a state though neither creel nor the gateway
// runs: where it comes from.
type record struct {
	Version int `json:"version"`
	// Lineage of the state; empty: nobody has said yet where it comes from, and
	// nothing is saved on its own account.
	Lineage string `json:"lineage,omitempty"`
	// Began says how the lineage came to this machine: "fresh", "found" (the
	// state was there before creel looked after it) or "restored".
	Began string `json:"began,omitempty"`
	// Parent is the snapshot that the state grew from.
	Parent store.ID `json:"parent,omitempty"`
	// Tried says that a snapshot of this lineage was begun here: there may be one
	// though Last is empty.
	Tried bool `json:"tried,omitempty"`
	// Last is the last snapshot of this state, and what it counted.
	Last   store.ID    `json:"last,omitempty"`
	LastAt time.Time   `json:"last_at,omitzero"`
	Totals tree.Totals `json:"totals,omitzero"`
	// Gone says that Last was removed by hand, and that there was none before it. What it
	// counted tells all the same whether the state has gone away.
	Gone bool `json:"gone,omitempty"`
	// RootFiles are those of Last, see store.Meta; nil: not known.
	RootFiles map[string]int64 `json:"root_files,omitempty"`
	// LogBytes are those of Last, see store.Meta; nil: not known.
	LogBytes *int64 `json:"log_bytes,omitempty"`
	// Mark is what the state looked like in Last (capture.Cut.Mark); empty: not
	// known.
	Mark string `json:"mark,omitempty"`
	// Fence is the fencing number under which this state was last the gateway's; 0:
	// no lease was kept on it.
	Fence uint64 `json:"fence,omitempty"`
	// App and Config are of the last instance that was launched.
	App    string `json:"app_version,omitempty"`
	Config string `json:"config_hash,omitempty"`
	// Wish is a restore that was asked for and has not come to its end.
	Wish *wish `json:"wish,omitempty"`
	// Accepted is the restore of Last for good, until the store has been told or a
	// later snapshot speaks for this state; nil: there is nothing to tell.
	Accepted *store.Restoration `json:"accepted,omitempty"`
	// Trial is the generation that has yet to get ready on a restored state; 0:
	// none.
	Trial uint64 `json:"trial,omitempty"`
	// Undoing says that the trial has failed: the old state is being put back. It
	// is written before a folder moves, since afterwards nothing else tells a
	// restore that was undone from one that was confirmed.
	Undoing bool `json:"undoing,omitempty"`
	// Put is the snapshot that the trial is about; empty: a fresh start.
	Put store.ID `json:"put,omitempty"`
	// Earlier is the record of the state that was set aside for the trial.
	Earlier *record `json:"earlier,omitempty"`
	// Next is the record of the state that is about to be put in place.
	Next *record `json:"next,omitempty"`
}

// earlier is r as it is to be had again after a trial that has failed.
func (r record) earlier() *record {
	if r.Earlier != nil { // a second restore, before the first was proved
		return r.Earlier
	}
	r.Wish, r.Trial, r.Undoing, r.Put, r.Next = nil, 0, false, "", nil
	return &r
}

// takeBack makes r that of the state of before the trial. What a person wishes for
// by now stays, and so does whose the gateway is: what another owner has saved was looked
// for before (catchUp).
func (r *record) takeBack() {
	w, fence := r.Wish, r.Fence
	*r = *r.earlier()
	r.Wish, r.Fence = w, fence
	// What was saved of the other state meanwhile is not the newest. But what another owner
	// has saved is.
	if r.Last != "" && (w == nil || !w.Moved) {
		r.Accepted = r.accepted()
	}
}

// becomes makes r that of another state. A wish other than the one that was carried out
// (nil: none was) has come meanwhile, and stays.
func (r *record) becomes(next record, done *wish) {
	w := r.Wish
	*r = next
	if w != nil && !done.is(w) {
		r.Wish = w
	}
}

// proved is r after a trial that has succeeded.
func (r record) proved() record {
	if r.Put != "" && r.Put == r.Last {
		r.Accepted = r.accepted()
	}
	r.Trial, r.Undoing, r.Put, r.Earlier, r.Next = 0, false, "", nil, nil
	return r
}

// wish is a restore that a person asked for.
type wish struct {
	ID      store.ID `json:"id,omitempty"` // empty: the newest
	Fresh   bool     `json:"fresh,omitempty"`
	OrFresh bool     `json:"or_fresh,omitempty"`
	Damaged bool     `json:"accept_damaged,omitempty"`
	// Moved: nobody asked for it, but another machine has moved on from the state
	// that is here, and the gateway must not go on with it.
	Moved bool      `json:"moved,omitempty"`
	At    time.Time `json:"at"`
	// Generation is the number of the instance that ran then, or had run last.
	Generation uint64 `json:"generation,omitempty"`
}

// is tells whether another one is the same, not one that asks for the same again.
func (w *wish) is(other *wish) bool {
	return w != nil && other != nil && w.At.Equal(other.At) && w.ID == other.ID && w.Generation == other.Generation
}

const recordVersion = 1

// recordFile keeps a record. Its methods may be called from any goroutine.
type recordFile struct {
	path string
	file *durable.Record[record]

	mu     sync.Mutex
	passed func() // a change is on disk; replaced in tests that have creel die then
	bad    error  // a *RecordError: the file cannot be used; nil: it can
}

// RecordError says that the file which tells where a state comes from cannot be
// used. The gateway is not started then, and nothing of it is saved: what creel
// does with its state next would be a guess. One that runs goes on, and is served.
type RecordError struct {
	Path string
	Err  error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("cannot tell where the gateway's state comes from: %s: %v", e.Path, e.Err)
}

func (e *RecordError) Unwrap() error { return e.Err }

// openRecord takes the record of a gateway's folder. None is an empty one. One that
// cannot be read is looked at again with each use, so that mending it is enough.
func openRecord(dir string) *recordFile {
	f := &recordFile{path: filepath.Join(dir, "state.json"), passed: func() {}}
	var err error
	f.file, err = durable.Open[record](f.path, recordVersion)
	f.look(err)
	return f
}

// look takes note of whether the file could be read.
func (f *recordFile) look(err error) {
	f.bad = nil
	if err != nil {
		f.bad = &RecordError{f.path, err}
	}
}

// usable is nil if the file can be used. If it could not be read, it is read again.
func (f *recordFile) usable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad != nil {
		f.look(f.file.Read())
	}
	return f.bad
}

// get gives the record; an empty one if the file cannot be used.
func (f *recordFile) get() record { return f.file.Get() }

// change changes the record, on disk first and so that it outlives a power cut: it
// must not be older than the journal of a restore, nor than the state's folders. The
// error is a *RecordError if the file cannot be used; it is not written over then.
func (f *recordFile) change(change func(*record)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad != nil {
		return f.bad
	}
	changed, err := f.file.Change(func(next *record) durable.Durability {
		change(next)
		next.Version = recordVersion
		return durable.Synced
	})
	if err != nil {
		return fmt.Errorf("cannot record where the gateway's state comes from: %w", err)
	}
	if changed {
		f.passed()
	}
	return nil
}

// newLineage is a name for a state that begins afresh.
func newLineage() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails (Go 1.24)
	return hex.EncodeToString(b[:])
}
