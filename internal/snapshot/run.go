package snapshot

import (
	"context"
	"errors"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// The rhythm of Run.
const (
	// scanEvery is how often the state is looked at for changes, and scanShare
	// the part of the time that may go into that: a look at a million files is
	// rarer.
	scanEvery = 10 * time.Second
	scanShare = 0.02
	// firstRetry is the pause after a snapshot that failed; it doubles up to
	// lastRetry.
	firstRetry = time.Minute
	lastRetry  = 30 * time.Minute
	// maintainEvery is how often the store gives space back, and sweepEvery how
	// often states that were set aside are looked at.
	maintainEvery = 24 * time.Hour
	sweepEvery    = time.Hour
	// overdueAfter times Schedule.Every is when an unsaved change is trouble.
	overdueAfter = 4
)

// Run takes snapshots by themselves, ends trials and looks after the store, until
// ctx ends. It must be called once. What it has begun is called off then.
func (k *Keeper) Run(ctx context.Context) {
	watching := make(chan struct{})
	go func() { // ends with ctx
		defer close(watching)
		k.watch(ctx)
	}()
	defer func() { <-watching }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	w := worker{k: k, scan: time.Now(), sweep: time.Now(), maintain: time.Now().Add(maintainEvery / 24)}
	for {
		select {
		case <-ctx.Done():
			return
		case g := <-k.proof:
			w.tried("prove", k.prove(ctx, g))
		case <-k.wake:
		case <-timer.C:
		}
		next := w.step(ctx)
		timer.Reset(max(0, time.Until(next)))
	}
}

// watch nudges Run with each new state of the gateway, until ctx or the
// supervisor ends.
func (k *Keeper) watch(ctx context.Context) {
	seen := gateway.State("")
	for {
		st, err := k.opts.Supervisor.WaitFor(ctx, func(st gateway.Status) bool { return st.State != seen })
		if err != nil {
			return
		}
		seen = st.State
		k.nudge()
	}
}

func (k *Keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default: // it is awake, or about to be
	}
}

// worker is what Run knows. It belongs to Run's goroutine.
type worker struct {
	k        *Keeper
	scan     time.Time // when the state is looked at next
	sweep    time.Time
	maintain time.Time
	retry    time.Time // no attempt before
	pause    time.Duration
	stopped  bool // the gateway was stopped when it was looked at last
}

// step does what is due, and says when something is due next.
func (w *worker) step(ctx context.Context) time.Time {
	k := w.k
	st := k.opts.Supervisor.Status()
	// The status says it too if the word of it was lost.
	if st.State == gateway.Ready {
		w.tried("prove", k.prove(ctx, st.Generation))
	}
	rests := st.State == gateway.Stopped || st.State == gateway.Failed
	if (st.State == gateway.Ready || rests) && !k.opts.Manual && k.record.get().Lineage != "" {
		w.snapshot(ctx, rests)
	}
	now := time.Now()
	if !now.Before(w.sweep) {
		w.tried("sweep", k.sweep(ctx))
		w.sweep = now.Add(sweepEvery)
	}
	if !now.Before(w.maintain) {
		w.tried("maintain", k.Maintain(ctx))
		w.maintain = now.Add(maintainEvery)
	}
	next := w.scan
	for _, t := range []time.Time{w.sweep, w.maintain} {
		if t.Before(next) {
			next = t
		}
	}
	return next
}

// snapshot looks for changes, and takes a snapshot if one is due. A gateway that
// has come to rest is saved at once: nothing will change any more.
func (w *worker) snapshot(ctx context.Context, rests bool) {
	k := w.k
	justStopped := rests && !w.stopped
	w.stopped = rests
	if now := time.Now(); now.Before(w.scan) && !justStopped {
		return
	}
	begun := time.Now()
	changed, err := k.capture.Changed(ctx)
	if err != nil {
		w.tried("scan", err)
		changed = true // it will be told by the capture why
	}
	now := time.Now()
	w.scan = now.Add(max(scanEvery, time.Duration(float64(now.Sub(begun))/scanShare)))
	c := k.noteScan(changed, now)
	due, again := k.opts.Schedule.due(c, now)
	reason := store.OnChange
	if c.last.Sub(c.first) >= k.opts.Schedule.Every {
		reason = store.OnInterval
	}
	if justStopped && changed {
		due, reason = true, store.OnStop
	}
	if !again.IsZero() && again.Before(w.scan) {
		w.scan = again
	}
	k.overdue(c, now)
	if !due || now.Before(w.retry) {
		return
	}
	if _, err := k.Create(ctx, Request{Reason: reason}); err != nil {
		w.pause = min(max(firstRetry, 2*w.pause), lastRetry)
		w.retry = time.Now().Add(w.pause)
		return // said already
	}
	w.pause, w.retry = 0, time.Time{}
	w.tried("prune", second(k.Prune(ctx, false)))
}

func second[T any](_ T, err error) error { return err }

// tried logs what failed and is tried again.
func (w *worker) tried(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		w.k.log.Warn("cannot look after the gateway's snapshots; trying again later", "what", what, "error", err)
	}
}

// noteScan keeps what a look at the state has shown.
func (k *Keeper) noteScan(changed bool, now time.Time) changes {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !changed:
		k.changes.first, k.changes.last = time.Time{}, time.Time{}
	case k.changes.first.IsZero():
		k.changes.first, k.changes.last = now, now
	}
	return k.changes
}

// forgetChanges says that the present state was saved, or is another.
func (k *Keeper) forgetChanges() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes = changes{saved: time.Now()}
}
