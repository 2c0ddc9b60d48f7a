package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/capture"
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
	if k.opts.Supervisor.Looked(ctx) != nil {
		return // ctx has ended
	}
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { k.watch(ctx) }) // ends with ctx
	others.Go(func() { k.try(ctx) })   // likewise
	timer := time.NewTimer(0)
	defer timer.Stop()
	now := time.Now()
	w := worker{k: k, scan: now, sweep: now, maintain: now.Add(maintainEvery / 24)}
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		next := w.step(ctx)
		timer.Reset(max(0, time.Until(next)))
	}
}

// watch looks at each new state of the gateway, until ctx or the supervisor ends.
func (k *Keeper) watch(ctx context.Context) {
	var seen gateway.Status
	for {
		st, err := k.opts.Supervisor.WaitFor(ctx, func(st gateway.Status) bool {
			return st.State != seen.State || st.Generation != seen.Generation
		})
		if err != nil {
			return
		}
		seen = st
		k.dropOldWish(st)
		if st.State == gateway.Ready {
			k.Ready(st.Generation) // the word of it may have been another creel's
		}
		if err := k.rescue(ctx, st); err != nil && ctx.Err() == nil {
			k.log.Warn("the gateway was given up on a restored state, and cannot be started on the old one by itself", "error", err)
		}
		k.nudge()
	}
}

// dropOldWish forgets a restore that was asked for from a creel before this one if
// the instance of then still runs: its state has gone on since, and must not be
// replaced when it ends, whenever that may be.
//
// Another restore may be asked for at this moment. So the wish that New has found is
// looked for in the change itself, and no other one is taken for it.
func (k *Keeper) dropOldWish(st gateway.Status) {
	w := k.oldWish
	if !w.is(k.record.get().Wish) || st.PID == 0 || st.Generation > w.Generation {
		return
	}
	message := fmt.Sprintf("the restore that was asked for at %s was not begun before creel ended, and is forgotten; ask again", w.At.Format(time.RFC3339))
	dropped := false
	err := k.record.change(func(n *record) {
		if dropped = w.is(n.Wish); dropped {
			n.Wish = nil
		}
	})
	if err != nil {
		k.log.Error("a restore that was asked for earlier cannot be forgotten", "error", err)
		return
	}
	if !dropped {
		return
	}
	k.event(event.RestoreFailed, message, nil)
	k.set(TroubleRestore, message)
}

// try ends trials as soon as an instance is ready, however long a snapshot takes
// meanwhile.
func (k *Keeper) try(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.proof:
		case <-again.C:
		}
		if err := k.prove(); err != nil {
			k.log.Warn("a restore has come to its end, but that cannot be noted; trying again", "error", err)
			again.Reset(proveEvery)
		}
	}
}

// proveEvery is the pause between two attempts to note the end of a trial.
const proveEvery = 5 * time.Second

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
	accept   time.Time // the store is not told of a restore before
	retry    time.Time // no attempt before
	pause    time.Duration
	stopped  bool // the gateway was stopped when it was looked at last
}

// idleEvery is how often step looks again when it may take no snapshot: each new
// state of the gateway wakes it besides.
const idleEvery = time.Minute

// step does what is due, and says when something is due next.
func (w *worker) step(ctx context.Context) time.Time {
	k := w.k
	st := k.opts.Supervisor.Status()
	next := time.Now().Add(idleEvery)
	// A state on trial is in the store already, and may be put away yet.
	if r := k.record.get(); !k.opts.Manual && r.Lineage != "" && r.Trial == 0 {
		switch st.State {
		case gateway.Ready, gateway.Backoff:
			w.snapshot(ctx, false)
			next = w.scan
		case gateway.Stopped, gateway.Failed:
			w.snapshot(ctx, true)
			next = w.scan
		}
	}
	now := time.Now()
	if k.record.get().Accepted != nil {
		if !now.Before(w.accept) {
			w.accept = now.Add(acceptEvery)
			w.tried("accept", k.tellAccepted(ctx))
		}
		if w.accept.Before(next) {
			next = w.accept
		}
	}
	if !now.Before(w.sweep) {
		w.tried("sweep", k.sweep(ctx))
		if k.record.get().Last != "" {
			w.tried("review", k.reviewShrunk(ctx))
		}
		w.sweep = now.Add(sweepEvery)
	}
	if !now.Before(w.maintain) {
		w.tried("maintain", k.Maintain(ctx))
		w.maintain = now.Add(maintainEvery)
	}
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
	mark, err := k.look(ctx)
	now := time.Now()
	w.scan = now.Add(max(scanEvery, time.Duration(float64(now.Sub(begun))/scanShare)))
	if err != nil {
		w.stopped = w.stopped && !justStopped // it is to be saved yet
		k.unseen(ctx, err)
		return
	}
	k.clear(TroubleLook)
	c := k.noteMark(mark, now)
	changed := !c.first.IsZero()
	due, again := k.settings().Schedule.due(c, now)
	reason := store.OnChange
	if every := k.settings().Schedule.Every; every > 0 && now.Sub(c.first) >= every {
		reason = store.OnInterval
	}
	if justStopped && changed {
		due, reason = true, store.OnStop
	}
	if !again.IsZero() && again.Before(w.scan) {
		w.scan = again
	}
	k.overdue(c, now)
	if !due {
		return
	}
	if now.Before(w.retry) {
		w.stopped = w.stopped && !justStopped // it is to be saved yet
		return
	}
	if missing, err := k.missing(); missing && err == nil {
		return // that it is gone is seen to by the next launch, and is no change to save
	}
	if _, err := k.Create(ctx, Request{Reason: reason}); err != nil {
		w.pause = min(max(firstRetry, 2*w.pause), lastRetry)
		w.retry = time.Now().Add(w.pause)
		w.stopped = w.stopped && !justStopped
		return // said already
	}
	w.pause, w.retry = 0, time.Time{}
	_, err = k.Prune(ctx, false)
	w.tried("prune", err)
}

// unseen says that changes of the state cannot be seen. While another creel captures
// it that is as it should be.
func (k *Keeper) unseen(ctx context.Context, err error) {
	if _, busy := errors.AsType[*capture.BusyError](err); busy || ctx.Err() != nil {
		return
	}
	k.set(TroubleLook, "it cannot be seen whether the gateway's state has changed, and nothing is saved by itself: "+err.Error())
}

// tried logs what failed and is tried again.
func (w *worker) tried(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrEnding) {
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
func (k *Keeper) forgetChanges() {
	k.turns.Add(1)
	k.savedAs("")
}
