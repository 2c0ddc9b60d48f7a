package owner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"creel/internal/event"
	"creel/internal/snapshot/store"
)

// Options are what an Owner needs. All but Journal, Trouble, Logger and Now must be
// set.
type Options struct {
	Gateway string
	Self    Self
	Path    string // file in the data folder for what is kept over restarts
	// Open opens the ledger; it is called again after it has failed.
	Open func(ctx context.Context) (store.Ledger, error)
	Term time.Duration
	// StopTime is how long the gateway may take to stop: to drain, to end, and to be
	// killed. It may change.
	StopTime func() time.Duration

	// Floor gives the highest fencing number that anything which was saved bears. It is
	// asked where there is no record of an owner, since one may have been lost: numbers
	// that begin anew would make what is saved from then on older than all from before.
	// May be nil.
	Floor func(ctx context.Context) (uint64, error)

	Journal Journal
	// Trouble is told what keeps the lease from being renewed, and the next step;
	// "": nothing, or no longer.
	Trouble func(message, hint string)
	Logger  *slog.Logger

	// Now is a clock that never goes back, for tests; nil: the time since boot.
	Now func() time.Duration
}

// Journal takes events.
type Journal interface{ Record(event.Event) }

// Owner holds the lease of one gateway, or waits for it. Its methods may be called
// from any goroutine.
type Owner struct {
	opts   Options
	now    func() time.Duration
	holder string
	begun  time.Duration
	every  time.Duration // enforceEvery
	wake   chan struct{} // capacity 1: look at once

	// owned by Run
	tried  attempt
	watch  watched
	behind time.Duration // of the pause after failures

	mu      sync.Mutex
	ledger  store.Ledger // nil: not open; opened by Run, or by Release after it
	looks   uint64       // at the record, that are over
	kept    kept
	owner   Record // as it was seen last; zero: none
	free    time.Duration
	problem error         // of the last look
	forced  bool          // somebody has asked to take over
	changed chan struct{} // closed with each look
}

// attempt is the last write whose answer may have been lost.
type attempt struct {
	nonce string
	at    time.Duration // before it
	kept  kept          // if it has succeeded
}

// watched is a record of another, and since when it has not changed.
type watched struct {
	version string
	since   time.Duration
}

// New makes an Owner that carries on with what an earlier one has kept. It touches
// no store.
func New(o Options) (*Owner, error) {
	if o.Now == nil {
		o.Now = sinceBoot
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Journal == nil {
		o.Journal = nobody{}
	}
	if o.Floor == nil {
		o.Floor = func(context.Context) (uint64, error) { return 0, nil }
	}
	if o.Trouble == nil {
		o.Trouble = func(string, string) {}
	}
	k, err := o.Self.open(o.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell who this creel is to others: %w", err)
	}
	w := &Owner{opts: o, now: o.Now, begun: o.Now(), every: enforceEvery, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	w.holder = o.Self.holder()
	if k.Holder != w.holder {
		k.Until = 0 // the clock of another boot
	}
	w.kept = k
	return w, nil
}

type nobody struct{}

func (nobody) Record(event.Event) {}

// The rhythm.
const (
	renewals  = 3 // in a term
	looksAt   = 10
	lastLook  = 15 * time.Second // the longest pause between two looks at another's record
	firstFail = time.Second      // the pause after the first failure; it doubles
	reserve   = 10 * time.Second // of StopTime: for creel to notice, and for a kill
)

// Reserve is the part of a stop that no configuration speaks of: until creel has
// noticed, and for the kernel to end what is killed.
const Reserve = reserve

// drift is what clocks of two machines may differ by in a term, both ways.
func drift(term time.Duration) time.Duration { return term / 50 }

// margin is how long before the end of the term the gateway is stopped.
func (o *Owner) margin() time.Duration { return o.opts.StopTime() + drift(o.opts.Term) }

// held tells whether the lease is held, and for how long. o.mu is held.
func (o *Owner) held() (time.Duration, bool) {
	left := o.kept.Until - o.margin() - o.now()
	return left, left > 0
}

// Run renews the lease, or waits for it, until ctx ends. It must be called once.
// The lease is not given back: see Release.
func (o *Owner) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-timer.C:
		}
		timer.Reset(o.step(ctx))
	}
}

func (o *Owner) nudge() {
	select {
	case o.wake <- struct{}{}:
	default: // it is about to look
	}
}

// step looks at the record, and writes it if it may. It returns the pause until the
// next step.
func (o *Owner) step(ctx context.Context) time.Duration {
	limited, cancel := context.WithTimeout(ctx, max(time.Second, min(o.opts.Term/6, 30*time.Second)))
	defer cancel()
	pause, err := o.look(limited)
	if err != nil && ctx.Err() == nil {
		o.behind = min(max(firstFail, 2*o.behind), max(firstFail, min(o.opts.Term/12, lastLook)))
		pause = o.behind
		o.opts.Logger.Warn("cannot renew or take the ownership of the gateway; trying again", "error", err, "in", pause)
	} else {
		o.behind = 0
	}
	o.looked(err)
	return pause
}

// looked tells what a look has come to.
func (o *Owner) looked(err error) {
	o.mu.Lock()
	o.looks++
	o.problem = err
	left, held := o.held()
	close(o.changed)
	o.changed = make(chan struct{})
	o.mu.Unlock()
	switch {
	case err == nil:
		o.opts.Trouble("", "")
	case held:
		o.opts.Trouble(fmt.Sprintf("the ownership of the gateway cannot be renewed: %v; if that lasts for another %v the gateway is stopped, so that another machine can have it", err, left.Round(time.Second)), hintOf(err))
	default:
		o.opts.Trouble(fmt.Sprintf("it cannot be told which machine owns the gateway: %v; it is not started meanwhile", err), hintOf(err))
	}
}

// hintOf is what a person can do about an error of the store.
func hintOf(err error) string {
	if refused, ok := errors.AsType[*store.AccessError](err); ok && refused.Hint != "" {
		return refused.Hint
	}
	return "see that the snapshot store can be reached"
}

// look reads the record and does what follows. Its result is the pause until the
// next look.
func (o *Owner) look(ctx context.Context) (time.Duration, error) {
	l, err := o.open(ctx)
	if err != nil {
		return 0, err
	}
	value, version, err := l.Read(ctx, o.opts.Gateway)
	seen := o.now()
	if err != nil {
		return 0, err
	}
	var r Record
	if version != "" {
		if r, err = parseRecord(value); err != nil {
			return 0, err
		}
	}
	if r.Nonce != "" && r.Nonce == o.tried.nonce { // its answer was lost
		o.granted(r, o.tried)
	}
	if version == "" {
		if r.Fence, err = o.opts.Floor(ctx); err != nil {
			return 0, fmt.Errorf("there is no record of who owns the gateway, and what is saved cannot be told: %w", err)
		}
	}
	if version == "" || r.Released || r.Holder == o.holder {
		return o.claim(ctx, r, version)
	}
	if o.watch.version != version {
		o.watch = watched{version, seen}
	}
	left := r.Term - (seen - o.watch.since)
	o.elsewhere(r, max(0, left))
	if left <= 0 || o.asked() {
		return o.claim(ctx, r, version)
	}
	return min(left, max(r.Term/looksAt, time.Millisecond), lastLook), nil
}

// open opens the ledger unless it is open.
func (o *Owner) open(ctx context.Context) (store.Ledger, error) {
	if l := o.opened(); l != nil {
		return l, nil
	}
	l, err := o.opts.Open(ctx)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ledger = l
	return l, nil
}

func (o *Owner) opened() store.Ledger {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ledger
}

// claim writes this creel as the owner, over before.
func (o *Owner) claim(ctx context.Context, before Record, version string) (time.Duration, error) {
	next := Record{
		Version: recordVersion, Gateway: o.opts.Gateway, Fence: before.Fence, Holder: o.holder, Folder: o.opts.Self.folder,
		Machine: o.opts.Self.Machine, DataDir: o.opts.Self.DataDir, Since: before.Since, Renewed: time.Now().UTC(), Term: o.opts.Term, Nonce: random(16),
	}
	if before.Folder != next.Folder || before.Fence == 0 { // none had it in between otherwise
		next.Fence++
	}
	if before.Holder != next.Holder || before.Released {
		next.Since = next.Renewed
	}
	now := o.now()
	err := o.write(ctx, next, version, attempt{next.Nonce, now, o.keeping(next, now+o.opts.Term)})
	switch {
	case errors.Is(err, store.ErrChanged):
		return time.Millisecond, nil // by another, or by an own write that was late: look again
	case err != nil:
		return 0, err
	}
	return o.opts.Term / renewals, nil
}

// keeping is what is to be written down once r is confirmed.
func (o *Owner) keeping(r Record, until time.Duration) kept {
	return kept{Version: keptVersion, Folder: o.opts.Self.folder, Holder: o.holder, Fence: r.Fence, Since: r.Since, Until: until}
}

func (o *Owner) write(ctx context.Context, r Record, version string, a attempt) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	o.tried = a
	if _, err := o.opened().Write(ctx, o.opts.Gateway, value, version); err != nil {
		return err
	}
	o.granted(r, a)
	return nil
}

// granted takes note of a write that has succeeded.
func (o *Owner) granted(r Record, a attempt) {
	o.tried, o.watch = attempt{}, watched{}
	o.mu.Lock()
	before := o.kept
	_, had := o.held()
	o.kept, o.owner, o.free = a.kept, r, 0
	if !r.Released {
		o.forced = false
	}
	o.mu.Unlock()
	if err := a.kept.write(o.opts.Path); err != nil {
		// It is held all the same; a successor has to ask the store first.
		o.opts.Logger.Warn("the lease is not written down", "error", err)
	}
	if !r.Released && (before.Fence != r.Fence || !had) {
		o.record(event.OwnerTaken, fmt.Sprintf("this creel owns the gateway from now on (fencing number %d)", r.Fence), map[string]any{"fence": r.Fence})
	}
}

// elsewhere takes note of another owner.
func (o *Owner) elsewhere(r Record, free time.Duration) {
	o.mu.Lock()
	was := o.owner
	lost := o.kept.Until != 0
	o.kept.Until = 0
	o.owner, o.free = r, free
	k := o.kept
	o.mu.Unlock()
	if lost {
		if err := k.write(o.opts.Path); err != nil {
			o.opts.Logger.Warn("the loss of the lease is not written down", "error", err)
		}
	}
	if lost || was.Holder != r.Holder {
		o.record(event.OwnedElsewhere, (&ElsewhereError{Owner: r}).Error(), map[string]any{"fence": r.Fence, "machine": r.Machine, "data_dir": r.DataDir})
	}
}

func (o *Owner) asked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.forced
}

func (o *Owner) record(kind event.Kind, message string, fields map[string]any) {
	o.opts.Logger.Info(message, "event", kind, "gateway", o.opts.Gateway)
	o.opts.Journal.Record(event.Event{Kind: kind, Gateway: o.opts.Gateway, Message: message, Fields: fields})
}
