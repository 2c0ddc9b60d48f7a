package snapshot

import "time"

// Schedule says when snapshots are taken by themselves.
type Schedule struct {
	// Settle is how long the state must have been quiet after a change; 0: a
	// change alone is no reason.
	Settle time.Duration
	// Every is the longest that a change goes unsaved, however restless the
	// state is; 0: no bound.
	Every time.Duration
	// Apart is the shortest time between two snapshots that nobody asked for.
	Apart time.Duration
}

// changes is what is known of a state since its last snapshot.
type changes struct {
	first time.Time // when the first change was seen; zero: none
	last  time.Time // when the last one was seen
	saved time.Time // when the last snapshot was taken; zero: never
	// mark is what the state looked like last, savedMark in the last snapshot;
	// empty: not known.
	mark, savedMark string
}

// due tells whether it is time for a snapshot, and else when to look again at the
// latest. Times come from one clock; one that was set back delays nothing by
// more than the delay itself.
func (s Schedule) due(c changes, now time.Time) (is bool, again time.Time) {
	if c.first.IsZero() || s.Settle <= 0 && s.Every <= 0 {
		return false, time.Time{}
	}
	at := time.Time{}
	if s.Settle > 0 {
		at = c.last.Add(s.Settle)
	}
	if s.Every > 0 {
		if limit := c.first.Add(s.Every); at.IsZero() || limit.Before(at) {
			at = limit
		}
	}
	if apart := c.saved.Add(s.Apart); !c.saved.IsZero() && apart.After(at) {
		at = apart
	}
	if !at.After(now) {
		return true, time.Time{}
	}
	return false, at
}
