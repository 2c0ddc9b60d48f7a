package fake

import (
	"context"
	"time"
)

// firstAfter waits until one of the moments that look gives is after another one, and
// says which. look also gives what is closed when there are more.
func firstAfter(ctx context.Context, moment time.Time, look func() (moments []time.Time, changed <-chan struct{})) (time.Time, error) {
	for {
		moments, changed := look()
		for _, at := range moments {
			if at.After(moment) {
				return at, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}
