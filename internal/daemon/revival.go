package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
)

// revival starts channels that OpenClaw has left off after crashes.
type revival struct {
	beside
	client  *rpc.Client
	reviver openclaw.Reviver
	ended   uint64 // the last generation whose end was looked at
}

// The pace of a revival.
const (
	// reviveTime bounds the work on one boot.
	reviveTime = time.Minute
	// reviveAgain is the pause after an attempt that failed.
	reviveAgain = time.Second
	// quietFruitless is how many fruitless instances in a row are no sign of a
	// crash loop: the supervisor pauses after the second.
	quietFruitless = 1
	// livesFor is how long an instance has to live whose predecessors have died
	// fruitlessly before its channels are started. The bar for that is 5 s after it was
	// ready; a gateway that its channels bring down is the Reviver's to find out.
	livesFor = 3 * time.Second
)

// run looks at each boot, once it can be talked to, until ctx ends.
func (r *revival) run(ctx context.Context) {
	var generation uint64
	boots := 0
	other := func(v rpc.View) bool { return v.Connected && (v.Generation != generation || v.Boots != boots) }
	for {
		v, err := r.client.WaitFor(ctx, other)
		if err != nil {
			return
		}
		if v.Boots > 1 {
			r.record(event.Rebooted, v.Generation, "OpenClaw has restarted within its process", map[string]any{"boot_id": v.Hello.BootID})
		}
		generation, boots = v.Generation, v.Boots
		present := func(v rpc.View) bool { return v.Generation != generation || v.Boots != boots }
		boot, over := context.WithCancel(ctx)
		gone := make(chan struct{})
		go func() { // ends with over
			defer close(gone)
			if _, err := r.client.WaitFor(boot, present); err == nil {
				over() // the work on a boot ends with it
			}
		}()
		r.boot(boot, v)
		over()
		<-gone
	}
}

// boot brings the channels of one boot up.
func (r *revival) boot(ctx context.Context, v rpc.View) {
	if end := r.gateway.Status().LastEnd; end != nil && end.Generation > r.ended {
		r.ended = end.Generation
		r.reviver.Ended(end.Generation, end.At, string(end.Cause))
	}
	off, err := r.suppressed(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Warn("it is not known whether OpenClaw has left channels off", "generation", v.Generation, "error", err)
		}
		return
	}
	if len(off) == 0 {
		return
	}
	fields := map[string]any{"channels": off}
	if !r.reviver.Allowed() {
		r.record(event.ChannelsOff, v.Generation, fmt.Sprintf(
			"channels stay off (%s): OpenClaw has ended by itself %d times running, right after creel had started them; they are tried again when it has lived for %v without them. "+
				"Now at once: creel openclaw exec -- gateway call channels.start --params '{\"channel\":\"%s\"}'",
			strings.Join(off, ", "), openclaw.Patience, openclaw.Amends, off[0]), fields)
		select {
		case <-time.After(openclaw.Amends):
			r.reviver.Forgive()
		case <-ctx.Done():
			return
		}
	}
	if r.quiet(ctx, v.Generation) {
		r.revive(ctx, v.Generation, off)
	}
}

// quiet waits for creel's own breaker: while it pauses between starts nothing is added
// to an instance, until that has lived for a moment. It tells whether the instance is
// the present one still.
func (r *revival) quiet(ctx context.Context, generation uint64) bool {
	moment, cancel := context.WithTimeout(ctx, livesFor)
	defer cancel()
	st, err := r.gateway.WaitFor(moment, func(st gateway.Status) bool { return st.Generation != generation || st.Fruitless <= quietFruitless })
	return ctx.Err() == nil && (err != nil || st.Generation == generation)
}

// suppressed asks until it gets an answer, for a moment.
func (r *revival) suppressed(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, reviveTime)
	defer cancel()
	for {
		off, err := openclaw.Suppressed(ctx, r.gateway.Status().Addr)
		if err == nil || ctx.Err() != nil {
			return off, err
		}
		select {
		case <-time.After(reviveAgain):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// revive starts what is off, and says so.
func (r *revival) revive(ctx context.Context, generation uint64, off []string) {
	ctx, cancel := context.WithTimeout(ctx, reviveTime)
	defer cancel()
	r.reviver.Started(generation, time.Now())
	var on, failed []string
	var errs []error
	for {
		list, err := openclaw.Revive(ctx, r.client, off)
		for _, one := range list {
			if one.Err != nil {
				failed, errs = append(failed, one.String()), append(errs, fmt.Errorf("%s: %w", one, one.Err))
			} else {
				on = append(on, one.String())
			}
		}
		if err == nil {
			break
		}
		select {
		case <-time.After(reviveAgain):
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.Canceled) { // else the boot is over, or creel ends
				errs = append(errs, err)
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(on) > 0 {
		r.record(event.ChannelsOn, generation, "channels were off after several crashes in a row; creel has started them: "+strings.Join(on, ", "), map[string]any{"channels": on})
	}
	if len(errs) > 0 {
		r.record(event.ChannelsOff, generation, "channels that are off after several crashes in a row cannot be started: "+errors.Join(errs...).Error(), map[string]any{"channels": failed})
	}
}
