package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/capture"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// Options are what a Keeper needs. Gateway, Dir, Roots, OpenStore and Supervisor
// must be set.
type Options struct {
	Gateway string       // its name
	Dir     string       // the gateway's folder in creel's data folder
	Roots   []store.Root // its state folders
	Exclude []string     // folders that are never captured: creel's own data
	Ignore  []string     // patterns as in .gitignore
	// OpenStore opens the store; it is called again after it has failed, and
	// never twice at once.
	OpenStore func(ctx context.Context) (store.Store, error)
	// Where the store is, for people.
	Where string
	// Supervisor is the gateway's. It is not asked for anything before Run.
	Supervisor Supervisor
	// Lease settles which machine may run the gateway; nil: no other may.
	Lease Lease
	// App gives the version of the app that will be launched next, and a hash of
	// its configuration; nil or empty texts: not known.
	App func() (version, config string)

	Manual    bool // nothing is taken by itself
	NoRestore bool // a state that is missing stays so
	Settings  Settings
	Freeze    Freeze

	Journal  Journal  // may be nil
	Recorder Recorder // may be nil
	Logger   *slog.Logger
}

// Settings are what may change while a Keeper works.
type Settings struct {
	Schedule Schedule
	Keep     Keep
	// ShrinkTo is the part of the last snapshot's files or bytes below which one
	// counts as shrunk, from 0 to 1.
	ShrinkTo float64
	// OldFor is how long a state that was set aside is kept; 0: until a later
	// snapshot was verified.
	OldFor time.Duration
}

// Freeze bounds for how long a gateway is held still; 0: capture's defaults.
type Freeze struct{ Budget, Max time.Duration }

// Supervisor is what a Keeper asks of the gateway's supervisor.
type Supervisor interface {
	Still(ctx context.Context, do func(ctx context.Context) error) (time.Duration, error)
	Restart(ctx context.Context) error
	Status() gateway.Status
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
}

// Journal takes events.
type Journal interface{ Record(event.Event) }

// Recorder takes measurements.
type Recorder interface {
	SnapshotTaken(at time.Time, frozen, took time.Duration, files, bytes, stored int64)
	SnapshotKnown(at time.Time, files, bytes int64)
	SnapshotFailed(stage string)
	Restored(took time.Duration)
	RestoreFailed()
}

// Keeper keeps the state of one gateway. Its methods may be called from any
// goroutine.
type Keeper struct {
	opts    Options
	log     *slog.Logger
	record  *recordFile
	capture *capture.Capturer
	restore *restorer
	store   *opener

	live  atomic.Pointer[Settings]
	op    chan struct{} // holds a value while a snapshot is taken, or the store is looked after
	wake  chan struct{} // capacity 1: the schedule is to be looked at
	proof chan uint64   // capacity 1: this generation is ready, and may be what a trial waits for

	mu      sync.Mutex
	doing   []*doing          // what takes its time at present
	trouble map[string]string // what keeps it from its work, by kind
	changes changes
	waiter  chan error      // gets the outcome of a restore; nil: nobody waits for one
	staged  *restore.Staged // for the restore that is wished for; nil: not yet
}

var _ gateway.Keeper = (*Keeper)(nil)

// New makes a Keeper. It touches no store. Errors: *RecordError, and a state
// folder that cannot be used.
func New(o Options) (*Keeper, error) {
	if o.Journal == nil {
		o.Journal = nobody{}
	}
	if o.Recorder == nil {
		o.Recorder = nobody{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.App == nil {
		o.App = func() (string, string) { return "", "" }
	}
	k := &Keeper{
		opts: o, log: o.Logger, store: newOpener(o.OpenStore),
		op: make(chan struct{}, 1), wake: make(chan struct{}, 1), proof: make(chan uint64, 1),
		trouble: map[string]string{},
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the gateway's folder: %w", err)
	}
	var err error
	if k.record, err = openRecord(o.Dir); err != nil {
		return nil, err
	}
	if k.capture, err = k.capturer("copies"); err != nil {
		return nil, err
	}
	k.restore = &restorer{Restorer: restore.New(o.Dir), roots: o.Roots, log: o.Logger}
	k.live.Store(&o.Settings)
	if r := k.record.get(); r.Last != "" {
		o.Recorder.SnapshotKnown(r.LastAt, r.Totals.Files, r.Totals.Bytes)
	}
	// Of what was staged only: folders on the move wait for Prepare, and so does a
	// journal that cannot be used, which it says.
	if err := k.recover(gateway.Stillness{}); err != nil {
		k.log.Warn("a restore was cut short; it is seen to before the gateway starts", "error", err)
	}
	return k, nil
}

// Configure has other settings count from now on.
func (k *Keeper) Configure(s Settings) {
	k.live.Store(&s)
	k.nudge()
}

func (k *Keeper) settings() *Settings { return k.live.Load() }

// capturer makes a capturer whose copies are in a folder of that name.
func (k *Keeper) capturer(name string) (*capture.Capturer, error) {
	roots := make([]capture.Root, len(k.opts.Roots))
	for i, r := range k.opts.Roots {
		roots[i] = capture.Root{Name: r.Name, Path: r.Path}
	}
	c, err := capture.New(capture.Options{
		Roots: roots, Dir: filepath.Join(k.opts.Dir, name), Exclude: k.opts.Exclude, Ignore: k.opts.Ignore,
		Budget: k.opts.Freeze.Budget, MaxFreeze: k.opts.Freeze.Max,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot take snapshots of gateway %s: %w", k.opts.Gateway, err)
	}
	return c, nil
}

// Close lets go of the store, once Run has returned.
func (k *Keeper) Close(ctx context.Context) error {
	return errors.Join(k.dropStaged(), k.store.close(ctx))
}

// take waits until nothing else is done, and begins something.
func (k *Keeper) take(ctx context.Context) (release func(), err error) {
	select {
	case k.op <- struct{}{}:
		return func() { <-k.op }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot begin while another snapshot is being taken: %w", context.Cause(ctx))
	}
}

// event writes something into the journal.
func (k *Keeper) event(kind event.Kind, message string, fields map[string]any) {
	k.opts.Journal.Record(event.Event{Kind: kind, Gateway: k.opts.Gateway, Message: message, Fields: fields})
}

// nobody is a Journal and a Recorder that takes no notice.
type nobody struct{}

func (nobody) Record(event.Event)                                                         {}
func (nobody) SnapshotTaken(time.Time, time.Duration, time.Duration, int64, int64, int64) {}
func (nobody) SnapshotKnown(time.Time, int64, int64)                                      {}
func (nobody) SnapshotFailed(string)                                                      {}
func (nobody) Restored(time.Duration)                                                     {}
func (nobody) RestoreFailed()                                                             {}

// opener opens a store when it is first needed.
type opener struct {
	open func(ctx context.Context) (store.Store, error)
	turn chan struct{} // holds a value while it is opened or closed
	st   store.Store   // nil: not open; owned by whose turn it is
}

func newOpener(open func(ctx context.Context) (store.Store, error)) *opener {
	return &opener{open: open, turn: make(chan struct{}, 1)}
}

// get opens the store unless it is open.
func (o *opener) get(ctx context.Context) (store.Store, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot wait for the snapshot store to be opened: %w", context.Cause(ctx))
	}
	if o.st != nil {
		return o.st, nil
	}
	st, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	o.st = st
	return st, nil
}

func (o *opener) close(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return fmt.Errorf("cannot close the snapshot store: %w", context.Cause(ctx))
	}
	if o.st == nil {
		return nil
	}
	err := o.st.Close(ctx)
	o.st = nil
	return err
}

// totals of a tree are compared for shrinking only from this size on: a state of
// a few files may well halve.
const shrinkFiles, shrinkBytes = 10, 64 << 10

// shrunk says how much smaller now is than before; "" if it is not by much.
func shrunk(before, now tree.Totals, to float64) string {
	files := before.Files >= shrinkFiles && float64(now.Files) < to*float64(before.Files)
	bytes := before.Bytes >= shrinkBytes && float64(now.Bytes) < to*float64(before.Bytes)
	if !files && !bytes {
		return ""
	}
	return fmt.Sprintf("it has %d files with %d bytes, the one before had %d with %d", now.Files, now.Bytes, before.Files, before.Bytes)
}
