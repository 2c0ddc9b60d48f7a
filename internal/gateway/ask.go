package gateway

import (
	"context"
	"fmt"

	"creel/internal/durable"
)

// Start wants the gateway to run. It returns when that has been taken note of.
// If that cannot be written down, nothing is changed and the error says why.
func (s *Supervisor) Start(ctx context.Context) error {
	return s.ask(ctx, AskStart, false)
}

// Stop wants the gateway to stop and to stay stopped, over a restart of creel
// too. It returns when that has been taken note of. If that cannot be written
// down the gateway is stopped all the same, and the error says that it will not
// stay so when creel starts again.
func (s *Supervisor) Stop(ctx context.Context) error {
	return s.ask(ctx, AskStop, true)
}

// Restart wants a new instance, of a stopped gateway too. Requests under way may
// end first (Policy.Drain). Errors are as for Start.
func (s *Supervisor) Restart(ctx context.Context) error {
	return s.ask(ctx, AskRestart, false)
}

// ConfigChanged says that the gateway's configuration is another: a failed
// gateway is given a new chance.
func (s *Supervisor) ConfigChanged(ctx context.Context) error {
	_, err := s.send(ctx, message{Event: Event{Kind: ConfigNew}})
	return err
}

// LeaseLost says that the gateway must not run here, and why: it is stopped in good
// order, as by Stop, but nobody has asked for that, and LeaseHeld has it start again.
// Whoever may not let another launch go ahead either refuses it in Keeper.Prepare.
func (s *Supervisor) LeaseLost(ctx context.Context, why End) error {
	_, err := s.send(ctx, message{Event: Event{Kind: LeaseLost, End: why}})
	return err
}

// LeaseHeld says that the gateway may run here. It is of consequence only to one
// that does not run for want of that.
func (s *Supervisor) LeaseHeld(ctx context.Context) error {
	_, err := s.send(ctx, message{Event: Event{Kind: LeaseHeld}})
	return err
}

func (s *Supervisor) ask(ctx context.Context, kind EventKind, stopped bool) error {
	// One at a time, from the file to the machine: otherwise a Start and a Stop
	// that meet could leave the file saying one thing and the machine the other.
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.done:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-s.done: // the turn came free as the supervisor was left
		return errClosed
	default:
	}
	kept := s.intent.change(durable.Synced, func(i *intent) {
		if i.Stopped = stopped; stopped {
			i.Replace = 0
		}
	})
	if kept != nil && !stopped {
		return kept
	}
	if st := s.status.Load(); kind == AskRestart && st.runs {
		// For a restart that creel does not live to see. A disk that does not take it
		// forbids none.
		if err := s.intent.change(durable.Renamed, func(i *intent) { i.Replace = st.Generation }); err != nil {
			s.log.Warn("a restart will be forgotten if creel ends before the old instance", "gateway", s.opts.Name, "error", err)
		}
	}
	// What is written down is done, even if whoever asked for it has left meanwhile: else
	// the next creel would stop a gateway that was never stopped, or start one that was.
	select {
	case <-s.looked: // it is taken at once
		ctx = context.WithoutCancel(ctx)
	default: // heed looks into the file
	}
	if _, err := s.send(ctx, message{Event: Event{Kind: kind}}); err != nil {
		return err
	}
	if kept != nil {
		return fmt.Errorf("the gateway is being stopped, but will start again with creel: %w", kept)
	}
	return nil
}

// heed does what was asked for while creel looked what runs, by somebody who has not
// waited until that was over.
func (s *Supervisor) heed() {
	switch stopped := s.intent.get().Stopped; {
	case stopped && !s.machine.Asked:
		s.take(message{Event: Event{Kind: AskStop}})
	case !stopped && s.machine.Asked:
		s.take(message{Event: Event{Kind: AskStart}})
	}
}

// send hands a message to run and waits until it has been dealt with.
func (s *Supervisor) send(ctx context.Context, m message) (bool, error) {
	taken := make(chan bool, 1)
	m.taken = taken
	select {
	case s.inbox <- m:
		return <-taken, nil // run deals with it at once, and never blocks
	case <-s.done:
		return false, errClosed
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
