package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"creel/internal/event"
	"creel/internal/runtime"
	"creel/internal/telemetry"
)

// strayer is a Runtime that knows what runs in the gateway's name without being
// part of the recorded instance.
type strayer interface {
	// Strays lists it. It may be called from any goroutine.
	Strays(ctx context.Context, gateway string) ([]runtime.Stray, error)
	// EndStrays ends it, while no instance is recorded.
	EndStrays(ctx context.Context, gateway string) ([]runtime.Stray, error)
}

// strayTimeout bounds a look for strays whose result is only shown.
const strayTimeout = time.Second

// straysNow lists strays; that it cannot be told whether there are any is logged.
func (s *Supervisor) straysNow() []runtime.Stray {
	strays, err := s.strays(s.ctx)
	if err != nil {
		s.log.Warn("cannot tell whether other instances of the gateway run", "gateway", s.opts.Name, "error", err)
	}
	return strays
}

// tellStrays tells what runs beside inst, the recorded instance (nil: there is
// none). If both run, which of them is the right one is not guessed.
func (s *Supervisor) tellStrays(inst runtime.Instance, strays []runtime.Stray) {
	s.strayed.Store(len(strays) > 0)
	if len(strays) == 0 {
		return
	}
	message := fmt.Sprintf("%s; no instance that runs is recorded, and they are ended before one is started", listed(strays))
	if inst != nil && !hasEnded(inst) {
		message = fmt.Sprintf("%s beside generation %d, which is recorded; they are left alone until that is replaced, which `creel restart` does, or a person ends them",
			listed(strays), inst.Record().Generation)
	}
	s.record(slog.LevelWarn, event.Event{Kind: event.Stray, Generation: s.machine.Generation, Message: message, Fields: strayFields(strays)})
}

// strays lists them.
func (s *Supervisor) strays(ctx context.Context) ([]runtime.Stray, error) {
	r, ok := s.opts.Runtime.(strayer)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, strayTimeout)
	defer cancel()
	strays, err := r.Strays(ctx, s.opts.Name)
	for i := range strays {
		strays[i].Command = telemetry.Redact(strays[i].Command)
	}
	return strays, err
}

// presentStrays are those of which it is known, as far as they still run. If that cannot
// be told at this moment none are listed, and the next call looks again.
func (s *Supervisor) presentStrays() []runtime.Stray {
	if !s.strayed.Load() {
		return nil
	}
	strays, err := s.strays(context.Background())
	if err != nil {
		s.log.Debug("cannot tell at the moment whether other instances of the gateway run", "gateway", s.opts.Name, "error", err)
		return nil
	}
	s.strayed.Store(len(strays) > 0)
	return strays
}

// endStrays ends what runs in the gateway's name, once nothing is recorded and
// before anything relies on nothing running: one of the two candidates is gone
// then, and the other must not become the second of two (I1).
func (s *Supervisor) endStrays(ctx context.Context, generation uint64) error {
	r, ok := s.opts.Runtime.(strayer)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	strays, err := r.EndStrays(ctx, s.opts.Name)
	if err != nil {
		return err
	}
	s.strayed.Store(false)
	if len(strays) > 0 {
		s.record(slog.LevelWarn, event.Event{Kind: event.Killed, Generation: generation,
			Message: listed(strays) + "; ended before the next start", Cause: string(event.Stray), Fields: strayFields(strays)})
	}
	return nil
}

// listed is "2 processes run in the gateway's name (pid 12: node a, pid 13: …)".
func listed(strays []runtime.Stray) string {
	const most = 3
	var names []string
	for i, p := range strays {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(strays)-most))
			break
		}
		names = append(names, fmt.Sprintf("pid %d: %s", p.PID, telemetry.Redact(p.Command)))
	}
	verb := "processes run"
	if len(strays) == 1 {
		verb = "process runs"
	}
	return fmt.Sprintf("%d %s in the gateway's name (%s)", len(strays), verb, strings.Join(names, ", "))
}

func strayFields(strays []runtime.Stray) map[string]any {
	var all []any
	for _, p := range strays {
		all = append(all, map[string]any{"pid": p.PID, "command": p.Command, "where": p.Where})
	}
	return map[string]any{"processes": all}
}
