package store

import "time"

// WithClock makes a store take its time from now.
func WithClock(o Options, now func() time.Time) Options {
	o.now = now
	return o
}
