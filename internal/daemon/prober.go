package daemon

import (
	"context"
	"os"
	"sync"

	"creel/internal/config"
	"creel/internal/probe"
	"creel/internal/runtime"
)

// prober asks an instance whether it is ready, by the conditions of the
// configuration.
type prober struct {
	ready, alive probe.Probe
	pace         probe.Pace
	dir, logPath string

	mu         sync.Mutex
	generation uint64   // the instance that was launched last
	env        []string // its environment
	logOffset  int64    // where its output begins
}

func newProber(g config.Gateway, logPath string) (*prober, error) {
	ready, err := probe.FromConfig(g.Ready)
	if err != nil {
		return nil, err
	}
	alive, err := probe.AliveFromConfig(g.Alive, g.Ready)
	if err != nil {
		return nil, err
	}
	p := &prober{ready: ready, alive: alive, dir: g.Dir, logPath: logPath}
	if g.Preset == config.PresetOpenClaw {
		p.pace = probe.SlowBoot
	}
	return p, nil
}

// launching takes note of an instance that is about to be launched.
func (p *prober) launching(spec runtime.Spec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation, p.env, p.logOffset = spec.Generation, spec.Env, 0
	if info, err := os.Stat(p.logPath); err == nil {
		p.logOffset = info.Size()
	}
}

// target describes an instance. Of one that an earlier creel launched, all of
// the output is looked at: where it begins is not known.
func (p *prober) target(inst runtime.Instance) probe.Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := probe.Target{Addr: inst.Addr(), Dir: p.dir, LogPath: p.logPath, Done: inst.Done()}
	if inst.Record().Generation == p.generation {
		t.Env, t.LogOffset = p.env, p.logOffset
	}
	return t
}

// Ready waits until the instance is ready.
func (p *prober) Ready(ctx context.Context, inst runtime.Instance) error {
	return probe.Wait(ctx, p.ready, p.target(inst), p.pace)
}

// Alive asks once whether the instance lives.
func (p *prober) Alive(ctx context.Context, inst runtime.Instance) error {
	return p.alive.Check(ctx, p.target(inst))
}
