package event

import (
	"errors"
	"fmt"
	"time"

	"creel/internal/telemetry"
)

// How the writer treats the disk.
const (
	batchSize  = 256                    // events in one write
	syncAfter  = time.Second            // from a write to its fsync
	firstRetry = 100 * time.Millisecond // after a failure; doubles with each
	lastRetry  = 5 * time.Second
)

// writer moves events from the ring to the disk, in a goroutine of its own. It
// is the only one to touch the store.
type writer struct {
	journal *Journal
	store   *store

	batch    []Event // taken from the ring and not yet written
	writeErr error   // of the last attempt
	syncErr  error   // likewise
	pause    time.Duration
	retryAt  time.Time // no attempt before; zero: at once
	syncAt   time.Time // zero: nothing to sync
}

func (w *writer) run() {
	j := w.journal
	defer close(j.done)
	closing := j.closing
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.step()
		if closing == nil && w.empty() {
			w.finish()
			return
		}
		wake := j.wake
		if w.writeErr != nil {
			wake = nil // the timer says when to go on
		}
		timer.Stop()
		if at := w.due(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case <-wake:
		case <-timer.C:
		case <-closing:
			closing = nil
			w.retryAt = time.Time{}
		case <-j.abandon:
			w.finish()
			return
		}
	}
}

// step does what is due: it writes all there is, and syncs in between, however
// fast events come.
func (w *writer) step() {
	for !time.Now().Before(w.retryAt) {
		if len(w.batch) == 0 {
			w.batch = w.take()
		}
		if len(w.batch) == 0 && w.writeErr == nil {
			if !w.tellLost() {
				break
			}
			continue
		}
		if err := w.write(); err != nil {
			w.writeFailed(err)
			break
		}
		w.writeDone()
		w.syncIfDue()
	}
	w.syncIfDue()
}

func (w *writer) take() []Event {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	batch := w.journal.ring.take(batchSize)
	w.journal.inHand = len(batch)
	return batch
}

func (w *writer) empty() bool {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	return w.journal.left() == 0
}

// due is when the next step is to be made, or zero if only an event is a
// reason for one. In trouble it is tried again without events, too, so that
// Health does not stay bad for want of them.
func (w *writer) due() time.Time {
	if w.writeErr != nil && (w.syncAt.IsZero() || w.retryAt.Before(w.syncAt)) {
		return w.retryAt
	}
	return w.syncAt
}

// write writes the batch, in a file that it opens if need be.
func (w *writer) write() error {
	s := w.store
	if !s.usable() {
		if err := s.open(0); err != nil {
			return err
		}
		s.recent = nil
	}
	w.dropWritten()
	if err := s.append(w.batch); err != nil {
		return err
	}
	w.batch = nil
	w.journal.mu.Lock()
	w.journal.inHand, w.journal.wrote = 0, s.last
	w.journal.tellSettled()
	w.journal.mu.Unlock()
	if s.dirty && w.syncAt.IsZero() {
		w.syncAt = time.Now().Add(syncAfter)
	}
	return nil
}

// dropWritten takes from the batch what the file that was just opened holds
// already: a write that failed may have got part of the way. A file that goes
// further than anything we have written is another matter: a folder that came
// to light late, by a mount for instance. Its numbers are taken, so ours of the
// same value are lost and we go on behind it.
func (w *writer) dropWritten() {
	s, j := w.store, w.journal
	foreign := s.last > s.attempted
	if foreign {
		j.mu.Lock()
		j.next = max(j.next, s.last+1)
		for _, e := range w.batch {
			if e.Seq <= s.last {
				j.lose(e, errors.New("the folder already held events of these numbers"))
			}
		}
		j.mu.Unlock()
	}
	for len(w.batch) > 0 && w.batch[0].Seq <= s.last {
		w.batch = w.batch[1:]
	}
}

// writeFailed keeps the trouble for Health and sets the time of the next
// attempt.
func (w *writer) writeFailed(err error) {
	if w.writeErr == nil || w.writeErr.Error() != err.Error() {
		w.journal.opts.Logger.Error("cannot write the journal; trying again", telemetry.KeyError, err)
	}
	w.writeErr = err
	w.pause = min(max(firstRetry, 2*w.pause), lastRetry)
	w.retryAt = time.Now().Add(w.pause)
	w.publish()
}

// writeDone ends the trouble, if there was any.
func (w *writer) writeDone() {
	if w.writeErr != nil {
		w.journal.opts.Logger.Info("the journal is written again")
		w.writeErr, w.pause, w.retryAt = nil, 0, time.Time{}
		w.publish()
	}
	w.announce()
}

// tellLost records what trouble has cost, and tells whether it has cost
// anything. It is called when the ring is empty: in a full one this event
// would push out another.
func (w *writer) tellLost() bool {
	j := w.journal
	j.mu.Lock()
	lost := j.lost
	j.lost = loss{}
	j.mu.Unlock()
	if lost.count == 0 {
		return false
	}
	e := Event{
		Kind:    JournalTrouble,
		Cause:   "not_written",
		Message: fmt.Sprintf("%d events, of numbers %d to %d, could not be written to the journal", lost.count, lost.first, lost.last),
		Fields:  map[string]any{"lost": lost.count, "first": lost.first, "last": lost.last},
	}
	if lost.cause != nil {
		e.Message += ": " + lost.cause.Error()
	}
	w.record(e)
	return true
}

// announce records and logs what the store has found and done.
func (w *writer) announce() {
	for _, e := range w.store.notes {
		w.journal.opts.Logger.Warn(e.Message, telemetry.KeyCause, e.Cause)
		w.record(e)
	}
	w.store.notes = nil
}

// record is Record, except that it also works while the journal closes: what
// the last write has to say is then written, too.
func (w *writer) record(e Event) {
	e = clean(e)
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	w.journal.add(e)
}

func (w *writer) syncIfDue() {
	if !w.syncAt.IsZero() && !time.Now().Before(w.syncAt) {
		w.sync()
	}
}

func (w *writer) sync() {
	err := w.store.sync()
	w.syncAt = time.Time{}
	if err != nil {
		w.syncAt = time.Now().Add(lastRetry)
		if w.syncErr == nil {
			w.journal.opts.Logger.Error("cannot sync the journal; trying again", telemetry.KeyError, err)
		}
	}
	if err != w.syncErr {
		w.syncErr = err
		w.publish()
	}
}

// publish makes the trouble known to Health.
func (w *writer) publish() {
	health := errors.Join(w.writeErr, w.syncErr)
	w.journal.mu.Lock()
	w.journal.health = health
	w.journal.tellSettled()
	w.journal.mu.Unlock()
	if w.journal.opts.OnHealth != nil {
		w.journal.opts.OnHealth(health)
	}
}

// finish syncs and closes the files and counts what is left.
func (w *writer) finish() {
	if !w.syncAt.IsZero() {
		w.sync()
	}
	if err := w.store.close(); err != nil && w.syncErr == nil {
		w.syncErr = err
	}
	w.publish()
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ever += j.left()
	j.opts.Metrics.JournalLost(j.left())
}
