package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// recoveryBar is how long after SIGKILL the next instance's first answer may
// come at the latest, its own boot time taken off, in milliseconds.
var recoveryBar = &bar{Limit: 20, Of: barValue}

// measureRecovery kills the gateway again and again and asks at once. After each
// kill it boots the same command by itself, so that both meet the same moods of
// the machine.
func measureRecovery(ctx context.Context, b *bench) (rows []row, err error) {
	up, err := b.stand(ctx, gatewayOptions{}, b.creel)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	w, err := dialWire(up[0].addr, time.Now().Add(wholeRun))
	if err != nil {
		return nil, fmt.Errorf("cannot connect to creel: %w", err)
	}
	defer w.close()
	dir, err := os.MkdirTemp(b.dir, "boot-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the gateway: %w", err)
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same pauses in each run
	var back, boots []float64
	for i := range b.plan.Kills {
		if err := pause(ctx, 50*time.Millisecond+time.Duration(random.Int64N(int64(200*time.Millisecond)))); err != nil {
			return nil, err
		}
		d, err := killAndAsk(w, up[0].addr)
		if err != nil {
			return nil, fmt.Errorf("kill %d of %d: %w", i+1, b.plan.Kills, err)
		}
		back = append(back, millis(d))
		if d, err = bootAlone(ctx, b, dir, gatewayOptions{}); err != nil {
			return nil, fmt.Errorf("cannot boot the gateway by itself: %w", err)
		}
		boots = append(boots, millis(d))
	}
	return recoveryRows(back, boots)
}

func recoveryRows(back, boots []float64) ([]row, error) {
	boot := median(boots)
	slices.Sort(back)
	over := make([]float64, len(back))
	for i := range back {
		over[i] = back[i] - boot
	}
	kills := fmt.Sprintf(" (of %d kills)", len(back))
	return rowsOf(
		line{"the gateway's own boot, alone, median", "ms", nil, []float64{boot}, nil},
		line{"SIGKILL to first answer, median" + kills, "ms", nil, []float64{median(back)}, nil},
		line{"the same less the boot, p50", "ms", nil, []float64{percentile(over, 50)}, nil},
		line{"the same less the boot, p99", "ms", recoveryBar, []float64{percentile(over, 99)}, nil},
		line{"the same less the boot, max", "ms", nil, []float64{over[len(over)-1]}, nil},
	)
}

// killAndAsk kills the gateway behind addr with SIGKILL and returns how long it
// took from then to the first answer of the next instance.
func killAndAsk(w *wire, addr string) (time.Duration, error) {
	before, err := w.whoami(addr)
	if err != nil {
		return 0, fmt.Errorf("cannot find out whom to kill: %w", err)
	}
	began := time.Now()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("cannot kill the gateway, pid %d: %w", before.PID, err)
	}
	for time.Since(began) < bootPatience {
		now, err := w.whoami(addr)
		if err != nil {
			return 0, fmt.Errorf("the request after the kill failed: %w", err)
		}
		if now.PID != before.PID { // else it had been quicker than the signal
			return time.Since(began), nil
		}
	}
	return 0, fmt.Errorf("pid %d answers %v after it was killed", before.PID, bootPatience)
}

// bootAlone starts a gateway with nothing in front of it, and returns how long
// it took from then to its first answer.
func bootAlone(ctx context.Context, b *bench, dir string, g gatewayOptions) (took time.Duration, err error) {
	addr, err := freeAddr()
	if err != nil {
		return 0, err
	}
	environ := append(os.Environ(), "PORT="+portOf(addr))
	command := g.command(b, dir)
	began := time.Now()
	p, err := startChild(filepath.Join(dir, "output"), environ, command...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.kill()) }()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		if _, err := whoami(addr); err == nil {
			return time.Since(began), nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return 0, fmt.Errorf("it ended: %w; its output:\n%s", p.err, p.tail())
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		if time.Since(began) > bootPatience {
			return 0, fmt.Errorf("no answer within %v; its output:\n%s", bootPatience, p.tail())
		}
	}
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
