package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measurement is one thing that is measured, from beginning to end. Its run
// leaves no process behind.
type measurement struct {
	name  string
	title string // a few words, for the document
	run   func(ctx context.Context, b *bench) ([]row, error)
	// compare is there in place of run where creel is compared with several others.
	compare func(ctx context.Context, b *bench) (*comparison, error)
}

// measurements are all there are, in the order of the report.
var measurements = []measurement{
	{name: "pass", title: "Small answers passed through", run: measurePass},
	{name: "bulk", title: "Large bodies passed through", run: measureBulk},
	{name: "recovery", title: "Back after a crash", run: measureRecovery},
	{name: "held", title: "Requests that wait for a boot", run: measureHeld},
	{name: "relay", title: "WebSocket messages", run: measureRelay},
	{name: "sockets", title: "Memory of idle WebSockets", run: measureSockets},
	{name: "idle", title: "Memory at rest", run: measureIdle},
	{name: "snapshot", title: "Snapshots of a state", compare: measureSnapshots},
	{name: "hog", title: "creel itself, beside a gateway that runs away", run: measureHogs},
}

// withPeers is what is measured besides if there are peers.
var withPeers = measurement{name: "peers", title: "Other proxies", compare: measurePeers}

func measurementNames() []string {
	var names []string
	for _, m := range append(slices.Clone(measurements), withPeers) {
		names = append(names, m.name)
	}
	return names
}

// chooseMeasurements picks measurements by name; an empty list stands for all,
// that with peers if there are any.
func chooseMeasurements(list string, peers bool) ([]measurement, error) {
	measurements := slices.Clone(measurements)
	if peers {
		measurements = append(measurements, withPeers)
	}
	if list == "" {
		return measurements, nil
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []measurement
	for _, m := range measurements {
		if wanted[m.name] {
			chosen = append(chosen, m)
			delete(wanted, m.name)
		}
	}
	for name := range wanted {
		if name == withPeers.name {
			return nil, errors.New("cannot compare with peers: say by -peers in which folder bench/setup-peers has put them")
		}
		return nil, fmt.Errorf("cannot measure %q: there are %s", name, strings.Join(measurementNames(), ", "))
	}
	return chosen, nil
}

// plan says how much of everything a run does.
type plan struct {
	Rounds  int           // of a measurement under load
	Warm    time.Duration // load before each count
	Count   time.Duration // load that is counted
	Kills   int           // in recovery
	Crashes int           // of the gateway behind each of several proxies
	Boots   int           // rounds of held requests
	Sockets int           // idle WebSockets
	Rests   int           // rounds of memory at rest, and of snapshots
	Assets  int           // files of the large folder in a state that is saved
	Freezes int           // snapshots of a gateway that writes
	Hold    time.Duration // how long idle WebSockets are kept before they are weighed
	RestFor time.Duration // how long memory must have stayed as it is to be at rest
	Watch   time.Duration // how long the machine is watched before each measurement
}

var (
	wholePlan = plan{Rounds: 5, Warm: 400 * time.Millisecond, Count: 1600 * time.Millisecond, Kills: 50, Crashes: 20, Boots: 15, Sockets: 2000, Rests: 3, Assets: stateAssets, Freezes: 100, Hold: 30 * time.Second, RestFor: 2 * time.Second, Watch: time.Second}
	quickPlan = plan{Rounds: 2, Warm: 150 * time.Millisecond, Count: 350 * time.Millisecond, Kills: 10, Crashes: 5, Boots: 3, Sockets: 500, Rests: 1, Assets: stateAssets, Freezes: 10, Hold: 0, RestFor: time.Second, Watch: 300 * time.Millisecond}
)

// bench is what measurements work with.
type bench struct {
	dir      string // holds what the processes write; removed at the end
	self     string // this binary
	plan     plan
	quick    bool
	progress io.Writer

	creel      contestant
	plain      contestant // what creel is compared with
	pooled     contestant // the same, made as cheap as its settings allow
	peersDir   string     // where bench/setup-peers has put the others; empty: they are not compared with
	creelBuild string
}

func newBench(o options, progress io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program's own file: %w", err)
	}
	binary, err := filepath.Abs(o.creel)
	if err != nil {
		return nil, fmt.Errorf("cannot find %s: %w", o.creel, err)
	}
	build, err := creelVersion(binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "creel-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder to work in: %w", err)
	}
	b := &bench{
		dir: dir, self: self, plan: wholePlan, quick: o.quick, progress: progress, creelBuild: build,
		peersDir: o.peers, creel: creel{binary: binary}, plain: reverseProxy{}, pooled: reverseProxy{pool: true},
	}
	if o.quick {
		b.plan = quickPlan
	}
	return b, nil
}

func (b *bench) close() error {
	if err := os.RemoveAll(b.dir); err != nil {
		return fmt.Errorf("cannot remove %s: %w", b.dir, err)
	}
	return nil
}

// measure makes the measurements one after the other. One that fails does not
// keep the others from being made, unless ctx has ended.
func (b *bench) measure(ctx context.Context, chosen []measurement) (report, error) {
	m, err := thisMachine()
	if err != nil {
		return report{}, err
	}
	r := report{Machine: m, Creel: b.creelBuild, Date: time.Now(), Quick: b.quick, Plan: b.plan}
	var errs []error
	for _, m := range chosen {
		share, err := othersShare(ctx, b.plan.Watch)
		if err != nil {
			return r, errors.Join(append(errs, err)...)
		}
		r.Others = append(r.Others, share)
		b.say("measuring %s (others use %.0f%% of the machine)", m.name, 100*share)
		rows, compared, err := m.make(ctx, b)
		if ctx.Err() != nil {
			return r, errors.Join(append(errs, fmt.Errorf("stopped while measuring %s: %w", m.name, context.Cause(ctx)))...)
		}
		if err != nil {
			r.Unmeasured = append(r.Unmeasured, m.name)
			errs = append(errs, fmt.Errorf("cannot measure %s: %w", m.name, err))
			continue
		}
		r.Sections = append(r.Sections, section{Name: m.name, Title: m.title, Rows: rows, Compared: compared})
	}
	r.Took = time.Since(r.Date)
	return r, errors.Join(errs...)
}

// make measures, in either way.
func (m measurement) make(ctx context.Context, b *bench) ([]row, *comparison, error) {
	if m.compare != nil {
		c, err := m.compare(ctx, b)
		return nil, c, err
	}
	rows, err := m.run(ctx, b)
	return rows, nil, err
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}
