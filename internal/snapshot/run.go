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
	mark, err := k.capture.Mark(ctx)
	now := time.Now()
	w.scan = now.Add(max(scanEvery, time.Duration(float64(now.Sub(begun))/scanShare)))
	if err != nil { // another capture is under way, or the state cannot be read now
		w.tried("scan", err)
		return
	}
	c := k.noteMark(mark, now)
	changed := !c.first.IsZero()
	due, again := k.settings().Schedule.due(c, now)
	reason := store.OnChange
	if c.last.Sub(c.first) >= k.settings().Schedule.Every {
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
	_, err = k.Prune(ctx, false)
	w.tried("prune", err)
}

// tried logs what failed and is tried again.
func (w *worker) tried(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		w.k.log.Warn("cannot look after the gateway's snapshots; trying again later", "what", what, "error", err)
	}
}

// noteMark keeps what a look at the state has shown.
func (k *Keeper) noteMark(mark string, now time.Time) changes {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case mark == k.changes.savedMark:
		k.changes.first, k.changes.last = time.Time{}, time.Time{}
	case k.changes.first.IsZero():
		k.changes.first, k.changes.last = now, now
	case mark != k.changes.mark:
		k.changes.last = now
	}
	k.changes.mark = mark
	return k.changes
}

// savedAs says that a snapshot has the state of that mark.
func (k *Keeper) savedAs(mark string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes = changes{saved: time.Now(), savedMark: mark}
}

// forgetChanges says that the state is that of a snapshot, but no longer, or not
// yet, which files that are.
func (k *Keeper) forgetChanges() { k.savedAs("") }
