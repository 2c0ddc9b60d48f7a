package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/runtime"
)

// findTimeout bounds the look for an instance.
const findTimeout = 10 * time.Second

// asider is a Runtime that can put away a record which cannot be trusted.
type asider interface {
	SetAside(ctx context.Context) (path string, err error)
}

// reconcile finds out what an earlier creel has left: an instance that runs is
// taken over, or ended if a person's stop was under way; one that does not answer
// is replaced; one that is frozen is thawed first; one that has ended is cleared
// away; a record that cannot be trusted is put aside and said so; what runs in the
// gateway's name beside the recorded instance is told, and left alone (stray.go).
//
// Requests may wait already. They must not start anything before it is known
// whether something runs (I1), so the gate stays shut until the end of it.
func (s *Supervisor) reconcile() {
	if s.intentTrouble != nil {
		s.log.Warn("starting as configured", "error", s.intentTrouble)
		s.opts.Journal.Record(event.Event{Kind: event.RecordRefused, Gateway: s.opts.Name, Message: s.intentTrouble.Error()})
	}
	s.recall() // a Stop may have come since New
	if kept := s.intent.get().Generation; kept < s.opts.LastKnown {
		message := fmt.Sprintf("generation %d was the last that was written down, but %d is known of: the data folder, or a part of it, is a copy from before; numbers go on behind %d", kept, s.opts.LastKnown, s.opts.LastKnown)
		s.log.Warn(message, "gateway", s.opts.Name)
		s.opts.Journal.Record(event.Event{Kind: event.RecordRefused, Gateway: s.opts.Name, Message: message})
	}
	if u := s.machine.unavailable(); u != nil {
		s.broker.refuse(u) // it will stay stopped, whatever is found
	}
	defer close(s.looked)
	inst, err := s.find(s.ctx)
	switch {
	case err != nil:
		// No launch goes ahead before a look has succeeded, see start.
		s.log.Error("cannot tell yet whether the gateway runs", "gateway", s.opts.Name, "error", err)
		if !errors.As(err, new(*runtime.RecordError)) { // else it is told, and a person's to mend
			s.lookAgain()
		}
	default:
		s.tellStrays(inst, s.straysNow())
		if inst != nil {
			s.found(inst)
		}
	}
	if !s.live.Load().OnDemand && !s.machine.Asked {
		s.take(message{Event: Event{Kind: AskStart}})
	}
	s.tell()
}

// recall tells the machine what the intent keeps.
func (s *Supervisor) recall() {
	kept := s.intent.get()
	last := max(kept.Generation, s.opts.LastKnown)
	s.machine.Generation, s.machine.Begun, s.machine.Asked = last, last, kept.Stopped
}

// found takes over an instance, or clears away what is left of it.
func (s *Supervisor) found(inst runtime.Instance) {
	crashpoint.Passed(crashpoint.GatewayFound)
	generation := inst.Record().Generation
	kind, end := Found, End{}
	if hasEnded(inst) {
		kind = FoundDead
		end = s.unwatchedEnd(generation, inst.Exit())
	}
	s.take(message{Event: Event{Kind: kind, Generation: generation, End: end}, inst: inst})
	if kept := s.intent.get(); kind == Found && !kept.Stopped && kept.Replace == generation {
		s.take(message{Event: Event{Kind: AskRestart}}) // it was asked for before, and creel has ended since
	}
	if kind == FoundDead {
		s.face.end(inst.Exit()) // nobody watches it; a creel that drains may have requests with it
	}
}

// thawFound lets an instance go on that an earlier creel has frozen and did not
// live to thaw: nobody else does. One that cannot be thawed stays silent, and is
// replaced for that.
func (s *Supervisor) thawFound(inst runtime.Instance) {
	frozen, err := inst.Frozen()
	if err == nil && !frozen {
		return
	}
	if err == nil {
		err = inst.Thaw()
	}
	e := event.Event{Kind: event.Thawed, Generation: inst.Record().Generation, Message: "it was found frozen, by a snapshot that was cut short, and goes on"}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		e.Message = "it may be frozen, by a snapshot that was cut short, and cannot be thawed: " + err.Error()
	}
	s.record(level, e)
}

// unwatchedEnd is the end of an instance that died while no creel was watching.
// How is known of one sort only: the kernel counts those that it kills for want
// of memory.
func (s *Supervisor) unwatchedEnd(generation uint64, exit runtime.Exit) End {
	end := End{At: time.Now(), Cause: CauseCreelAway, Message: "it ended while no creel was watching", Log: s.opts.Tail()}
	if exit.OOM {
		end = s.opts.Explain(exit, end.Log)
	}
	end.Generation = generation
	return end
}

func hasEnded(inst runtime.Instance) bool {
	select {
	case <-inst.Done():
		return true
	default:
		return false
	}
}

// find looks for a recorded instance; nil: there is none.
func (s *Supervisor) find(ctx context.Context) (runtime.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	inst, err := s.opts.Runtime.Find(ctx)
	var refused *runtime.RecordError
	switch {
	case err == nil:
		s.files.give(inst)
		s.certain.Store(true)
		s.doubt.Store(false)
		s.thawFound(inst)
		return inst, nil
	case errors.Is(err, runtime.ErrNoInstance):
		s.certain.Store(true)
		s.doubt.Store(false)
		return nil, nil
	case errors.As(err, &refused):
		return nil, s.putAside(ctx, refused)
	default:
		// An instance may well run: its record must stay where it is.
		return nil, fmt.Errorf("cannot find out whether an instance runs: %w", err)
	}
}

// putAside moves a record that cannot be trusted out of the way. Nothing is
// killed on its word: should the instance it speaks of still run, the port that
// it holds shows that at the next start.
func (s *Supervisor) putAside(ctx context.Context, cause error) error {
	message := cause.Error()
	var err error
	if a, ok := s.opts.Runtime.(asider); ok {
		var path string
		if path, err = a.SetAside(ctx); err != nil {
			err = fmt.Errorf("%w; and it cannot be put aside: %w", cause, err)
			message = err.Error()
		} else {
			message += "; it was put aside as " + path
		}
	}
	s.log.Warn("an instance record is not used", "gateway", s.opts.Name, "reason", message)
	s.opts.Journal.Record(event.Event{Kind: event.RecordRefused, Gateway: s.opts.Name, Message: message})
	return err
}
