package daemon

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestSettled: a successor that cannot go on, before it was said to be in charge, says so,
// and its predecessor takes the gateway back. One that is slow, or that was asked to stop,
// is in charge.
func TestSettled(t *testing.T) {
	errInstall := errors.New("OpenClaw cannot be installed")
	errGone := errors.New("the supervisor has ended")
	for name, test := range map[string]struct {
		end  error // of serve's context
		err  error // of the wait
		late bool  // the wait is over because its time is
		want error
	}{
		"well":             {},
		"slow":             {late: true, err: context.DeadlineExceeded},
		"gone":             {err: errGone, want: errGone},
		"cannot go on":     {end: errInstall, err: errInstall, want: errInstall},
		"cannot, and well": {end: errInstall, want: errInstall},
		"asked to stop":    {end: context.Canceled, err: context.Canceled},
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		limited, cancel := context.WithTimeout(ctx, time.Hour)
		if test.late {
			cancel()
		}
		if test.end != nil {
			stop(test.end)
		}
		if got := settled(ctx, limited, test.err); !errors.Is(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%s: %v", name, got)
		}
		cancel()
		stop(nil)
	}
}

// TestCalledOff: of an upgrade that creel's end has called off it is told why creel ends,
// and whether it has lost the gateway, not what the end has broken.
func TestCalledOff(t *testing.T) {
	errInstall := errors.New("OpenClaw cannot be installed")
	errBroken := errors.New(`did not say "ready" in time`)
	for _, test := range []struct {
		end, err, want error
		lost           bool
	}{
		{end: context.Canceled, err: errBroken, want: errStopping},
		{end: errInstall, err: errBroken, want: errInstall},
		{end: context.Canceled, err: errors.Join(errBroken, errNoEngine), want: errStopping, lost: true},
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		stop(test.end)
		got := calledOff(ctx, test.err)
		if !errors.Is(got, test.want) || errors.Is(got, errNoEngine) != test.lost || errors.Is(got, errBroken) != test.lost {
			t.Errorf("%v, %v: %v", test.end, test.err, got)
		}
	}
}
