package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/event"
	"creel/internal/health"
	"creel/internal/openclaw"
	"creel/internal/probe"
)

// What keeps creel from doing all of its work is known to a health.Registry,
// which shows it in the status and the metrics and tells the journal. creel goes
// on meanwhile:
//
//   - requests are passed on whatever the disk is like; bodies that the disk does
//     not take are kept in memory, within bounds, or else not kept;
//   - the journal is kept in memory, and written when it can be;
//   - a gateway that has to be started while nothing can be written waits for
//     that (gateway.Options.Shortage); a little room is in reserve for it;
//   - when descriptors run out, those in reserve serve the owner, the probes and
//     the next start; clients wait in the kernel's queue.
const (
	// lookEvery is how often the data folder is looked at, lookAgain the same
	// while something is wrong.
	lookEvery = 10 * time.Second
	lookAgain = 500 * time.Millisecond
)

// newHealth makes the registry.
func (d *daemon) newHealth() *health.Registry {
	return health.New(health.Options{
		Gauge: func(c health.Condition, holds bool) { d.metrics.Degraded(string(c), holds) },
		Changed: func(c health.Change) {
			if c.Severity == health.Info {
				d.log.Info(c.Sentence(), "condition", c.Condition, "hint", c.Hint)
				return
			}
			e := event.Event{Kind: event.Degraded, Gateway: d.cfg().Gateway.Name, Cause: string(c.Condition), Message: c.Sentence()}
			if c.Hint != "" {
				e.Fields = map[string]any{"hint": c.Hint}
			}
			if !c.Holds {
				e.Kind, e.Fields = event.Recovered, nil
			}
			d.log.Warn(e.Message, "event", e.Kind, "condition", c.Condition)
			d.journal.Record(e)
		},
	})
}

func (d *daemon) closeHealth() {
	if d.health != nil {
		d.health.Close()
		d.spare.Close()
	}
}

// conditionNames are what the metrics show from the start.
func conditionNames() []string {
	names := make([]string, len(health.Conditions))
	for i, c := range health.Conditions {
		names[i] = string(c)
	}
	return names
}

// watch looks after the data folder, the descriptors in reserve and the clock,
// until ctx ends.
func (d *daemon) watch(ctx context.Context) {
	clock := health.NewClock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.look:
		case <-ctx.Done():
			return
		}
		timer.Reset(d.lookAround(clock))
	}
}

// lookAround looks once, and says when to look again.
func (d *daemon) lookAround(clock *health.Clock) time.Duration {
	if jump := clock.Look(); jump != 0 {
		d.noteJump(jump)
	}
	wellFolder, wellFiles := d.disk.Look(), false
	if !d.health.Holds(health.Start) { // which may need what was given up for it
		wellFiles = d.spare.Refill()
	}
	if !wellFolder || !wellFiles {
		return lookAgain
	}
	return lookEvery
}

func (d *daemon) noteJump(jump time.Duration) {
	way := "forward"
	if jump < 0 {
		way = "back"
	}
	message := fmt.Sprintf("the wall clock went %s by %v: it was set, or the machine has slept; nothing waits longer or shorter for it", way, jump.Abs().Round(time.Second))
	d.log.Warn(message)
	d.journal.Record(event.Event{Kind: event.ClockJumped, Gateway: d.cfg().Gateway.Name, Message: message, Fields: map[string]any{"seconds": jump.Seconds()}})
}

// lookSoon has watch look at once.
func (d *daemon) lookSoon() {
	select {
	case d.look <- struct{}{}:
	default: // it is about to
	}
}

// shortage is gateway.Options.Shortage.
func (d *daemon) shortage(err error) bool {
	var install *openclaw.InstallError
	switch {
	case err == nil:
		d.health.Clear(health.Start)
		d.lookSoon()
		return false
	case !health.Passing(err), errors.As(err, &install):
		// An installation is not for trying every second; it says itself what it lacks.
		return false
	case health.Storage(err):
		d.disk.Release()
		d.disk.Failed(err)
	case health.NoDescriptors(err):
		d.spare.ReleaseAll(err)
	}
	var probing *probe.Failure
	if !errors.As(err, &probing) {
		d.health.Set(health.Start, health.Trouble, "the gateway cannot be started, let go on or cleared away yet: "+err.Error(), "nothing need be done for it but to end the want; it is tried again every second")
	}
	d.lookSoon()
	return true
}

// journalHealth is event.Options.OnHealth.
func (d *daemon) journalHealth(err error) {
	if err == nil {
		d.health.Clear(health.Journal)
		return
	}
	d.health.Set(health.Journal, health.Trouble, "the journal cannot be written: "+err.Error(), "events are kept in memory and written when it can be again")
	d.lookSoon()
}

// bodyDisk is proxy.Options.Disk.
func (d *daemon) bodyDisk(err error) {
	switch {
	case err != nil:
		d.health.Set(health.Bodies, health.Trouble, "bodies of requests cannot be kept on disk: "+err.Error(), "they are kept in memory as far as there is room; requests beyond that cannot be sent again after a crash")
		d.lookSoon()
	case d.health.Holds(health.Bodies):
		d.health.Clear(health.Bodies)
	}
}

// noDial is proxy.Options.NoDial.
func (d *daemon) noDial(err error) {
	if health.NoDescriptors(err) {
		d.spare.Release(0, err)
		d.lookSoon()
	}
}

// sparing is a probe that goes on when creel may have no more files open.
type sparing struct {
	probe.Probe
	spare *health.Spare
}

func (p sparing) Check(ctx context.Context, t probe.Target) error {
	err := p.Probe.Check(ctx, t)
	if health.NoDescriptors(err) && p.spare.Release(1, err) {
		err = p.Probe.Check(ctx, t)
	}
	return err
}
