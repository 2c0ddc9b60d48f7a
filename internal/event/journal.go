package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"creel/internal/telemetry"
)

// Defaults of Options.
const (
	DefaultMaxBytes = 8 << 20
	DefaultKeep     = 4
	DefaultMemory   = 1000
	DefaultLockWait = 2 * time.Second
)

// ErrLocked is returned by Open if another process writes the journal.
var ErrLocked = errors.New("another process writes to it")

// Options says where a journal is kept, and how much of it.
type Options struct {
	Dir      string             // the folder; made if it is missing
	MaxBytes int64              // size at which a file is rotated; 0: DefaultMaxBytes
	Keep     int                // rotated files to keep; 0: DefaultKeep
	Memory   int                // events to keep in memory; 0: DefaultMemory
	LockWait time.Duration      // how long Open waits for another process to let go; 0: DefaultLockWait
	Logger   *slog.Logger       // told of trouble with the disk; nil: nobody is
	Metrics  *telemetry.Metrics // counts lost events; may be nil
	OnHealth func(error)        // told what Health gives whenever that changes, by the writer; must not block; may be nil

	openFile func(path string) (file, error) // tests put faults in here
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.LockWait <= 0 {
		o.LockWait = DefaultLockWait
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.openFile == nil {
		o.openFile = openForAppend
	}
	return o
}

// Journal records events. Its methods may be called from any goroutine.
type Journal struct {
	opts    Options
	store   *store        // owned by the writer once Open has returned
	wake    chan struct{} // tells the writer that there are events
	closing chan struct{} // closed by Close
	abandon chan struct{} // closed when Close may wait no longer
	done    chan struct{} // closed when the writer has ended

	mu      sync.Mutex
	ring    *ring
	next    uint64        // number of the next event
	changed chan struct{} // closed at the next event; nil if nobody waits
	closed  bool
	health  error
	inHand  int           // events that the writer has taken and not yet written
	wrote   uint64        // number of the last event that it has written
	settled chan struct{} // closed when it has written some, or cannot; nil if nobody waits
	lost    loss          // not yet told
	ever    uint64        // events lost since Open
}

// loss is a run of events that the files lack and nobody was told of yet.
type loss struct {
	count       uint64
	first, last uint64
	cause       error
}

// Open opens the journal in opts.Dir and starts its writer; Close ends it.
//
// A file that is damaged, or from a newer creel, is set aside. A disk that
// takes no writes does not fail Open: the journal then lives in memory, Health
// says why, and writing is tried again. Errors: ErrLocked, and files that are
// there but cannot be read, because their numbers are then unknown.
func Open(opts Options) (*Journal, error) {
	if opts.Dir == "" {
		return nil, errors.New("cannot open the journal: no folder is given")
	}
	opts = opts.withDefaults()
	j := &Journal{
		opts:    opts,
		store:   newStore(opts),
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		abandon: make(chan struct{}),
		done:    make(chan struct{}),
		ring:    newRing(opts.Memory),
	}
	err := j.store.open(opts.LockWait)
	var read *readError
	if errors.Is(err, ErrLocked) || errors.As(err, &read) {
		return nil, fmt.Errorf("cannot open the journal in %s: %w", opts.Dir, errors.Join(err, j.store.close()))
	}
	j.next = j.store.last + 1
	j.store.attempted = j.store.last
	for _, e := range j.store.recent {
		j.ring.load(e)
	}
	j.store.recent = nil
	w := &writer{journal: j, store: j.store}
	w.announce()
	if err != nil {
		w.writeFailed(err)
	}
	go w.run()
	return j, nil
}

// Record adds e to the journal. It sets e.Seq, and e.Time if that is zero,
// removes secrets, and returns at once: it waits for no disk and cannot fail.
// After Close the event is dropped, and counted as lost.
//
// Values in e.Fields are kept as telemetry.RedactValue gives them; messages
// over 8 KiB and fields over 32 KiB of JSON are cut.
func (j *Journal) Record(e Event) {
	e = clean(e)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		j.lose(Event{}, errors.New("the journal is closed"))
		return
	}
	j.add(e)
}

// Settle waits until the events that were recorded before are in the files, as far as
// they can be had there: not while there is trouble with the disk, and no longer than ctx.
// They then outlast this process; against the loss of power they are safe a second later.
func (j *Journal) Settle(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for last := j.next - 1; j.wrote < last && j.left() > 0 && j.health == nil; {
		if j.settled == nil {
			j.settled = make(chan struct{})
		}
		settled := j.settled
		j.mu.Unlock()
		select {
		case <-settled:
		case <-j.done:
		case <-ctx.Done():
		}
		j.mu.Lock()
		if ctx.Err() != nil || isClosed(j.done) {
			return
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tellSettled wakes those who wait in Settle. j.mu is held.
func (j *Journal) tellSettled() {
	if j.settled != nil {
		close(j.settled)
		j.settled = nil
	}
}

// add numbers e and hands it to the writer and the subscribers. j.mu is held.
func (j *Journal) add(e Event) {
	e.Seq = j.next
	j.next++
	if old, isLost := j.ring.add(e); isLost {
		j.lose(old, j.health)
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
	select {
	case j.wake <- struct{}{}:
	default: // it is awake or about to be
	}
}

// lose counts an event that the files will lack. j.mu is held.
func (j *Journal) lose(e Event, cause error) {
	j.ever++
	j.opts.Metrics.JournalLost(1)
	if e.Seq == 0 {
		return
	}
	if j.lost.count == 0 {
		j.lost.first = e.Seq
	}
	j.lost.count++
	j.lost.last = e.Seq
	if cause != nil {
		j.lost.cause = cause
	}
}

// Recent returns the last n events, oldest first, from memory. Fields are
// shared and must not be changed.
func (j *Journal) Recent(n int) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	events := j.ring.after(0, len(j.ring.events))
	return events[len(events)-max(0, min(n, len(events))):]
}

// LastSeq is the number of the newest event, or 0.
func (j *Journal) LastSeq() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - 1
}

// Health is nil while events reach the disk, or says why they do not.
func (j *Journal) Health() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.health
}

// Lost counts the events since Open that the files lack.
func (j *Journal) Lost() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ever
}

// Close writes what is left, syncs it, and ends the writer. Subscriptions end
// when they have had all events. If ctx ends first, the error says how many
// events are left unwritten, and why; a write that the kernel does not come
// back from is then left behind. A further call waits likewise.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.closing)
		if j.changed != nil {
			close(j.changed)
			j.changed = nil
		}
	}
	j.mu.Unlock()
	var late error
	select {
	case <-j.done:
	case <-ctx.Done():
		late = context.Cause(ctx)
		j.giveUp()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := errors.Join(j.health, late); err != nil {
		return fmt.Errorf("cannot close the journal in %s; %d events are not written: %w", j.opts.Dir, j.left(), err)
	}
	return nil
}

// giveUp tells the writer that nobody waits for it any more.
func (j *Journal) giveUp() {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-j.abandon:
	default:
		close(j.abandon)
	}
}

// left counts the events that are not written yet. j.mu is held.
func (j *Journal) left() uint64 { return uint64(j.inHand) + j.ring.next - j.ring.taken }
