// Package health knows what keeps creel from doing all of its work: a full disk,
// a folder that cannot be written, file descriptors that have run out.
//
// Each such thing is a Condition with a name. Whoever finds out sets it and
// clears it; the Registry keeps since when it holds, shows it (Current), and
// tells of changes (Options.Changed, Options.Gauge). Watchers of this package
// find out by themselves: Disk about the data folder, Clock about jumps of the
// wall clock, Spare about descriptors.
//
// What it guarantees: a condition shows from the moment that it is set to the
// moment that it is cleared. Of each condition at most one change is told in
// Options.Quiet; what changes more often is told once, with how often. So a disk
// that comes and goes every second cannot fill the journal about its own state.
//
// What it refuses: to decide anything. That requests go on, and what waits, is
// the business of those who meet the trouble.
package health

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Condition is the stable name of something that may be wrong.
type Condition string

// The conditions.
const (
	Journal     Condition = "journal_not_written"      // events are kept in memory alone
	DataFolder  Condition = "data_folder_not_writable" // full, read-only or broken
	LowSpace    Condition = "disk_space_low"           // it will soon be full
	Start       Condition = "start_waits"              // the gateway cannot be started before something passes
	Control     Condition = "control_socket_missing"   // creel's commands cannot reach it
	Bodies      Condition = "bodies_not_on_disk"       // bodies of requests are kept in memory alone, within narrower bounds
	Descriptors Condition = "out_of_descriptors"       // creel may open no more files
	Ownership   Condition = "ownership_unknown"        // it cannot be told, or soon not be told, which machine owns the gateway
	Connections Condition = "connection_limit"         // as many clients are connected as creel has descriptors for

	// What the preset openclaw says of its app.
	OpenClawConfig Condition = "openclaw_config_refused" // it runs on an earlier configuration, since it refuses the present one
	Provider       Condition = "no_model_provider"       // no model can be asked yet
	Variables      Condition = "variables_unused"        // some are set in vain
	Keys           Condition = "keys_reach_gateway"      // keys of model providers that creel does not hold
	Plugins        Condition = "plugin_missing"          // a channel that variables speak of does not run for want of it

	// What package snapshot says, in the same words.
	StateMissing   Condition = "state_missing"        // the gateway is not started: its state is missing and cannot be restored
	StateRecord    Condition = "state_record"         // the gateway is not started: where its state comes from cannot be told
	RestoreFailed  Condition = "restore_failed"       // the last restore that was asked for
	SnapshotStore  Condition = "snapshot_store"       // it cannot be used
	SnapshotFailed Condition = "snapshot_failed"      // the last one
	Overdue        Condition = "snapshots_overdue"    // changes are in no snapshot for too long
	Unreadable     Condition = "state_unreadable"     // whether the state has changed cannot be seen
	Shrunk         Condition = "snapshot_shrunk"      // a snapshot is much smaller than the one before
	Incomplete     Condition = "snapshot_incomplete"  // the newest snapshot lacks files that could not be read
	NotPruned      Condition = "snapshots_not_pruned" // old snapshots cannot be removed
)

// Conditions lists all conditions.
var Conditions = []Condition{
	Journal, DataFolder, LowSpace, Start, Control, Bodies, Descriptors, Ownership, Connections,
	OpenClawConfig, Provider, Variables, Keys, Plugins,
	StateMissing, StateRecord, RestoreFailed, SnapshotStore, SnapshotFailed, Overdue, Unreadable, Shrunk, Incomplete, NotPruned,
}

// Severity says how bad a condition is.
type Severity string

// The severities.
const (
	Info    Severity = "info"    // a hint: nothing is wrong, and something can be done
	Warning Severity = "warning" // all works still
	Trouble Severity = "trouble" // something does not
)

// Report is a condition that holds.
type Report struct {
	Condition Condition `json:"condition"`
	Severity  Severity  `json:"severity"`
	Since     time.Time `json:"since"`
	Message   string    `json:"message"`        // what is wrong, in one sentence
	Hint      string    `json:"hint,omitempty"` // what a person can do
}

// String says it in one line.
func (r Report) String() string {
	if r.Hint == "" {
		return r.Message
	}
	return r.Message + "; " + r.Hint
}

// Change tells that a condition holds now, or does no longer.
type Change struct {
	Report         // of a condition that does no longer: as it was
	Holds   bool   // it holds now
	Changes uint64 // changes since the last one that was told, this one included
}

// DefaultQuiet is the least time between two changes of a condition that are told.
const DefaultQuiet = time.Minute

// Options are what a Registry needs.
type Options struct {
	// Changed is told of changes, never by two goroutines at a time. It must not
	// call the Registry. May be nil.
	Changed func(Change)
	// Gauge is told at once whether a condition holds; may be nil.
	Gauge func(c Condition, holds bool)
	Quiet time.Duration // 0: DefaultQuiet
}

// Registry holds the conditions of one creel. Its methods may be called from any
// goroutine. On a nil *Registry they do nothing.
type Registry struct {
	opts    Options
	telling sync.Mutex // held around Changed; taken before mu

	mu     sync.Mutex
	known  map[Condition]*known
	closed bool
}

// known is what is known of one condition.
type known struct {
	report  Report
	holds   bool
	changes uint64      // not told yet
	toldAt  time.Time   // zero: never
	later   *time.Timer // tells what could not be told at once; nil: nothing waits
}

// New makes a registry in which nothing is wrong. Close ends it.
func New(o Options) *Registry {
	if o.Quiet == 0 {
		o.Quiet = DefaultQuiet
	}
	return &Registry{opts: o, known: map[Condition]*known{}}
}

// Set says that a condition holds, or says it in other words.
func (r *Registry) Set(c Condition, s Severity, message, hint string) {
	if r == nil {
		return
	}
	r.change(c, func(k *known) bool {
		was := k.holds
		since := k.report.Since
		if !was {
			since = time.Now()
		}
		k.holds = true
		k.report = Report{Condition: c, Severity: s, Since: since, Message: message, Hint: hint}
		return !was
	})
}

// Clear says that a condition does not hold, or no longer.
func (r *Registry) Clear(c Condition) {
	if r == nil {
		return
	}
	r.change(c, func(k *known) bool {
		was := k.holds
		k.holds = false
		return was
	})
}

// Holds tells whether a condition holds.
func (r *Registry) Holds(c Condition) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[c]
	return k != nil && k.holds
}

// Current lists the conditions that hold, in the order of Conditions.
func (r *Registry) Current() []Report {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Report
	for _, c := range Conditions {
		if k := r.known[c]; k != nil && k.holds {
			list = append(list, k.report)
		}
	}
	return list
}

// Close ends the telling. What waits to be told is dropped.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, k := range r.known {
		if k.later != nil {
			k.later.Stop()
		}
	}
}

// change makes a change to a condition, which says whether it was one, and
// tells of it at once or later.
func (r *Registry) change(c Condition, do func(*known) bool) {
	if !slices.Contains(Conditions, c) {
		panic(fmt.Sprintf("health: there is no condition %q", c))
	}
	r.mu.Lock()
	k := r.known[c]
	if k == nil {
		k = &known{}
		r.known[c] = k
	}
	if !do(k) || r.closed {
		r.mu.Unlock()
		return
	}
	k.changes++
	if r.opts.Gauge != nil {
		r.opts.Gauge(c, k.holds && k.report.Severity != Info)
	}
	wait := r.opts.Quiet - time.Since(k.toldAt)
	if !k.toldAt.IsZero() && wait > 0 {
		if k.later == nil {
			k.later = time.AfterFunc(wait, func() { r.tell(k) })
		}
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	r.tell(k)
}

// tell tells how a condition stands, unless that has been told meanwhile.
func (r *Registry) tell(k *known) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	change := Change{Report: k.report, Holds: k.holds, Changes: k.changes}
	silent := r.closed || k.changes == 0
	k.changes, k.toldAt, k.later = 0, time.Now(), nil
	r.mu.Unlock()
	if !silent && r.opts.Changed != nil {
		r.opts.Changed(change)
	}
}

// Sentence puts a change in words.
func (c Change) Sentence() string {
	var b strings.Builder
	if c.Holds {
		b.WriteString(c.Message)
	} else {
		fmt.Fprintf(&b, "no longer: %s (it was so for %v)", c.Message, time.Since(c.Since).Round(100*time.Millisecond))
	}
	if c.Changes > 1 {
		fmt.Fprintf(&b, "; it has changed %d times since this was last told", c.Changes)
	}
	return b.String()
}
