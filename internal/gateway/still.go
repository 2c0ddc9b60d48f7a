package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"creel/internal/runtime"
)

// Keeper looks after the files that instances of the gateway work on.
type Keeper interface {
	// Prepare makes the state fit for the next instance: it finishes or takes
	// back a restore that was cut short, carries out one that was asked for, and
	// fills a state that is missing. It is called before each launch, and nothing
	// is launched if it fails. still holds until it returns.
	Prepare(ctx context.Context, still Stillness, p Preparation) error
	// Ready tells that an instance is ready. It must not block.
	Ready(generation uint64)
}

// Preparation is what Prepare is told.
type Preparation struct {
	Generation uint64 // of the instance that is to be launched
	Last       End    // how the one before ended; Generation 0: not known
	// Restoring says that it will take its time: the gateway's state is then
	// Restoring. It may be called again.
	Restoring func()
}

// RestoreError is an error of Prepare for which the gateway is not started. Its
// Permanent says that trying again cannot help.
func RestoreError(err error, hint string, permanent bool) error {
	return &PlanError{Cause: CauseRestore, Hint: hint, Permanent: permanent, Err: err}
}

// files is whose turn it is with the gateway's files: a launch, which may replace
// them or begin to write to them, or somebody who needs them not to change.
type files struct {
	turn chan struct{} // holds a value while it is somebody's

	mu   sync.Mutex
	inst runtime.Instance // may write to them; nil: none
	gone chan struct{}    // closed when inst is not it any more
}

func newFiles() *files { return &files{turn: make(chan struct{}, 1)} }

// take waits for the turn. release gives it back.
func (f *files) take(ctx context.Context) (release func(), err error) {
	select {
	case f.turn <- struct{}{}:
		return func() { <-f.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// give makes inst the one that may write.
func (f *files) give(inst runtime.Instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inst == inst {
		return
	}
	if f.inst != nil {
		close(f.gone)
	}
	f.inst, f.gone = inst, make(chan struct{})
}

// forget says that nothing is left of inst.
func (f *files) forget(inst runtime.Instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inst == inst {
		close(f.gone)
		f.inst = nil
	}
}

// left waits until nothing is left of inst.
func (f *files) left(ctx context.Context, inst runtime.Instance) error {
	f.mu.Lock()
	gone, is := f.gone, f.inst == inst
	f.mu.Unlock()
	if !is {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *files) writer() runtime.Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inst
}

// Still calls do while the files of the gateway do not change by its doing: its
// instance is frozen, or none runs and none is launched until do has returned.
// It returns how long the instance was frozen; 0: none ran. An instance that ends
// before it is frozen is waited for, so that what is left of it writes no more.
//
// When ctx ends the instance is thawed at once, whether or not do has returned:
// what do has seen until then is then no instant, and Still returns the cause, or
// ErrLetGo if the instance was asked to end, or ended otherwise, meanwhile. Errors of
// do are returned as they are.
func (s *Supervisor) Still(ctx context.Context, do func(ctx context.Context) error) (frozen time.Duration, err error) {
	if err := s.Looked(ctx); err != nil {
		return 0, err
	}
	for {
		inst, frozen, err := s.still(ctx, do)
		if _, ended := errors.AsType[*runtime.EndedError](err); !ended {
			return frozen, err
		}
		// The turn is not held meanwhile: a launch may be what clears it away.
		if s.ended(ctx, inst) != nil {
			if cause := context.Cause(ctx); cause != nil {
				return 0, cause
			}
			return 0, err
		}
	}
}

// still is Still for the instance that there is now. With a *runtime.EndedError
// do was not called.
func (s *Supervisor) still(ctx context.Context, do func(ctx context.Context) error) (inst runtime.Instance, frozen time.Duration, err error) {
	release, err := s.files.take(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if inst, err = s.writer(ctx); err != nil {
		return nil, 0, err
	}
	if inst == nil {
		return nil, 0, do(ctx)
	}
	frozen, err = s.freeze(ctx, inst, do)
	return inst, frozen, err
}

// ended waits until nothing is left of an instance that has ended, or is being
// killed: not longer than that may take, for nobody may be there to do it.
func (s *Supervisor) ended(ctx context.Context, inst runtime.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return s.files.left(ctx, inst)
}

// Looked waits until it was looked, for the first time, for an instance that an earlier
// creel has left. Until then one may run that nobody knows of, and the status tells
// nothing of it. The error is the cause of ctx's end.
func (s *Supervisor) Looked(ctx context.Context) error {
	select {
	case <-s.looked:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// writer is the instance that may write to the files. While it could not be told
// whether one runs, or after a start that has failed, it looks again.
func (s *Supervisor) writer(ctx context.Context) (runtime.Instance, error) {
	if inst := s.files.writer(); inst != nil || s.certain.Load() && !s.doubt.Load() {
		return inst, nil
	}
	return s.find(ctx)
}

// ErrLetGo says that a gateway which was held still was let go before it was time:
// it was asked to end, or has died. Trying again helps.
var ErrLetGo = errors.New("the gateway was let go while it was held still: it was to end, or has died")

// freeze calls do while inst is frozen.
func (s *Supervisor) freeze(ctx context.Context, inst runtime.Instance, do func(ctx context.Context) error) (frozen time.Duration, err error) {
	begun := time.Now()
	s.stills.Add(1) // odd: an instance is frozen, and cannot show that it lives
	defer s.stills.Add(1)
	if err := hold(ctx, inst); err != nil {
		err = fmt.Errorf("cannot hold the gateway still: %w", err)
		if held, frozenErr := inst.Frozen(); held || frozenErr != nil { // nor could it be let go again
			err = errors.Join(err, s.thaw(inst))
		}
		return 0, err
	}
	var once sync.Once
	var thawErr error
	var lasted time.Duration // not the result itself: a return writes that while ctx ends
	thaw := func() {
		once.Do(func() {
			thawErr = s.thaw(inst)
			lasted = time.Since(begun)
		})
	}
	stop := context.AfterFunc(ctx, thaw)
	defer func() { // in a panic of do too
		stop()
		thaw() // waits for the one that stop came too late for
		frozen = lasted
		if thawErr != nil {
			err = errors.Join(err, thawErr)
		}
	}()
	if err := do(ctx); err != nil {
		return 0, err
	}
	// The order matters: if it is let go from here on, all of do lies before it.
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	switch held, err := inst.Frozen(); {
	case err != nil:
		return 0, fmt.Errorf("cannot tell whether the gateway was still all the time: %w", err)
	case !held:
		// It may have ended since, but has written until then if it was asked to.
		return 0, ErrLetGo
	}
	return 0, context.Cause(ctx)
}

// freezeTimeout is how long an instance may take to stand still. One of its processes may
// be held up in the kernel, as by a disk that does not answer, and the others stand still
// meanwhile.
const freezeTimeout = 10 * time.Second

func hold(ctx context.Context, inst runtime.Instance) error {
	limited, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	err := inst.Freeze(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("a process of it has not come to rest within %v, as one does not that waits for a disk: %w", freezeTimeout, err)
	}
	return err
}

// thawTime is how long Still waits for a thaw that has failed at first.
const thawTime = 5 * time.Second

// thawing is an instance that could not be thawed yet.
type thawing struct {
	inst runtime.Instance
	err  error
	over chan error // gets how it came out; capacity 1
}

// thaw lets inst go on. If it cannot be done, as when creel can open no file, the
// supervisor goes on trying: a gateway that stays frozen answers nobody, and is not taken
// for one that hangs. That is not waited for without end: creel's own end waits for
// whoever waits here.
func (s *Supervisor) thaw(inst runtime.Instance) error {
	err := inst.Thaw()
	if err == nil {
		return nil
	}
	s.log.Error("the gateway cannot be thawed; trying again", "generation", inst.Record().Generation, "error", err)
	t := &thawing{inst, err, make(chan error, 1)}
	if s.post(message{thaw: t}) { // else the next supervisor thaws it
		wait := time.NewTimer(thawTime)
		defer wait.Stop()
		select {
		case err = <-t.over:
		case <-wait.C:
		}
	}
	if err != nil {
		return fmt.Errorf("cannot let the gateway go on: %w", err)
	}
	return nil
}

// thawOn tries until an instance is thawed or has ended, or the supervisor does.
func (s *Supervisor) thawOn(t *thawing) {
	err := t.err
	for pause := firstShortagePause; err != nil; pause = min(2*pause, lastShortagePause) {
		s.short(err) // who is told may have something in reserve
		again := time.NewTimer(pause)
		select {
		case <-again.C:
			err = t.inst.Thaw()
			continue
		case <-t.inst.Done():
		case <-s.ctx.Done():
		}
		again.Stop()
		t.over <- err
		return
	}
	if s.opts.Shortage != nil {
		s.opts.Shortage(nil)
	}
	t.over <- nil
}
