package store

import "time"

// WithClock makes a store take its time from now.
func WithClock(o Options, now func() time.Time) Options {
	o.now = now
	return o
}

// Pooled is how many bytes kopia keeps for buffers to come, and whether its pool
// was found.
func Pooled() (bytes int, found bool) {
	p := buffers.Load()
	if p == nil {
		return 0, false
	}
	return p.size(), true
}

// WithStep has step called after each change of a store's folder.
func WithStep(o Options, step func(string)) Options {
	o.step = step
	return o
}

// Follow writes to a folder's ledger like one that has looked when before was the
// present version.
func Follow(l Ledger, name string, value []byte, before uint64) (string, error) {
	return l.(*folderLedger).follow(name, value, before)
}

// FillLikeKopia has a store fill its packs as kopia does by itself.
func FillLikeKopia(s Store) bool { return fillPacks(s.(*kopiaStore).repo, 4096) }

// SetPatience changes the patience of a store that is not in use now.
func SetPatience(s Store, d time.Duration) { s.(*kopiaStore).guard.patience = d }
