package probe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Pace is how often Wait looks. Zero values mean the default.
type Pace struct {
	Refused time.Duration // after a refused connection; default 2 ms
	Eager   time.Duration // after another failure, for the first EagerFor; default 3 ms
	Steady  time.Duration // after that, and if a check could not be made; default 10 ms

	// Early is how long after the beginning of Wait pauses are shorter, in proportion to
	// the time gone by: an app that boots in 5 ms is not to wait 2 more for being found
	// out. After refused connections they are an eighth at least, after other failures,
	// which cost the app something too, a half. Default 1024 ms; <0: never.
	Early time.Duration

	// EagerFor is counted from the first failure that is not a refusal: most
	// apps are ready soon after they have begun to listen. Default 1 s.
	EagerFor time.Duration

	// Floor is the least pause once FloorAfter has passed since Wait began: for
	// apps that boot long, on a machine that has little to spare. 0: none.
	Floor      time.Duration
	FloorAfter time.Duration
}

// Defaults of Pace. They bound how long after being ready an instance is found
// to be so, and with it how long requests wait in vain.
const (
	DefaultRefused  = 2 * time.Millisecond
	DefaultEager    = 3 * time.Millisecond
	DefaultSteady   = 10 * time.Millisecond
	DefaultEagerFor = time.Second
	DefaultEarly    = 1024 * time.Millisecond
)

// SlowBoot is the pace for apps that take ten seconds or so to boot and need
// the processor for it.
var SlowBoot = Pace{Floor: 10 * time.Millisecond, FloorAfter: 2 * time.Second}

// ErrEnded is wrapped by Wait's error if the instance ended meanwhile.
var ErrEnded = errors.New("the instance ended")

// WaitError says that an instance did not come to be ready.
type WaitError struct {
	Waited time.Duration
	Cause  error // ErrEnded, or why the context ended
	Last   error // what the last whole check has seen; nil: there was none
}

func (e *WaitError) Error() string {
	text := fmt.Sprintf("not ready after %v", rounded(e.Waited))
	if e.Cause != nil && !errors.Is(e.Cause, context.DeadlineExceeded) {
		text += ": " + e.Cause.Error()
	}
	if e.Last == nil {
		return text
	}
	if e.Cause != nil && !errors.Is(e.Cause, context.DeadlineExceeded) {
		return text + "; last seen: " + e.Last.Error()
	}
	return text + ": " + e.Last.Error()
}

// Unwrap gives the cause and the last failure.
func (e *WaitError) Unwrap() []error {
	if e.Last == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Last}
}

// rounded leaves out what nobody reads.
func rounded(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// Wait checks p until it holds. It ends with a *WaitError when ctx ends, or
// when t.Done is closed because the instance has ended; both cut short a check
// under way. VerdictOf tells what the last whole check found.
func Wait(ctx context.Context, p Probe, t Target, pace Pace) error {
	s := newSleeper()
	defer s.close()
	return waitWith(ctx, s, p, t, pace)
}

func waitWith(ctx context.Context, s sleeper, p Probe, t Target, pace Pace) error {
	w := wait{pace: pace.withDefaults(), began: time.Now()}
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { // ends at the latest with Wait
		defer close(watched)
		select {
		case <-t.Done: // never, if it is nil
			cancel(ErrEnded)
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()
	for {
		if ctx.Err() != nil {
			return w.failed(context.Cause(ctx))
		}
		err := p.Check(ctx, t)
		if err == nil {
			return w.held(t)
		}
		if ctx.Err() != nil {
			return w.failed(context.Cause(ctx))
		}
		w.last = err
		s.sleep(ctx, w.pause(err, time.Now()))
	}
}

// wait is the state of one Wait.
type wait struct {
	pace   Pace
	began  time.Time
	listen time.Time // of the first failure that was not a refusal; zero: none
	last   error
}

// held is the result when the condition holds. If the instance has ended
// meanwhile, whoever answered was somebody else.
func (w *wait) held(t Target) error {
	select {
	case <-t.Done:
		return w.failed(ErrEnded)
	default:
		return nil
	}
}

func (w *wait) failed(cause error) error {
	return &WaitError{Waited: time.Since(w.began), Cause: cause, Last: w.last}
}

// pause is how long to wait after a check that failed with err.
func (w *wait) pause(err error, now time.Time) time.Duration {
	var d time.Duration
	switch VerdictOf(err) {
	case Refused:
		d = w.early(w.pace.Refused, w.pace.Refused/8, now)
	case Unchecked:
		d = w.pace.Steady
	default:
		if w.listen.IsZero() {
			w.listen = now
		}
		d = w.early(w.pace.Eager, w.pace.Eager/2, now)
		if now.Sub(w.listen) >= w.pace.EagerFor {
			d = w.pace.Steady
		}
	}
	if now.Sub(w.began) >= w.pace.FloorAfter {
		d = max(d, w.pace.Floor)
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		d = max(d, f.Every)
	}
	return d
}

// early is a pause of d, or less in the beginning, but at least that.
func (w *wait) early(d, least time.Duration, now time.Time) time.Duration {
	gone := now.Sub(w.began)
	if gone >= w.pace.Early {
		return d
	}
	return max(least, time.Duration(float64(d)*float64(gone)/float64(w.pace.Early)))
}

func (p Pace) withDefaults() Pace {
	p.Refused = orDefault(p.Refused, DefaultRefused)
	p.Eager = orDefault(p.Eager, DefaultEager)
	p.Steady = orDefault(p.Steady, DefaultSteady)
	p.EagerFor = orDefault(p.EagerFor, DefaultEagerFor)
	if p.Early == 0 {
		p.Early = DefaultEarly
	}
	return p
}
