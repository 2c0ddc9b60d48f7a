package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// peersRounds is how many rounds of load there are: fewer than with two
	// contestants, as each takes longer.
	peersRounds = 3
	// crashBoot is how long the gateway takes to boot where crashes are counted.
	crashBoot = 100 * time.Millisecond
)

// measurePeers puts creel beside the other proxies, and the standard library's.
func measurePeers(ctx context.Context, b *bench) (*comparison, error) {
	c := &comparison{}
	contestants := []contestant{b.creel, keptProxy{reverseProxy{}}}
	for _, p := range peers {
		v, err := p.version(ctx, b)
		if err != nil {
			return nil, err
		}
		c.Versions = append(c.Versions, v)
		contestants = append(contestants, p)
	}
	for _, k := range contestants {
		c.Names = append(c.Names, k.name())
	}
	if err := b.comparePassing(ctx, c, contestants); err != nil {
		return nil, err
	}
	return c, b.compareCrashes(ctx, c, contestants)
}

// comparePassing compares what passing requests on costs, and idle WebSockets.
func (b *bench) comparePassing(ctx context.Context, c *comparison, contestants []contestant) (err error) {
	n := b.plan.Sockets / 2
	if err := enoughFiles(n); err != nil {
		return err
	}
	up, err := b.stand(ctx, gatewayOptions{}, contestants...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	// Before the load, which leaves memory behind that idle sockets then use.
	sockets, err := b.socketMemory(ctx, up, n)
	if err != nil {
		return err
	}
	rounds := min(peersRounds, b.plan.Rounds)
	for _, k := range []struct{ kind, what string }{{loadGet, "GET"}, {loadPost, "POST"}} {
		all, err := b.contest(ctx, up, job{Kind: k.kind, Conns: passConns}, rounds, false)
		if err != nil {
			return err
		}
		cpu, rate := make([][]float64, len(all)), make([][]float64, len(all))
		for i, s := range all {
			cpu[i], rate[i] = s.cpu, s.rate
		}
		if err := errors.Join(
			c.row(k.what+" of 1 KiB, CPU of the proxy", "µs/request", cpu...),
			c.row(k.what+" of 1 KiB, throughput", "requests/s", rate...),
		); err != nil {
			return err
		}
	}
	return c.row(fmt.Sprintf("memory for each of %d idle WebSockets", n), "KiB", sockets...)
}

// socketMemory is how much memory n idle WebSockets take in each contestant, in
// KiB for each socket.
func (b *bench) socketMemory(ctx context.Context, up []*standing, n int) (per [][]float64, err error) {
	for _, s := range up {
		if err := serveSome(s.addr); err != nil {
			return nil, fmt.Errorf("cannot send requests to %s: %w", s.name, err)
		}
	}
	before, err := b.rest(ctx, up)
	if err != nil {
		return nil, err
	}
	clients, err := b.openEach(ctx, up, n)
	defer func() { err = errors.Join(err, releaseAll(clients)) }()
	if err != nil {
		return nil, err
	}
	after, err := b.rest(ctx, up)
	if err != nil {
		return nil, err
	}
	for i := range up {
		per = append(per, []float64{float64(after[i].Resident-before[i].Resident) / float64(n) / 1024})
	}
	return per, nil
}

// compareCrashes compares what becomes of requests while the gateway is killed
// again and again.
func (b *bench) compareCrashes(ctx context.Context, c *comparison, contestants []contestant) error {
	g := gatewayOptions{boot: crashBoot, ledger: true}
	boot, err := b.medianBoot(ctx, gatewayOptions{boot: crashBoot})
	if err != nil {
		return err
	}
	var lostSafe, lostUnsafe, twice, p50, most [][]float64
	for _, k := range contestants {
		r, err := b.crashes(ctx, k, g)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name(), err)
		}
		slices.Sort(r.back)
		kills := float64(b.plan.Crashes)
		lostSafe = append(lostSafe, []float64{float64(r.safe.lost) / kills})
		lostUnsafe = append(lostUnsafe, []float64{float64(r.unsafe.lost) / kills})
		twice = append(twice, []float64{float64(r.twice)})
		p50 = append(p50, []float64{percentile(r.back, 50) - boot})
		most = append(most, []float64{percentile(r.back, 100) - boot})
	}
	return errors.Join(
		c.row("GETs that failed, for each crash", "requests", lostSafe...),
		c.row("POSTs that failed, for each crash", "requests", lostUnsafe...),
		c.row(fmt.Sprintf("POSTs that were executed twice, in %d crashes", b.plan.Crashes), "requests", twice...),
		c.row("SIGKILL to first answer, less the boot, p50", "ms", p50...),
		c.row("SIGKILL to first answer, less the boot, max", "ms", most...),
	)
}

// medianBoot is how long a gateway takes to boot by itself, in milliseconds.
func (b *bench) medianBoot(ctx context.Context, g gatewayOptions) (float64, error) {
	var boots []float64
	for range 7 {
		d, err := bootAlone(ctx, b, b.dir, g)
		if err != nil {
			return 0, fmt.Errorf("cannot boot the gateway by itself: %w", err)
		}
		boots = append(boots, millis(d))
	}
	return median(boots), nil
}
