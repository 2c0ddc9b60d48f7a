package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
)

// strikes is how often an instance of the new version may end by itself: once may
// be bad luck, or what OpenClaw's doctor mends.
const strikes = 2

// innocent are causes of an end that say nothing about the version.
var innocent = []gateway.Cause{gateway.CauseAsked, gateway.CauseCreelAway, gateway.CausePortTaken, gateway.CauseOwnedElsewhere, gateway.CauseOwnerUnknown}

// errTooLong ends a trial.
var errTooLong = errors.New("the trial of the new version took too long")

// judge watches the instances of the new version. failure says why it does not work;
// empty: it does. The error is ctx's, or that of a supervisor that has ended. While a
// person has the gateway stopped it waits, and then begins with all of the time.
func (u *Upgrader) judge(ctx context.Context, trial *openclaw.Trial, progress func(Step)) (failure string, err error) {
	j := jury{after: trial.Generation}
	for {
		failure, err := u.watch(ctx, &j, trial, progress)
		if !errors.Is(err, errStopped) {
			return failure, err
		}
		if err := u.wanted(ctx); err != nil {
			return "", err
		}
	}
}

// errStopped says that a person has stopped the gateway.
var errStopped = errors.New("the gateway was stopped")

// watch is judge until a person stops the gateway (errStopped).
func (u *Upgrader) watch(ctx context.Context, j *jury, trial *openclaw.Trial, progress func(Step)) (failure string, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, u.opts.Most, errTooLong)
	defer cancel()
	for {
		st, err := u.opts.Gateway.WaitFor(limited, func(st gateway.Status) bool { return st.StopAsked || j.sees(st) })
		switch {
		case ctx.Err() != nil: // WaitFor does not look at it while what it waits for holds
			return "", context.Cause(ctx)
		case err == nil && st.StopAsked:
			j.counts(st) // not again after the stop
			return "", errStopped
		case limited.Err() != nil:
			return fmt.Sprintf("it was not well within %v: %s", u.opts.Most, st.Reason), nil
		case err != nil:
			return "", err
		}
		if failure := j.counts(st); failure != "" {
			return failure, nil
		}
		if st.State != gateway.Ready {
			continue
		}
		progress(Step{Step: Watching, Message: fmt.Sprintf("OpenClaw %s is ready; it has to stay well for %v", trial.To, u.opts.Healthy)})
		well, cancel := context.WithTimeoutCause(limited, u.opts.Healthy, errWell)
		now, err := u.opts.Gateway.WaitFor(well, func(now gateway.Status) bool {
			return now.State != gateway.Ready || now.Generation != st.Generation
		})
		cancel()
		if errors.Is(err, errWell) {
			return "", nil
		}
		if failure := j.counts(now); failure != "" {
			return failure, nil
		}
	}
}

var errWell = errors.New("it has stayed well")

// wanted waits while the gateway is stopped because a person wants that. Whether a
// version works is seen only where it runs.
func (u *Upgrader) wanted(ctx context.Context) error {
	_, err := u.opts.Gateway.WaitFor(ctx, func(st gateway.Status) bool { return !st.StopAsked })
	if err == nil && ctx.Err() != nil { // WaitFor does not look at it while what it waits for holds
		err = context.Cause(ctx)
	}
	return err
}

// jury counts the ends of instances that were launched after one.
type jury struct {
	after uint64
	seen  time.Time // the end that was counted last
	ends  int
}

func (j *jury) fresh(st gateway.Status) bool {
	return st.LastEnd != nil && st.LastEnd.Generation > j.after && st.LastEnd.At.After(j.seen)
}

// sees tells whether there is something to judge.
func (j *jury) sees(st gateway.Status) bool {
	return st.Generation > j.after && (st.State == gateway.Ready || st.State == gateway.Failed || j.fresh(st))
}

// counts takes the last end into account, and says why it is the last straw.
func (j *jury) counts(st gateway.Status) (failure string) {
	if !j.fresh(st) {
		if st.State == gateway.Failed && st.Generation > j.after {
			return st.Reason
		}
		return ""
	}
	end := st.LastEnd
	j.seen = end.At
	if end.Benign || slices.Contains(innocent, end.Cause) {
		return ""
	}
	j.ends++
	if end.Cause == gateway.CauseNotReady || st.State == gateway.Failed || j.ends >= strikes {
		return end.Message
	}
	return ""
}
