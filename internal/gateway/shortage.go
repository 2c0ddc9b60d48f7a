package gateway

import (
	"context"
	"errors"
	"time"
)

// Pauses between attempts at a launch that fails for want of something that the
// machine lacks: room on the disk, descriptors, memory. The first is short, since
// whoever is told of it (Options.Shortage) may have something in reserve.
const (
	firstShortagePause = 50 * time.Millisecond
	lastShortagePause  = time.Second
)

// short tells whether an error speaks of something that the machine lacks, and
// may have again in a moment.
func (s *Supervisor) short(err error) bool {
	var keeper *keeperError
	if errors.As(err, &keeper) {
		return false
	}
	return err != nil && s.opts.Shortage != nil && s.opts.Shortage(err)
}

// keeperError is an error of the Keeper's. A restore is not for trying every
// second, whatever it lacks.
type keeperError struct{ err error }

func (e *keeperError) Error() string { return e.err.Error() }
func (e *keeperError) Unwrap() error { return e.err }

// patiently does a part of a launch, again and again while it fails for want of
// something. Such a failure says nothing of the gateway: it counts for no crash
// loop, and the gateway comes back as soon as the want is over. Nothing is
// started meanwhile, for an instance whose number or record is not on disk could
// not be found again by the next creel (I1).
func (s *Supervisor) patiently(ctx context.Context, do func() error) error {
	for pause := firstShortagePause; ; pause = min(2*pause, lastShortagePause) {
		err := do()
		if !s.short(err) {
			return err
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return err
		}
	}
}
