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

	// Trouble is told what keeps the Keeper from its work, or should be looked at:
	// message is empty when that is over. It must not call the Keeper. May be nil.
	Trouble func(kind Trouble, message string)

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
	// Looked waits until Status is that of the gateway, which an earlier creel may have
	// left running.
	Looked(ctx context.Context) error
	Still(ctx context.Context, do func(ctx context.Context) error) (time.Duration, error)
	Restart(ctx context.Context) error
	Status() gateway.Status
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
}

// Journal takes events.
type Journal interface {
	Record(event.Event)
	// Settle waits until what was recorded before outlasts this process, as far as that
	// can be had, and no longer than ctx.
	Settle(ctx context.Context)
}

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
	looked  bool  // at what a creel before this one left; recover's alone
	oldWish *wish // what a creel before this one was asked for, as New has found it; nil: nothing

	live  atomic.Pointer[Settings]
	op    chan struct{} // holds a value while a snapshot is taken, or the store is looked after
	wake  chan struct{} // capacity 1: the schedule is to be looked at
	proof chan struct{} // capacity 1: ready has changed

	ready   atomic.Uint64 // the newest generation that was ready
	turns   atomic.Uint64 // how often another state has taken the place of the present one
	verdict sync.Mutex    // held while a trial is ended, one way or the other

	// life ends with Halt, and with it what others have asked for.
	life  context.Context
	end   context.CancelCauseFunc
	calls sync.WaitGroup // of those; Add under mu, while life has not ended

	mu      sync.Mutex
	doing   []*doing           // what takes its time at present
	trouble map[Trouble]string // what keeps it from its work
	changes changes
	waiter  chan outcome    // gets the outcome of a restore; nil: nobody waits for one
	wanted  store.ID        // the snapshot that waiter's restore is about; empty: none is
	staged  *restore.Staged // for the restore that is wished for; nil: not yet
}

var _ gateway.Keeper = (*Keeper)(nil)

// New makes a Keeper. It touches no store. It fails for state folders that cannot
// be used; a record that cannot (*RecordError) keeps the gateway from being
// started, see Prepare, but not creel from serving one that runs.
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
	if o.Trouble == nil {
		o.Trouble = func(Trouble, string) {}
	}
	k := &Keeper{
		opts: o, log: o.Logger,
		op: make(chan struct{}, 1), wake: make(chan struct{}, 1), proof: make(chan struct{}, 1),
		trouble: map[Trouble]string{},
	}
	k.store = newOpener(o.OpenStore, k.storeHealth)
	k.life, k.end = context.WithCancelCause(context.Background())
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the gateway's folder: %w", err)
	}
	var err error
	if k.capture, err = k.capturer("copies"); err != nil {
		return nil, err
	}
	k.record = openRecord(o.Dir)
	k.restore = &restorer{Restorer: restore.New(o.Dir), roots: o.Roots, log: o.Logger}
	k.restore.ClearTemporary()
	k.live.Store(&o.Settings)
	if err := k.record.usable(); err != nil {
		k.log.Error("the gateway is not started until this is mended", "error", err)
		k.set(TroubleRecord, err.Error())
		return k, nil
	}
	r := k.record.get()
	k.changes.savedMark = r.Mark
	k.oldWish = r.Wish
	if r.Last != "" && !r.Gone {
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
		roots[i] = capture.Root{Name: r.Name, Path: r.Path, Ignore: []string{"/" + restore.WorkPattern}}
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

// ErrEnding is the cause of what ends because creel does.
var ErrEnding = errors.New("creel is stopping, or is being replaced by another")

// enter begins a call that somebody has asked for. It ends with ctx, with Halt, and
// after most.
func (k *Keeper) enter(ctx context.Context, most time.Duration) (_ context.Context, leave func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.life.Err() != nil {
		return nil, nil, context.Cause(k.life)
	}
	k.calls.Add(1)
	ctx, end := context.WithCancelCause(ctx)
	ctx, expire := context.WithTimeoutCause(ctx, most, fmt.Errorf("it was given up after %v", most))
	stop := context.AfterFunc(k.life, func() { end(context.Cause(k.life)) })
	return ctx, func() {
		stop()
		expire()
		end(nil)
		k.calls.Done()
	}, nil
}

// mostTime is how long anything may take that moves a whole state: a bound, not a
// hope.
const mostTime = 6 * time.Hour

// Halt ends what others have asked for, and waits for it until ctx ends. Run must
// have returned. Prepare, Finish and Close may still be called.
func (k *Keeper) Halt(ctx context.Context) error {
	k.mu.Lock()
	k.end(ErrEnding)
	k.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the calls, all of which have an end
		defer close(done)
		k.calls.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot wait for what is done with snapshots: %w", context.Cause(ctx))
	}
}

// Close lets go of the store, when Run has returned. It includes Halt. Nothing may
// be asked of the Keeper afterwards.
func (k *Keeper) Close(ctx context.Context) error {
	return errors.Join(k.Halt(ctx), k.dropStaged(), k.store.close(ctx))
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
func (nobody) Settle(context.Context)                                                     {}
func (nobody) SnapshotTaken(time.Time, time.Duration, time.Duration, int64, int64, int64) {}
func (nobody) SnapshotKnown(time.Time, int64, int64)                                      {}
func (nobody) SnapshotFailed(string)                                                      {}
func (nobody) Restored(time.Duration)                                                     {}
func (nobody) RestoreFailed()                                                             {}

// totals of a tree are compared for shrinking only from this size on: a state of
// a few files may well halve.
const shrinkFiles, shrinkBytes = 10, 64 << 10

// shrunk says how much smaller now is than before; "" if it is not by much.
//
// That nothing at all is left in one of several roots is a loss whatever its size: a disk
// may not have been mounted.
//
// The logs of databases do not count. One may have as many bytes as all else together, and
// is gone when the database was closed: an alarm for that would teach people not to heed it.
// They do count if it is not known what the one before had of them: else each state with a
// large one would seem to have shrunk with the first snapshot of a new creel.
func shrunk(before record, now store.Meta, to float64) string {
	for _, r := range now.Roots {
		if n := before.RootFiles[r.Name]; n > 0 && now.RootFiles[r.Name] == 0 {
			return fmt.Sprintf("nothing is left in the state folder %s (%s), which had %d files", r.Name, r.Path, n)
		}
	}
	if before.LogBytes == nil || now.LogBytes == nil {
		return smaller(before.Totals, now.Totals, to)
	}
	before.Totals.Bytes -= *before.LogBytes
	now.Totals.Bytes -= *now.LogBytes
	text := smaller(before.Totals, now.Totals, to)
	if text != "" && *before.LogBytes+*now.LogBytes > 0 {
		text += "; logs of databases are not counted"
	}
	return text
}

func smaller(before, now tree.Totals, to float64) string {
	files := before.Files >= shrinkFiles && float64(now.Files) < to*float64(before.Files)
	bytes := before.Bytes >= shrinkBytes && float64(now.Bytes) < to*float64(before.Bytes)
	if !files && !bytes {
		return ""
	}
	return fmt.Sprintf("it has %d files with %d bytes, the one before had %d with %d", now.Files, now.Bytes, before.Files, before.Bytes)
}
