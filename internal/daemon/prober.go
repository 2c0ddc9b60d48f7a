package daemon

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/probe"
	"creel/internal/runtime"
)

// prober asks an instance whether it is ready, by the conditions of the
// configuration.
type prober struct {
	logPath string
	environ func(runtime.Record) []string // of an instance that was taken over

	mu         sync.Mutex
	conditions *conditions
	taken      taken
	ready      uint64   // the instance that was ready last
	generation uint64   // the instance that was launched last
	env        []string // its environment
	logOffset  int64    // where its output begins
}

// conditions are what a configuration says of being ready and being alive.
type conditions struct {
	ready, alive probe.Probe
	pulse        probe.Pulse
	word         probe.Pulse // where OpenClaw tells how it is; no path: another app
	pace         probe.Pace
	dir          string
}

func (d *daemon) newConditions(g config.Gateway) (*conditions, error) {
	ready, err := probe.FromConfig(g.Ready)
	if err != nil {
		return nil, err
	}
	alive, err := probe.AliveFromConfig(g.Alive, g.Ready)
	if err != nil {
		return nil, err
	}
	c := &conditions{ready: sparing{ready, d.spare}, alive: sparing{alive, d.spare}, dir: g.Dir, pulse: probe.PulseFromConfig(g.Alive, g.Ready)}
	if g.Preset == config.PresetOpenClaw {
		c.pace = probe.SlowBoot
		c.word = probe.Pulse{Path: g.Ready.Path}
	}
	return c, nil
}

// set has probes that begin from now on ask for other conditions.
func (p *prober) set(c *conditions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conditions = c
	p.taken = taken{} // they may have a command now, which needs it
}

func (p *prober) present() *conditions {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conditions
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

// target gives the conditions, and describes an instance. Of one that an earlier creel launched, all of
// the output is looked at: where it begins is not known. See taken.
func (p *prober) target(inst runtime.Instance) (*conditions, probe.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := probe.Target{Addr: inst.Addr(), Dir: p.conditions.dir, LogPath: p.logPath, Done: inst.Done()}
	rec := inst.Record()
	ours := rec.Generation == p.generation
	if ours {
		t.Env, t.LogOffset = p.env, p.logOffset
	} else {
		t.Env = p.environOf(rec)
	}
	t.LogCut = (!ours || rec.Generation == p.ready) && hasRotated(p.logPath, rec.StartedAt)
	return p.conditions, t
}

// wasReady takes note of an instance that is ready.
func (p *prober) wasReady(inst runtime.Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = inst.Record().Generation
}

// Ready waits until the instance is ready.
func (p *prober) Ready(ctx context.Context, inst runtime.Instance) error {
	c, target := p.target(inst)
	err := probe.Wait(ctx, c.ready, target, c.pace)
	if err == nil {
		p.wasReady(inst)
	}
	return err
}

// slowAnswer is an answer after which the app is asked how it is.
const slowAnswer = time.Second

// Pulse asks once whether the instance answers at all.
func (p *prober) Pulse(ctx context.Context, inst runtime.Instance) (gateway.Pulse, error) {
	c, target := p.target(inst)
	began := time.Now()
	_, err := c.pulse.Ask(ctx, target)
	if probe.VerdictOf(err) == probe.Unchecked && err != nil {
		return gateway.Pulse{}, fmt.Errorf("%w: %w", gateway.ErrNotAsked, err)
	}
	if err != nil {
		return gateway.Pulse{}, err
	}
	pulse := gateway.Pulse{Weak: c.pulse.Weak()}
	if c.word.Path != "" && time.Since(began) > slowAnswer {
		// No answer to this one says no more than that the app is slow, which is
		// known: it has just answered.
		if body, err := c.word.Ask(ctx, target); err == nil {
			pulse.Stuck = openclaw.Stuck(body)
		}
	}
	return pulse, nil
}

// Alive asks once whether the instance lives.
func (p *prober) Alive(ctx context.Context, inst runtime.Instance) error {
	c, target := p.target(inst)
	return c.alive.Check(ctx, target)
}
