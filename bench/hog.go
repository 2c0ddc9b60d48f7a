package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// hogBar is how much slower creel's own page may be, in half of the cases, beside
// a gateway that takes all it may, as a multiple of what it is beside a quiet one.
var hogBar = &bar{Limit: 1.5, Of: barValue}

// hogs are gateways that run away, and the limit that each is held by.
var hogs = []struct{ kind, limit string }{
	{hogCPU, "cpu: 50"},
	{hogMemory, "memory: 128MiB"},
	{hogProcesses, "pids: 64"},
}

// The kinds of a hog.
const (
	hogCPU       = "cpu"
	hogMemory    = "memory"
	hogProcesses = "processes"
)

// measureHogs asks creel itself, over one open connection, while its gateway takes
// all it can get, and compares with what that takes beside a quiet gateway in the
// same round.
func measureHogs(ctx context.Context, b *bench) ([]row, error) {
	var quiet, tail []float64
	beside := map[string]*[2][]float64{}
	for _, h := range hogs {
		beside[h.kind] = &[2][]float64{}
	}
	for range b.plan.Rounds {
		calm, err := b.askBeside(ctx, "", "cpu: 50")
		if err != nil {
			return nil, err
		}
		quiet, tail = append(quiet, calm[0]), append(tail, calm[1])
		for _, h := range hogs {
			got, err := b.askBeside(ctx, h.kind, h.limit)
			if err != nil {
				return nil, fmt.Errorf("beside a hog of %s: %w", h.kind, err)
			}
			p := beside[h.kind]
			p[0], p[1] = append(p[0], got[0]/calm[0]), append(p[1], got[1])
		}
	}
	lines := []line{
		{"/_creel/healthz beside a quiet gateway, p50", "µs", nil, quiet, nil},
		{"/_creel/healthz beside a quiet gateway, p99", "µs", nil, tail, nil},
	}
	for _, h := range hogs {
		lines = append(lines,
			line{fmt.Sprintf("beside a hog of %s (%s), p50 as a multiple", h.kind, h.limit), "×", hogBar, beside[h.kind][0], nil},
			line{fmt.Sprintf("beside a hog of %s (%s), p99", h.kind, h.limit), "µs", nil, beside[h.kind][1], nil})
	}
	return rowsOf(lines...)
}

// askBeside gives the median and the 99th percentile, in microseconds, of asking
// creel for its own page beside a gateway of that kind.
func (b *bench) askBeside(ctx context.Context, kind, limit string) (got [2]float64, err error) {
	up, err := b.stand(ctx, gatewayOptions{}, hogged{creel: b.creel, kind: kind, limit: limit})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	w, err := dialWire(up[0].addr, time.Now().Add(wholeRun))
	if err != nil {
		return got, fmt.Errorf("cannot connect to creel: %w", err)
	}
	defer w.close()
	request := getRequest(up[0].addr, "/_creel/healthz")
	var took []float64
	for begun := time.Now(); time.Since(begun) < b.plan.Warm+b.plan.Count; {
		if ctx.Err() != nil {
			return got, context.Cause(ctx)
		}
		asked := time.Now()
		if _, err := w.get(request); err != nil {
			return got, fmt.Errorf("creel did not answer: %w", err)
		}
		if asked.Sub(begun) > b.plan.Warm {
			took = append(took, micros(time.Since(asked)))
		}
		// An open loop of a thousand per second: the machine is left to the hog.
		if err := pause(ctx, time.Millisecond); err != nil {
			return got, err
		}
	}
	if len(took) == 0 {
		return got, errNoValues
	}
	slices.Sort(took)
	return [2]float64{percentile(took, 50), percentile(took, 99)}, nil
}

// hogged is creel with a gateway that runs away; of kind "" it does not.
type hogged struct {
	creel       contestant
	kind, limit string
}

func (h hogged) name() string { return h.creel.name() }

func (h hogged) start(ctx context.Context, b *bench, dir string, g gatewayOptions) (*standing, error) {
	c, ok := h.creel.(creel)
	if !ok {
		return nil, fmt.Errorf("%s has no limits", h.creel.name())
	}
	c.limits, c.hog = h.limit, h.kind
	return c.start(ctx, b, dir, g)
}

// hogAfter is when a gateway begins to run away: it has answered by then.
const hogAfter = 300 * time.Millisecond

// runHog is the role of a gateway that runs away: -hog KIND, then what runGateway
// takes.
func runHog(args []string) error {
	if len(args) < 1 {
		return errors.New("of what?")
	}
	run := map[string]func(){hogCPU: spin, hogMemory: devour, hogProcesses: multiply}[args[0]]
	if run == nil {
		return fmt.Errorf("cannot take all of %q", args[0])
	}
	go func() { // ends with the process
		<-time.After(hogAfter)
		run()
	}()
	return runGateway(args[1:])
}

// spin keeps four threads per core busy.
func spin() {
	for range 4 * runtime.NumCPU() {
		go func() {
			for n := uint64(1); n != 0; n = n*6364136223846793005 + 1 {
			}
		}()
	}
}

// devour takes memory, and uses it, until the kernel ends the process.
func devour() {
	var held [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		held = append(held, b)
		runtime.KeepAlive(held)
	}
}

// multiply has a child start processes until there may be no more, and again when
// some have ended.
func multiply() {
	cmd := exec.Command("sh", "-c", "while :; do sleep 5 & done")
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot multiply any more:", err)
	}
}

// hogCommand puts the role in the place of the plain gateway's, if it is to be.
func hogCommand(kind string, command []string) []string {
	if kind == "" {
		return command
	}
	return append([]string{command[0], roleHog, kind}, command[2:]...)
}

// limitedSettings adds a limit to creel's settings.
func limitedSettings(limit string) string {
	if limit == "" {
		return creelSettings
	}
	return strings.Replace(creelSettings, "gateway:\n", "gateway:\n  limits: {"+limit+"}\n  restart: {fruitless: 1000}\n", 1)
}
