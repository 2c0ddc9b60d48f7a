package main

import (
	"context"
	"fmt"
	"time"
)

// series is what one contestant did under one kind of load, round by round.
type series struct {
	rate       []float64 // units per second
	cpu        []float64 // µs of processor time per unit
	p50, p99   []float64 // µs
	mbps       []float64 // MB (10⁶ bytes) of bodies per second
	cpuPerGiB  []float64 // seconds of processor time per GiB of bodies
	mallocs    []float64 // allocations per unit
	allocBytes []float64 // their bytes
}

// contest puts a load on contestants in turn, for as many rounds as planned.
// Who begins changes from round to round. counters says whether they are asked
// for their allocations too.
func (b *bench) contest(ctx context.Context, up []*standing, j job, rounds int, counters bool) ([]series, error) {
	all := make([]series, len(up))
	for round := range rounds {
		for i := range up {
			k := (i + round) % len(up)
			if err := b.turn(ctx, up[k], j, counters, &all[k]); err != nil {
				return nil, fmt.Errorf("cannot put a load on %s: %w", up[k].name, err)
			}
		}
	}
	return all, nil
}

// turn is one contestant's part of a round.
func (b *bench) turn(ctx context.Context, s *standing, j job, counted bool, to *series) error {
	j.Addr, j.PIDs = s.addr, s.pids
	j.Warm, j.Count = b.plan.Warm, b.plan.Count
	var before, after counters
	var err error
	if counted {
		if before, err = s.counters(ctx); err != nil {
			return err
		}
	}
	t, err := b.load(ctx, j)
	if err != nil {
		return err
	}
	if counted {
		if after, err = s.counters(ctx); err != nil {
			return err
		}
	}
	to.add(t)
	if counted {
		to.mallocs = append(to.mallocs, (after.Mallocs-before.Mallocs)/float64(t.All))
		to.allocBytes = append(to.allocBytes, (after.AllocBytes-before.AllocBytes)/float64(t.All))
	}
	return nil
}

// add takes in one round. What has no meaning for a kind of load (a large body
// may take longer than the time counted) is not a number, and figureOf refuses it.
func (s *series) add(t tally) {
	units, bytes := float64(t.Units), float64(t.Bytes)
	s.rate = append(s.rate, units/t.Elapsed.Seconds())
	s.cpu = append(s.cpu, micros(t.CPU)/units)
	s.p50, s.p99 = append(s.p50, micros(t.P50)), append(s.p99, micros(t.P99))
	s.mbps = append(s.mbps, bytes/1e6/t.Elapsed.Seconds())
	s.cpuPerGiB = append(s.cpuPerGiB, t.CPU.Seconds()/(bytes/(1<<30)))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// line is a row to be made of what two contestants did.
type line struct {
	what, unit  string
	bar         *bar
	creel, peer []float64
}

// rowsOf makes rows of lines.
func rowsOf(lines ...line) ([]row, error) {
	rows := make([]row, len(lines))
	for i, l := range lines {
		var err error
		if rows[i], err = l.row(); err != nil {
			return nil, fmt.Errorf("cannot report %q: %w", l.what, err)
		}
	}
	return rows, nil
}

// row sums a line up. A line without a peer has no ratio.
func (l line) row() (row, error) {
	r := row{What: l.what, Unit: l.unit, Bar: l.bar}
	var err error
	if r.Creel, err = figureOf(l.creel...); err != nil {
		return row{}, err
	}
	if l.peer == nil {
		return r, nil
	}
	peer, err := figureOf(l.peer...)
	if err != nil {
		return row{}, err
	}
	quotients, err := ratios(l.creel, l.peer)
	if err != nil {
		return row{}, err
	}
	ratio, err := figureOf(quotients...)
	if err != nil {
		return row{}, err
	}
	r.Peer, r.Ratio = &peer, &ratio
	return r, nil
}
