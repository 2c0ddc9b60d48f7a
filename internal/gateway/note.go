package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/event"
)

// note writes what has happened into the journal and the log: before is the
// machine as it was, e the event that changed it.
func (s *Supervisor) note(before Machine, e Event) {
	switch e.Kind {
	case FoundDead:
		s.journalEnd(event.Exited, "", e.End)
	case LaunchFailed:
		if before.Then != ThenYield { // else its state says why
			s.noteLaunchFailed(e.End)
		}
	case Exited:
		s.noteExit(before, e)
	case Unanswered:
		kind := event.StartFailed
		if before.State == Suspect {
			kind = event.Killed
		}
		s.noteRestart(e.End)
		s.journalEnd(kind, "it is replaced", e.End)
	case Answered:
		s.noteAnswered(before, e)
	case Gone:
		s.notGone = ""
	case Reported:
		s.opts.Recorder.Suspicion(reasonRefused)
		s.journal(event.Suspect, "it refused a connection though its process lives; checking", nil)
	case Silent:
		s.opts.Recorder.Suspicion(reasonSilent)
		s.journal(event.Suspect, e.End.Message+"; watching it", nil)
	case NotGone:
		if s.notGone == e.End.Message {
			break // told already: it may be in the way for hours
		}
		s.notGone = e.End.Message
		s.journal(event.Stopping, "something of it could not be ended; trying again: "+e.End.Message, nil)
	}
	s.noteState(before, e)
}

// noteState writes what state was entered, where the event has not said so.
func (s *Supervisor) noteState(before Machine, e Event) {
	m := &s.machine
	if m.Begun != before.Begun && e.Kind != Found && m.State == Starting {
		s.journal(event.Starting, "starting", nil)
	}
	if m.State == Stopping && m.Killing && e.Kind == TimeUp && !s.face.killed {
		s.journal(event.Killed, "it has not ended in time; killing all of it", nil)
	}
	if m.State == before.State {
		return
	}
	switch m.State {
	case Draining:
		if m.Then == ThenYield {
			s.journalEnd(event.Draining, "it must not run here, and is stopped", m.Yield)
			break
		}
		s.journal(event.Draining, "waiting for the requests under way", nil)
	case Stopping:
		s.noteStopping(before)
	case Stopped:
		s.journal(event.Stopped, "stopped", nil)
	case Backoff:
		s.journal(event.Backoff, fmt.Sprintf("waiting until %s before the next start", m.NextStart.UTC().Format(time.RFC3339)), map[string]any{"fruitless": m.Fruitless, "hasty": m.Hasty})
	case Failed:
		if m.Last.Cause.Unowned() {
			s.journalEnd(event.Failed, "it must not run here", m.Last)
			break
		}
		s.journal(event.Failed, m.reason(), map[string]any{"fruitless": m.Fruitless})
	case Restoring, Starting, Ready, Suspect: // said by the event, or by who restores
	}
}

// noteStopping tells of an instance that is asked to end; why one is cleared
// away that ended by itself, or is replaced, has been said.
func (s *Supervisor) noteStopping(before Machine) {
	m := &s.machine
	if m.Killing || m.Then == ThenRetry {
		return
	}
	var cut map[string]any
	if before.State == Draining {
		cut = map[string]any{"requests_cut": s.face.leases.Load()}
	}
	s.journal(event.Stopping, "asked to end", cut)
}

func (s *Supervisor) noteLaunchFailed(end End) {
	if end.Cause == CauseAsked {
		s.record(slog.LevelInfo, event.Event{Kind: event.StartFailed, Generation: end.Generation, Message: "its start was called off, as was asked for", Cause: string(CauseAsked)})
		return
	}
	if end.Cause.Unowned() {
		return // said by the state
	}
	s.journalEnd(event.StartFailed, "it could not be started", end)
}

// endedAsAsked is all that there is to say of an end that creel has asked for.
// What is made of the exit status speaks of ends that nobody expected.
const endedAsAsked = "it ended, as it was asked to"

func (s *Supervisor) noteExit(before Machine, e Event) {
	switch {
	case before.Last.Generation == e.Generation: // replaced: told and counted already
		s.journal(event.Exited, e.End.Message, nil)
	case before.State == Stopping && before.Then != ThenRetry:
		s.record(slog.LevelInfo, event.Event{Kind: event.Exited, Generation: e.Generation, Message: endedAsAsked, Cause: string(CauseAsked)})
	default:
		s.noteRestart(e.End)
		s.journalEnd(event.Exited, "", e.End)
	}
}

// The reasons of a suspicion, as words for metrics.
const (
	reasonRefused = "refused"
	reasonSilent  = "silent"
)

func (s *Supervisor) noteRestart(end End) {
	s.restarts++
	s.opts.Recorder.Restart(string(end.Cause))
}

func (s *Supervisor) noteAnswered(before Machine, e Event) {
	if before.State == Suspect {
		reason := reasonRefused
		if before.Silent {
			reason = reasonSilent
		}
		s.opts.Recorder.Cleared(reason)
		message := "it answers again"
		if e.End.Message != "" {
			message = e.End.Message
		}
		s.journal(event.Cleared, message, nil)
		return
	}
	if s.adopted {
		crashpoint.Passed(crashpoint.GatewayAdopted)
		s.journal(event.Adopted, fmt.Sprintf("taken over with pid %d, which runs since %s", s.inst.Record().PID, s.launchAt.UTC().Format(time.RFC3339)), nil)
		return
	}
	crashpoint.Passed(crashpoint.GatewayReady)
	s.spent = time.Since(s.launchAt)
	s.opts.Recorder.StartSeconds(s.spent)
	s.journal(event.Ready, fmt.Sprintf("ready after %v", s.spent.Round(time.Millisecond)), map[string]any{"pid": s.inst.Record().PID})
}

func (s *Supervisor) journal(kind event.Kind, message string, fields map[string]any) {
	s.record(slog.LevelInfo, event.Event{Kind: kind, Generation: s.machine.Generation, Message: message, Fields: fields})
}

// journalEnd writes how an instance ended. The machine may be at the next one
// already.
func (s *Supervisor) journalEnd(kind event.Kind, message string, end End) {
	if message != "" {
		message += ": "
	}
	message += end.Message
	fields := map[string]any{}
	if end.Hint != "" {
		fields["hint"] = end.Hint
	}
	if len(end.Log) > 0 {
		fields["log"] = end.Log
	}
	s.record(slog.LevelWarn, event.Event{Kind: kind, Generation: end.Generation, Message: message, Cause: string(end.Cause), Fields: fields})
}

func (s *Supervisor) record(level slog.Level, e event.Event) {
	e.Gateway = s.opts.Name
	s.opts.Journal.Record(e)
	s.log.Log(context.Background(), level, e.Message, "event", e.Kind, "gateway", e.Gateway, "generation", e.Generation, "cause", e.Cause)
}
