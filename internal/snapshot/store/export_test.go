package store

import "time"

// WithClock makes a store take its time from now.
func WithClock(o Options, now func() time.Time) Options {
	o.now = now
	return o
}

// Follow writes to a folder's ledger like one that has looked when before was the
// present version.
func Follow(l Ledger, name string, value []byte, before uint64) (string, error) {
	return l.(*folderLedger).follow(name, value, before)
}
