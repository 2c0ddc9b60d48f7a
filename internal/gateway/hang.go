package gateway

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"creel/internal/event"
	"creel/internal/liveness"
	"creel/internal/runtime"
)

// examineTimeout bounds the gathering of evidence: requests wait for the next
// instance.
const examineTimeout = 2 * time.Second

// doListen tells when the ready instance falls silent.
func (s *Supervisor) doListen(epoch uint64) {
	ctx, hang := s.waitCtx(), s.live.Load().Hang
	if !hang.Listen {
		return
	}
	if s.face.watch == nil {
		s.face.watch = s.newMonitor()
	}
	m := s.face.watch
	s.task(func() {
		f, silent := m.listen(ctx, hang, suspicious)
		for silent && !hang.Restart {
			if silent = s.report(ctx, m, hang, f); silent {
				f, silent = m.until(ctx, hang, suspicious)
			}
		}
		if silent {
			s.post(message{Event: Event{Kind: Silent, Epoch: epoch, End: End{Message: f.Explain(hang.Policy)}}})
		}
	})
}

func suspicious(v liveness.Verdict) bool { return v == liveness.Suspect || v == liveness.Hung }
func cleared(v liveness.Verdict) bool    { return v == liveness.Alive }
func settled(v liveness.Verdict) bool    { return v != liveness.Suspect }

// report tells of a silence of which nothing is to be made, and waits for its
// end.
func (s *Supervisor) report(ctx context.Context, m *monitor, hang Hang, f finding) bool {
	s.opts.Recorder.Suspicion(reasonSilent)
	s.record(slog.LevelWarn, event.Event{Kind: event.Suspect, Generation: m.face.number,
		Message: f.Explain(hang.Policy) + "; nothing is done about it (gateway.hang.action)"})
	if _, ok := m.until(ctx, hang, cleared); !ok {
		return false
	}
	s.opts.Recorder.Cleared(reasonSilent)
	s.record(slog.LevelInfo, event.Event{Kind: event.Cleared, Generation: m.face.number, Message: "it answers again"})
	return true
}

// doObserve waits for what becomes of a silent instance, and gathers evidence
// before it is replaced.
func (s *Supervisor) doObserve(epoch uint64) {
	m, ctx, hang := s.face.watch, s.waitCtx(), s.live.Load().Hang
	s.task(func() {
		if !hang.Listen || !hang.Restart { // so configured in the meantime
			s.post(message{Event: Event{Kind: Answered, Epoch: epoch}})
			return
		}
		f, ok := m.until(ctx, hang, settled)
		if !ok || hasEnded(m.inst) { // Exited tells more
			return
		}
		switch f.verdict {
		case liveness.Alive, liveness.Suspect:
			s.post(message{Event: Event{Kind: Answered, Epoch: epoch}})
			return
		case liveness.Busy:
			// Requests are let through again: none would ever wait there, and tell
			// work that leads to answers from work that does not.
			s.post(message{Event: Event{Kind: Answered, Epoch: epoch, End: End{Message: "it does not answer yet, but works again"}}})
			return
		case liveness.Hung:
		}
		end := End{Generation: m.face.number, At: time.Now(), Cause: CauseHang, Message: f.Explain(hang.Policy), Log: s.opts.Tail(),
			Hint: "The event before this one in `creel events` says what it was found doing. If it needs longer, raise gateway.hang.restart_after."}
		s.noteEvidence(ctx, m, f, end)
		s.post(message{Event: Event{Kind: Unanswered, Epoch: epoch, End: end, Served: m.face.served.Load()}})
	})
}

// noteEvidence writes down what a hung instance is found doing, since it is gone
// once anybody could ask.
func (s *Supervisor) noteEvidence(ctx context.Context, m *monitor, f finding, end End) {
	fields := map[string]any{
		"silent_seconds": f.Silent.Seconds(), "idle_seconds": f.Idle.Seconds(),
		"requests_waiting": f.Requests, "requests_under_way": m.face.leases.Load(), "log": end.Log,
	}
	if f.last != nil {
		fields["probe"] = f.last.Error()
	}
	if f.Stuck != "" {
		fields["says"] = f.Stuck
	}
	if w, ok := m.inst.(runtime.Watched); ok {
		ctx, cancel := context.WithTimeout(ctx, examineTimeout)
		defer cancel()
		maps.Copy(fields, w.Examine(ctx))
	}
	s.record(slog.LevelWarn, event.Event{Kind: event.Evidence, Generation: m.face.number, Cause: string(CauseHang),
		Message: "what it was found doing: " + end.Message, Fields: fields})
}
