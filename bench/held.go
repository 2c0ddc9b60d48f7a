package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	heldRequests = 50
	heldBoot     = 300 * time.Millisecond
)

// How long requests may wait after their gateway is ready, in milliseconds.
var (
	heldP50Bar = &bar{Limit: 2, Of: barValue}
	heldMaxBar = &bar{Limit: 10, Of: barValue}
)

// measureHeld measures how long requests go on waiting once their gateway is
// ready. Gateways boot in two ways, which a probe meets differently: one begins
// to listen when it is ready, the other listens at once and answers 503 until
// it is ready.
//
// All requests of a round are answered at once, by as many cores as there are.
// What that takes by itself is measured as well: the same requests to a gateway
// that has been ready all along. And a request that waits alone shows how long
// it takes to find out that the gateway is ready.
func measureHeld(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, k := range []struct {
		what    string
		tooSoon bool
	}{
		{"gateway listens when ready", false},
		{"gateway answers 503 until ready", true},
	} {
		h, err := b.holdRounds(ctx, gatewayOptions{boot: heldBoot, tooSoon: k.tooSoon})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.what, err)
		}
		r, err := h.rows(k.what)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

// held is what was found about one kind of gateway, in milliseconds.
type held struct {
	waits  []float64 // from ready to answer, of requests that wait together
	bursts []float64 // of the same requests from sending to answer, with no boot to wait for
	alone  []float64 // from ready to answer, of a request that waits alone
}

func (h held) rows(what string) ([]row, error) {
	for _, values := range [][]float64{h.waits, h.bursts, h.alone} {
		slices.Sort(values)
	}
	one := func(values []float64, p float64) []float64 { return []float64{percentile(values, p)} }
	return rowsOf(
		line{fmt.Sprintf("%s; %d wait: ready to answer, p50 (of %d)", what, heldRequests, len(h.waits)), "ms", heldP50Bar, one(h.waits, 50), nil},
		line{what + ": p99", "ms", nil, one(h.waits, 99), nil},
		line{what + ": max", "ms", heldMaxBar, one(h.waits, 100), nil},
		line{"the same requests, no boot to wait for: p50", "ms", nil, one(h.bursts, 50), nil},
		line{"the same requests, no boot to wait for: max", "ms", nil, one(h.bursts, 100), nil},
		line{fmt.Sprintf("one that waits alone: ready to answer, p50 (of %d)", len(h.alone)), "ms", nil, one(h.alone, 50), nil},
		line{"one that waits alone: max", "ms", nil, one(h.alone, 100), nil},
	)
}

// holdRounds lets requests wait through boots of a gateway.
func (b *bench) holdRounds(ctx context.Context, g gatewayOptions) (h held, err error) {
	up, err := b.stand(ctx, g, b.creel)
	if err != nil {
		return held{}, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	wires, err := openWires(up[0].addr, heldRequests)
	if err != nil {
		return held{}, err
	}
	defer func() { err = errors.Join(err, closeWires(wires)) }()
	for range b.plan.Boots {
		if err := ctx.Err(); err != nil {
			return held{}, context.Cause(ctx)
		}
		if err := h.round(up[0].addr, wires); err != nil {
			return held{}, err
		}
	}
	return h, nil
}

// round is one boot for all requests together, the same requests without a boot,
// and one boot for a request alone.
func (h *held) round(addr string, wires []*wire) error {
	waits, err := holdRound(addr, wires)
	if err != nil {
		return err
	}
	h.waits = append(h.waits, waits...)
	burst, err := askAll(addr, wires)
	if err != nil {
		return err
	}
	for _, a := range burst {
		h.bursts = append(h.bursts, millis(a.received.Sub(a.sent)))
	}
	alone, err := holdRound(addr, wires[:1])
	h.alone = append(h.alone, alone...)
	return err
}

// openWires connects, and makes one request on each connection, so that a wait
// measured later has nothing of a beginning in it.
func openWires(addr string, n int) ([]*wire, error) {
	var wires []*wire
	for range n {
		w, err := dialWire(addr, time.Now().Add(wholeRun))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot connect: %w", err), closeWires(wires))
		}
		wires = append(wires, w)
		if _, err := w.whoami(addr); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot reach the gateway: %w", err), closeWires(wires))
		}
	}
	return wires, nil
}

func closeWires(wires []*wire) error {
	var errs []error
	for _, w := range wires {
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}

// holdRound kills the gateway, sends a request on each connection while the next
// one boots, and returns how long after that one was ready each was answered.
func holdRound(addr string, wires []*wire) ([]float64, error) {
	before, err := wires[0].whoami(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot find out whom to kill: %w", err)
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("cannot kill the gateway, pid %d: %w", before.PID, err)
	}
	answers, err := askAll(addr, wires)
	if err != nil {
		return nil, fmt.Errorf("a request that waited failed: %w", err)
	}
	var waits []float64
	for _, a := range answers {
		ready := time.Unix(0, a.ReadyAt)
		if a.PID == before.PID || a.sent.After(ready) {
			return nil, errors.New("a request did not have to wait")
		}
		waits = append(waits, millis(a.received.Sub(ready)))
	}
	return waits, nil
}

// asked is one request, and what came of it.
type asked struct {
	identity
	sent, received time.Time
}

// askAll sends a request on each connection at once, and waits for all answers.
func askAll(addr string, wires []*wire) ([]asked, error) {
	all, errs := make([]asked, len(wires)), make([]error, len(wires))
	var asking sync.WaitGroup // each ends with its answer, or with the connection's deadline
	for i, w := range wires {
		asking.Go(func() {
			a := &all[i]
			a.sent = time.Now()
			a.identity, errs[i] = w.whoami(addr)
			a.received = time.Now()
		})
	}
	asking.Wait()
	return all, errors.Join(errs...)
}
