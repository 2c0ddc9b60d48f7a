package event

import (
	"context"
	"fmt"
	"iter"
	"time"

	"creel/internal/telemetry"
)

// Gap stands in a subscription for events that it could not be given: the
// subscriber was slow, and the files lack them too. Its number is that of the
// last missing event, so that whoever goes on from it misses nothing else. It
// is in no file.
const Gap Kind = "gap"

// subscribeBatch is how many events a subscription takes at a time.
const subscribeBatch = 64

// Subscribe yields the events with a number above after, oldest first, and
// then each new one when it comes. After 0 it begins with the oldest event
// that is kept; LastSeq gives the place to begin with new ones only.
//
// It runs in the goroutine that ranges over it and ends with ctx, or, once
// all has been yielded, when the journal is closed. However slow the loop is,
// it delays nobody else: what has left memory meanwhile comes from the files,
// and if it is not there either, one Gap event stands for it. Fields are shared
// and must not be changed.
func (j *Journal) Subscribe(ctx context.Context, after uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		s := &subscription{journal: j, last: after, begun: after > 0, yield: yield}
		for ctx.Err() == nil {
			batch, oldest, changed := j.follow(s.last)
			if oldest > s.last+1 {
				before := s.last
				if !s.catchUp(ctx, oldest) {
					return
				}
				if s.last > before {
					continue // memory has moved on meanwhile
				}
			}
			for _, e := range batch {
				if ctx.Err() != nil || !s.give(e) {
					return
				}
			}
			if len(batch) > 0 {
				continue
			}
			if changed == nil {
				return // closed
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// follow returns the next events above seq and the number of the oldest one in
// memory. If there is none, changed is closed when there is, or nil if there
// will be none.
func (j *Journal) follow(seq uint64) (batch []Event, oldest uint64, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	batch, oldest = j.ring.after(seq, subscribeBatch), j.ring.oldestSeq()
	if len(batch) > 0 || j.closed {
		return batch, oldest, nil
	}
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return nil, oldest, j.changed
}

// subscription is one loop's place in the journal.
type subscription struct {
	journal *Journal
	last    uint64 // number of the last event given
	begun   bool   // numbers above last are missing if they do not come
	yield   func(Event) bool
}

// catchUp gives events from the files, up to the oldest one in memory. It
// tells whether to go on.
func (s *subscription) catchUp(ctx context.Context, oldest uint64) bool {
	for e, err := range readFiles(s.journal.opts.Dir, s.last) {
		if err != nil {
			// What is missing shows as a gap.
			s.journal.opts.Logger.Warn("cannot read part of the journal for a subscriber", telemetry.KeyError, err)
			continue
		}
		if e.Seq >= oldest {
			return true
		}
		if ctx.Err() != nil || !s.give(e) {
			return false
		}
	}
	return true
}

// give yields e, and before it a gap if numbers are missing. It tells whether
// to go on.
func (s *subscription) give(e Event) bool {
	if missing := e.Seq - s.last - 1; s.begun && missing > 0 {
		gap := Event{
			Seq:     e.Seq - 1,
			Time:    time.Now().UTC().Round(0),
			Kind:    Gap,
			Message: fmt.Sprintf("%d events, of numbers %d to %d, are missing here", missing, s.last+1, e.Seq-1),
			Fields:  map[string]any{"missing": missing, "first": s.last + 1, "last": e.Seq - 1},
		}
		s.last = gap.Seq
		if !s.yield(gap) {
			return false
		}
	}
	s.begun, s.last = true, e.Seq
	return s.yield(e)
}
