package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/durable"
	"creel/internal/runtime"
)

// killTimeout bounds one attempt at ending all of an instance. A process that
// SIGKILL does not end hangs in the kernel; the machine tries again.
const killTimeout = 30 * time.Second

// launchTimeout bounds a launch. It is longer than an installation over a slow
// line takes: a bound, not an expectation.
const launchTimeout = time.Hour

// do begins an effect. Nothing here waits: whatever takes time runs in a task
// whose result is an event.
func (s *Supervisor) do(e Effect) {
	epoch, generation := s.machine.Epoch, s.machine.Generation
	switch e.Kind {
	case Launch:
		s.doLaunch(generation)
	case CallOff:
		s.launch()
	case Watch:
		s.doWatch(s.inst, s.face)
	case AwaitReady:
		s.doProbe(epoch, s.awaitReady)
	case Listen:
		s.doListen(epoch)
	case Check:
		s.doProbe(epoch, s.check)
	case Observe:
		s.doObserve(epoch)
	case Drain:
		face, ctx := s.face, s.waitCtx()
		s.broker.hold()
		face.closed.Store(true) // one that was found, and has not been ready, was not on offer
		s.task(func() {
			if face.drained(ctx) == nil { // else TimeUp or Exited tells more
				s.post(message{Event: Event{Kind: Drained, Epoch: epoch}})
			}
		})
	case Terminate:
		inst, retire := s.inst, s.retirement()
		if s.machine.Then != ThenRetry {
			s.face.decide(askedToEnd)
		}
		s.task(func() {
			retire()
			if err := inst.Terminate(); err != nil {
				s.log.Warn("cannot ask the gateway to end; it will be killed", "generation", generation, "error", err)
			}
			crashpoint.Passed(crashpoint.GatewayTermed)
		})
	case Kill:
		s.doKill(generation, s.inst, s.face)
	case Arm:
		s.timer = time.AfterFunc(e.After, func() { s.post(message{Event: Event{Kind: TimeUp, Epoch: epoch}}) })
	}
}

// endReserve is what is kept of the grace for the end itself, once the instance
// was sent SIGTERM.
const endReserve = 5 * time.Second

// retirement is what is to be done before the present instance is sent SIGTERM.
// The grace runs on meanwhile: a stop takes no longer for it.
func (s *Supervisor) retirement() func() {
	m := &s.machine
	budget := m.Policy.Grace - min(m.Policy.Grace/2, endReserve)
	if s.opts.Retire == nil || !m.WasReady || m.Then == ThenRetry || budget <= 0 {
		return func() {}
	}
	generation, done := m.Generation, s.inst.Done()
	return func() {
		ctx, cancel := context.WithTimeout(s.ctx, budget)
		defer cancel()
		go func() { // ends with cancel
			select {
			case <-done:
				cancel()
			case <-ctx.Done():
			}
		}()
		s.opts.Retire(ctx, generation)
	}
}

// task runs f in a goroutine that Leave waits for.
func (s *Supervisor) task(f func()) { s.tasks.Go(f) }

// waitCtx is the context of waits that belong to the present epoch.
func (s *Supervisor) waitCtx() context.Context {
	if s.waits != nil {
		s.waits()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.waits = cancel
	return ctx
}

func (s *Supervisor) doLaunch(generation uint64) {
	off, callOff := context.WithCancel(s.ctx)
	s.launch, s.adopted = callOff, false
	s.inst, s.face = nil, nil
	last := s.machine.Last
	s.task(func() {
		defer callOff()
		ctx, cancel := context.WithTimeout(off, launchTimeout)
		defer cancel()
		m := message{Event: Event{Kind: Launched, Generation: generation}}
		err := s.patiently(ctx, func() (err error) {
			if m.inst, err = s.prepare(ctx, generation, last); err == nil && m.inst == nil {
				m.inst, err = s.start(ctx, generation)
				return err
			}
			if err == nil {
				m.Kind, m.Generation = Found, m.inst.Record().Generation
			}
			return err
		})
		if err == nil && s.opts.Shortage != nil {
			s.opts.Shortage(nil)
		}
		if err != nil {
			m = message{Event: Event{Kind: LaunchFailed, Generation: generation, End: launchEnd(generation, err, off.Err() != nil)}}
		}
		if !s.post(m) {
			s.late = m.inst
		}
	})
}

// findLeft looks once more, before a launch, for an instance that runs: the
// look at creel's start may have failed, and so may the clearing up after a
// launch. It returns nil if there is none; one that has ended is cleared away.
func (s *Supervisor) findLeft(ctx context.Context) (runtime.Instance, error) {
	inst, err := s.find(ctx)
	if err != nil || inst == nil || !hasEnded(inst) {
		return inst, err
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if err := inst.Kill(ctx); err != nil {
		return nil, err // what is left of it may go on writing
	}
	s.files.forget(inst)
	return nil, nil
}

// prepare makes sure that nothing runs, and that the state is in place. It
// returns an instance if one runs after all. Nobody else touches the state
// meanwhile.
func (s *Supervisor) prepare(ctx context.Context, generation uint64, last End) (runtime.Instance, error) {
	release, err := s.files.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	inst, err := s.findLeft(ctx)
	if err != nil || inst != nil {
		return inst, err
	}
	if err := s.endStrays(ctx, generation); err != nil {
		return nil, err
	}
	// Before anything runs the number is on disk: no later creel uses it again.
	// Whether the gateway is to stay stopped is not this task's to say: a Stop
	// may have come since the launch began.
	if err := s.intent.change(durable.Renamed, func(i *intent) { i.Generation = generation }); err != nil {
		return nil, err
	}
	if s.opts.Keeper == nil {
		return nil, nil
	}
	still, over := newStillness()
	defer over()
	begun := false
	err = s.opts.Keeper.Prepare(ctx, still, Preparation{Generation: generation, Last: last, Restoring: func() {
		if !begun {
			begun = true
			s.post(message{Event: Event{Kind: RestoreBegun, Generation: generation}})
		}
	}})
	if begun && err == nil {
		s.post(message{Event: Event{Kind: RestoreEnded, Generation: generation}})
	}
	if err != nil {
		err = &keeperError{err}
	}
	return nil, err
}

func (s *Supervisor) start(ctx context.Context, generation uint64) (runtime.Instance, error) {
	spec, err := s.opts.Plan(ctx, generation)
	if err != nil {
		return nil, err
	}
	spec.Generation = generation
	release, err := s.files.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	inst, err := s.opts.Runtime.Start(ctx, spec)
	if err != nil {
		s.doubt.Store(true)
		return nil, err
	}
	s.files.give(inst)
	return inst, nil
}

// doWatch tells of the end of an instance: to lease holders at once, to the
// machine with what is known of the cause.
func (s *Supervisor) doWatch(inst runtime.Instance, face *instance) {
	told := make(chan struct{})
	face.told = told
	s.task(func() {
		defer close(told)
		select {
		case <-inst.Done():
		case <-s.ctx.Done():
			return
		}
		crashpoint.Passed(crashpoint.GatewayEnded)
		exit := inst.Exit()
		face.end(exit)
		s.broker.lost(face)
		end := s.opts.Explain(exit, s.opts.Tail())
		end.Generation = face.number
		s.post(message{Event: Event{Kind: Exited, Generation: face.number, End: end, Served: face.served.Load()}})
	})
}

// doProbe runs a probe and tells its outcome, unless the instance died.
func (s *Supervisor) doProbe(epoch uint64, probe func(context.Context, runtime.Instance) error) {
	ctx, inst, face := s.waitCtx(), s.inst, s.face
	s.task(func() {
		err := probe(ctx, inst)
		for s.short(err) && ctx.Err() == nil && !hasEnded(inst) {
			err = probe(ctx, inst) // creel could not ask: that says nothing of the instance
		}
		if err == nil {
			s.post(message{Event: Event{Kind: Answered, Epoch: epoch}})
			return
		}
		select {
		case <-inst.Done(): // Exited tells more
			return
		case <-ctx.Done(): // nobody asks any more
			return
		default:
		}
		end := End{Generation: face.number, At: time.Now(), Message: err.Error(), Log: s.opts.Tail()}
		end.Cause, end.Hint = CauseUnresponsive, "See `creel logs` for what it was doing."
		var late *notReadyError
		if errors.As(err, &late) {
			end.Cause, end.Hint = CauseNotReady, "See `creel logs`; if it needs longer, raise gateway.ready.timeout."
		}
		s.post(message{Event: Event{Kind: Unanswered, Epoch: epoch, End: end, Served: face.served.Load()}})
	})
}

// notReadyError says that an instance was not ready within its time.
type notReadyError struct {
	after time.Duration
	last  error
}

func (e *notReadyError) Error() string {
	return fmt.Sprintf("it was not ready within %v: %v", e.after.Round(time.Millisecond), e.last)
}

func (e *notReadyError) Unwrap() error { return e.last }

// awaitReady waits for a fresh or adopted instance. An adopted one that has had
// its time to start already gets as long as a suspect gets.
func (s *Supervisor) awaitReady(ctx context.Context, inst runtime.Instance) error {
	set := s.live.Load()
	age := max(0, time.Since(inst.Record().StartedAt)) // the clock may have been set back since
	limit := max(set.ReadyTimeout-age, set.AliveTimeout)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.opts.Prober.Ready(ctx, inst); err != nil {
		return &notReadyError{after: limit, last: err}
	}
	return nil
}

// check gives a suspect AliveTimeout to be ready again. One that is not but
// shows that it lives, as a gateway does that restarts within its process, gets
// the time of a start.
func (s *Supervisor) check(ctx context.Context, inst runtime.Instance) error {
	set := s.live.Load()
	err := s.readyWithin(ctx, set.AliveTimeout, inst)
	if err == nil || ctx.Err() != nil {
		return err
	}
	alive, cancel := context.WithTimeout(ctx, set.AliveTimeout)
	defer cancel()
	if s.opts.Prober.Alive(alive, inst) != nil {
		return fmt.Errorf("it did not answer for %v: %w", set.AliveTimeout, err)
	}
	if err := s.readyWithin(ctx, set.ReadyTimeout, inst); err != nil {
		return fmt.Errorf("it lived, but was not ready again within %v: %w", set.ReadyTimeout, err)
	}
	return nil
}

func (s *Supervisor) readyWithin(ctx context.Context, limit time.Duration, inst runtime.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.opts.Prober.Ready(ctx, inst)
}

// doKill ends all of an instance. It is not bound to the supervisor's context:
// once begun it is finished, so that nothing half dead is left to the next creel.
func (s *Supervisor) doKill(generation uint64, inst runtime.Instance, face *instance) {
	told := face.told
	face.killed = true
	s.task(func() {
		ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
		defer cancel()
		if err := inst.Kill(ctx); err != nil {
			s.short(err) // said there; the machine tries again in any case
			s.log.Error("cannot end all processes of the gateway; trying again", "generation", generation, "error", err)
			s.post(message{Event: Event{Kind: NotGone, Generation: generation, End: End{Generation: generation, Message: err.Error()}}})
			return
		}
		s.files.forget(inst)
		// How it ended is told before it is forgotten.
		if told != nil {
			select {
			case <-told:
			case <-ctx.Done():
			}
		}
		s.post(message{Event: Event{Kind: Gone, Generation: generation}})
	})
}
