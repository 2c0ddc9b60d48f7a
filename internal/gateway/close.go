package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"creel/internal/event"
	"creel/internal/runtime"
)

// Close stops the gateway in good order and ends the supervisor. When ctx ends
// first, the gateway is killed. It says nothing about what a person wants: the
// next creel starts the gateway as configured. After Leave it does nothing.
func (s *Supervisor) Close(ctx context.Context) error {
	s.closing.Store(true)
	_, err := s.send(ctx, message{Event: Event{Kind: AskStop}})
	if err == nil {
		_, err = s.WaitFor(ctx, func(st Status) bool { return st.State == Stopped })
	}
	s.Leave()
	if err == nil || errors.Is(err, errClosed) {
		return nil
	}
	return s.killLeft(context.WithoutCancel(ctx))
}

// killLeft ends what runs though run has ended, and all tasks with it.
func (s *Supervisor) killLeft(ctx context.Context) error {
	left := s.late // a launch that could not be called off any more
	if left == nil {
		left = s.running()
	}
	if left == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if err := left.Kill(ctx); err != nil {
		return fmt.Errorf("cannot end the gateway (pid %d): %w", left.Record().PID, err)
	}
	s.files.forget(left)
	s.journal(event.Killed, "it had no time left to end, since creel ends; killed", nil)
	return nil
}

// Leave ends the supervisor and leaves the instance running, for the next creel
// to find (I6). It returns when all its goroutines have ended. A launch under
// way is called off; a kill under way is finished.
func (s *Supervisor) Leave() {
	s.cancel(errClosed)
	if s.ran.CompareAndSwap(false, true) {
		s.end() // Run was never called, and has nothing to do any more
		close(s.done)
	}
	<-s.done
	s.tasks.Wait()
	s.shut.Do(s.awaitTurn)
}

// turnTime is how long Leave waits for whoever has the turn.
const turnTime = 5 * time.Second

// awaitTurn waits for whoever is writing down what was asked for: the intent is the next
// creel's from here on. A disk that does not answer must not keep creel, nor the gateway,
// from ending.
func (s *Supervisor) awaitTurn() {
	wait := time.NewTimer(turnTime)
	defer wait.Stop()
	select {
	case s.turn <- struct{}{}: // for good
	case <-wait.C:
		s.log.Warn("what is asked of the gateway is still being written down, and is not waited for", "gateway", s.opts.Name)
	}
}

// Outlive goes on telling the holders of leases of the instance's end, after
// Leave: requests that were under way outlive their supervisor, and must not
// take a crash for a broken connection. It returns when the instance has ended
// or ctx does. The runtime must still watch the instance.
//
// Whether somebody asked it to end knows the creel that is in charge of it now, unless this
// one has asked it to, before it was left: the next one finds an instance that ends by itself.
// fate asks that one; it reports false if there is none, or it does not know.
func (s *Supervisor) Outlive(ctx context.Context, fate func(ctx context.Context, generation uint64) (Fate, bool)) {
	<-s.done
	inst := s.running()
	if inst == nil || s.face == nil {
		return
	}
	select {
	case <-s.face.ended: // told by the watch
		return
	default:
	}
	select {
	case <-inst.Done():
		if s.face.fate.Load() != askedToEnd {
			if f, ok := fate(ctx, s.face.number); ok {
				s.face.endAs(f)
				return
			}
		}
		s.face.end(inst.Exit())
	case <-ctx.Done():
	}
}

// end is the end of run.
func (s *Supervisor) end() {
	s.endWaits()
	if s.launch != nil {
		s.launch()
	}
	s.broker.refuse(shuttingDown())
}

// running is the present instance, or nil in states in which none is left.
func (s *Supervisor) running() runtime.Instance {
	switch s.machine.State {
	case Stopped, Restoring, Backoff, Failed:
		return nil
	case Starting, Ready, Suspect, Draining, Stopping:
	}
	return s.inst
}
