package snapshot

import (
	"maps"
	"slices"
	"sync"
	"time"

	"creel/internal/snapshot/capture"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/store"
)

// Doing is what a Keeper is at, as far as it has got.
type Doing struct {
	What  string    `json:"what"`  // "snapshot", "restore", "verify", "prune"
	Stage string    `json:"stage"` // in words: "copying", "saving", "checking", …
	Since time.Time `json:"since"`
	Files int64     `json:"files"` // done, in this stage
	Bytes int64     `json:"bytes"`
	// Of are how many there are in this stage; 0: not known.
	OfFiles int64 `json:"of_files,omitempty"`
	OfBytes int64 `json:"of_bytes,omitempty"`
}

// doing is a Doing under way. It is the Progress of all that is called.
type doing struct {
	mu  sync.Mutex
	now Doing
}

var (
	_ capture.Progress = (*doing)(nil)
	_ store.Progress   = (*doing)(nil)
)

// Total implements Progress.
func (d *doing) Total(files, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.OfFiles, d.now.OfBytes = files, bytes
}

// Done implements Progress.
func (d *doing) Done(files, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.Files += files
	d.now.Bytes += bytes
}

// stage begins the next stage.
func (d *doing) stage(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = Doing{What: d.now.What, Stage: name, Since: d.now.Since}
}

func (d *doing) get() Doing {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// begin says that something is being done that may take its time.
func (k *Keeper) begin(what, stage string) (d *doing, done func()) {
	d = &doing{now: Doing{What: what, Stage: stage, Since: time.Now()}}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.doing = append(k.doing, d)
	return d, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.doing = slices.DeleteFunc(k.doing, func(x *doing) bool { return x == d })
	}
}

// Trouble is the name of something that keeps a Keeper from its work, or that a
// person should look at.
type Trouble string

// The kinds of trouble.
const (
	TroubleSave    Trouble = "snapshot_failed"      // the last snapshot has failed
	TroubleOverdue Trouble = "snapshots_overdue"    // changes are in no snapshot for too long
	TroubleLook    Trouble = "state_unreadable"     // whether the state has changed cannot be seen
	TroubleStore   Trouble = "snapshot_store"       // the store cannot be used
	TroubleShrunk  Trouble = "snapshot_shrunk"      // a snapshot is much smaller than the one before
	TroubleUnread  Trouble = "snapshot_incomplete"  // the newest snapshot lacks files that could not be read
	TroubleMissing Trouble = "state_missing"        // the state is missing and cannot be restored
	TroubleRestore Trouble = "restore_failed"       // the last restore that was asked for has failed
	TroublePrune   Trouble = "snapshots_not_pruned" // old snapshots cannot be removed
	TroubleRecord  Trouble = "state_record"         // it cannot be told where the state comes from
)

// set says what keeps the Keeper from its work, or should be looked at.
func (k *Keeper) set(kind Trouble, message string) {
	k.mu.Lock()
	k.trouble[kind] = message
	k.mu.Unlock()
	k.opts.Trouble(kind, message)
}

func (k *Keeper) clear(kind Trouble) {
	k.mu.Lock()
	_, was := k.trouble[kind]
	delete(k.trouble, kind)
	k.mu.Unlock()
	if was {
		k.opts.Trouble(kind, "")
	}
}

// Status is what is known of a state's safety.
type Status struct {
	Where   string    `json:"store"`
	Lineage string    `json:"lineage,omitempty"` // empty: the state is not in place
	Began   string    `json:"began,omitempty"`   // "fresh", "found" or "restored"
	Last    store.ID  `json:"last,omitempty"`    // newest snapshot of this state
	LastAt  time.Time `json:"last_at,omitzero"`
	Files   int64     `json:"files"` // in it
	Bytes   int64     `json:"bytes"`
	Unsaved time.Time `json:"unsaved_since,omitzero"` // of the first change that no snapshot has; zero: none known
	Parent  store.ID  `json:"parent,omitempty"`
	Trial   store.ID  `json:"trial,omitempty"` // restored, and not proved by a ready instance yet
	Doing   []Doing   `json:"doing,omitempty"`
	Missing bool      `json:"missing,omitempty"` // it was saved, and is gone; the gateway is not started without
	// Owner is who owns the gateway among those that share the store; nil: it is
	// not shared.
	Owner    *owner.Status `json:"owner,omitempty"`
	Troubles []string      `json:"trouble,omitempty"`
}

// Status gives the present status.
func (k *Keeper) Status() Status {
	r := k.record.get()
	st := Status{Where: k.opts.Where, Lineage: r.Lineage, Began: r.Began, Parent: r.Parent}
	if !r.Gone {
		st.Last, st.LastAt, st.Files, st.Bytes = r.Last, r.LastAt, r.Totals.Files, r.Totals.Bytes
	}
	if k.opts.Lease != nil {
		o := k.opts.Lease.Status()
		st.Owner = &o
	}
	if r.Trial != 0 {
		st.Trial = r.Put
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st.Unsaved = k.changes.first
	_, st.Missing = k.trouble[TroubleMissing]
	for _, d := range k.doing {
		st.Doing = append(st.Doing, d.get())
	}
	for _, kind := range slices.Sorted(maps.Keys(k.trouble)) {
		st.Troubles = append(st.Troubles, k.trouble[kind])
	}
	return st
}
