package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Kinds of load. Each connection has one unit under way at any time (a closed
// loop), so that a slower proxy gets less to do and none is driven into a queue.
const (
	loadGet      = "get"      // GET, 1 KiB back
	loadPost     = "post"     // POST of 1 KiB, 1 KiB back
	loadDownload = "download" // GET of a large body
	loadUpload   = "upload"   // POST of a large body, which may not be sent again
	loadPut      = "put"      // PUT of a large body, which may be sent again and is kept for that
	loadEcho     = "echo"     // a WebSocket message there and back
)

// job is what a load generator is to do.
type job struct {
	Kind  string        `json:"kind"`
	Addr  string        `json:"addr"`
	Conns int           `json:"conns"`
	Size  int           `json:"size"` // bytes of a large body or a message
	Warm  time.Duration `json:"warm"`
	Count time.Duration `json:"count"`
	PIDs  []int         `json:"pids"` // processes whose processor time is wanted
}

// tally is what a load generator has counted.
type tally struct {
	Units   int64         `json:"units"` // within the time counted
	Bytes   int64         `json:"bytes"` // of large bodies, within the time counted
	All     int64         `json:"all"`   // units, warm-up included
	Elapsed time.Duration `json:"elapsed"`
	CPU     time.Duration `json:"cpu"` // of the processes asked for, within the time counted
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
}

// load runs a job in a process of its own and returns what it has counted.
func (b *bench) load(ctx context.Context, j job) (tally, error) {
	ctx, cancel := context.WithTimeout(ctx, j.Warm+j.Count+loadPatience)
	defer cancel()
	arg, err := json.Marshal(j)
	if err != nil {
		return tally{}, fmt.Errorf("cannot encode a job: %w", err)
	}
	cmd := exec.CommandContext(ctx, b.self, roleLoad, string(arg))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return tally{}, fmt.Errorf("cannot load %s with %s: %w", j.Addr, j.Kind, err)
	}
	var t tally
	if err := json.Unmarshal(out, &t); err != nil {
		return tally{}, fmt.Errorf("cannot read the load generator's answer %q: %w", out, err)
	}
	if t.Units == 0 && t.Bytes == 0 {
		return tally{}, fmt.Errorf("cannot load %s with %s: nothing got through in %v", j.Addr, j.Kind, j.Count)
	}
	return t, nil
}

// loadPatience is how much longer than its job a load generator may take.
const loadPatience = 20 * time.Second

// runLoad is the role of a load generator.
func runLoad(args []string) error {
	// One thread at a time: a second one would spend more on looking for work
	// than it could do, and take that from the proxy.
	runtime.GOMAXPROCS(1)
	if len(args) != 1 {
		return errors.New("cannot do without a job")
	}
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return fmt.Errorf("cannot read the job: %w", err)
	}
	t, err := j.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}

// generator is a job under way.
type generator struct {
	job      job
	units    atomic.Int64
	bytes    atomic.Int64
	counting atomic.Bool
	stopping atomic.Bool
	broken   chan error // the first failure; capacity: one for each connection
}

// run connects, warms up, counts, and stops.
func (j job) run() (tally, error) {
	g := &generator{job: j, broken: make(chan error, j.Conns)}
	until := time.Now().Add(j.Warm + j.Count + loadPatience)
	var workers sync.WaitGroup
	var wires []*wire
	latencies := make([][]time.Duration, j.Conns)
	for i := range j.Conns {
		w, err := dialWire(j.Addr, until)
		if err != nil {
			g.broken <- err
			break
		}
		w.passed = func(n int) { g.bytes.Add(int64(n)) }
		wires = append(wires, w)
		workers.Go(func() { latencies[i] = g.drive(w) })
	}
	t, err := g.count()
	g.stopping.Store(true)
	for _, w := range wires {
		err = errors.Join(err, w.close()) // a worker that waits finds out by it
	}
	workers.Wait()
	if err != nil {
		return tally{}, err
	}
	t.All = g.units.Load()
	if all := slices.Concat(latencies...); len(all) > 0 {
		slices.Sort(all)
		t.P50, t.P99 = percentile(all, 50), percentile(all, 99)
	}
	return t, nil
}

// count lets the warm-up pass and counts what is done afterwards.
func (g *generator) count() (tally, error) {
	if err := g.pass(g.job.Warm); err != nil {
		return tally{}, err
	}
	before, err := cpuTime(g.job.PIDs)
	if err != nil {
		return tally{}, err
	}
	units, bytes, began := g.units.Load(), g.bytes.Load(), time.Now()
	g.counting.Store(true)
	if err := g.pass(g.job.Count); err != nil {
		return tally{}, err
	}
	t := tally{Units: g.units.Load() - units, Bytes: g.bytes.Load() - bytes, Elapsed: time.Since(began)}
	g.counting.Store(false)
	after, err := cpuTime(g.job.PIDs)
	t.CPU = after - before
	return t, err
}

// pass lets time pass, unless something breaks.
func (g *generator) pass(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-g.broken:
		return err
	}
}

// drive does unit after unit until the end, and returns how long those took
// that were counted.
func (g *generator) drive(w *wire) []time.Duration {
	unit, err := g.job.unit(w)
	var took []time.Duration
	for err == nil && !g.stopping.Load() {
		began := time.Now()
		if err = unit(); err != nil {
			break
		}
		g.units.Add(1)
		if g.counting.Load() {
			took = append(took, time.Since(began))
		}
	}
	if err != nil && !g.stopping.Load() {
		g.broken <- err
	}
	return took
}

// unit prepares what is done on a connection again and again.
func (j job) unit(w *wire) (func() error, error) {
	switch j.Kind {
	case loadGet:
		request := getRequest(j.Addr, "/small")
		return func() error { return w.exchange(request, smallBody) }, nil
	case loadPost:
		request := append(bodyHead("POST", j.Addr, "/small", smallBody), make([]byte, smallBody)...)
		return func() error { return w.exchange(request, smallBody) }, nil
	case loadDownload:
		request, buf := getRequest(j.Addr, fmt.Sprintf("/big?n=%d", j.Size)), make([]byte, 256<<10)
		return func() error {
			if _, err := w.conn.Write(request); err != nil {
				return err
			}
			return w.receive(j.Size, buf)
		}, nil
	case loadUpload, loadPut:
		method := map[string]string{loadUpload: "POST", loadPut: "PUT"}[j.Kind]
		head, buf := bodyHead(method, j.Addr, "/sink", j.Size), make([]byte, 256<<10)
		return func() error {
			if _, err := w.conn.Write(head); err != nil {
				return err
			}
			if err := w.send(j.Size, buf); err != nil {
				return err
			}
			return w.answer(1)
		}, nil
	case loadEcho:
		return j.echoUnit(w)
	}
	return nil, fmt.Errorf("cannot generate load of the kind %q", j.Kind)
}

// echoUnit upgrades the connection and prepares to send a message there and back.
func (j job) echoUnit(w *wire) (func() error, error) {
	f, err := w.upgrade(j.Addr)
	if err != nil {
		return nil, err
	}
	message := make([]byte, j.Size)
	return func() error {
		if err := f.send(opBinary, message); err != nil {
			return err
		}
		back, err := f.next()
		if err == nil && len(back) != j.Size {
			err = fmt.Errorf("a message of %d bytes came back as %d", j.Size, len(back))
		}
		return err
	}, nil
}
