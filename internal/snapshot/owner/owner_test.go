package owner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	term     = 5 * time.Minute
	stopTime = 40 * time.Second
)

// machine is a creel on a machine, whose clock has a rate and a beginning of its own.
type machine struct {
	*Owner
	line *line
	gw   *fakeGateway
	ctx  context.Context
	stop context.CancelFunc
	done sync.WaitGroup
}

// booted is when the machines were started.
var booted = time.Date(1999, time.December, 31, 0, 0, 0, 0, time.UTC)

type home struct {
	name, dir, boot string
	rate            float64
	seed            uint64
}

func newMachine(t testing.TB, l *fakeLedger, p home) *machine {
	t.Helper()
	m := &machine{line: &line{l: l, dice: rand.New(rand.NewPCG(p.seed, 1)), delay: 50 * time.Millisecond}}
	if p.rate == 0 {
		p.rate = 1
	}
	o, err := New(Options{
		Gateway: "g", Self: Self{Machine: p.name, DataDir: "/data", boot: p.boot + "boot of " + p.name, place: p.dir}, Path: filepath.Join(p.dir, "owner.json"),
		Open: func(context.Context) (store.Ledger, error) { return m.line, nil },
		Term: term, StopTime: func() time.Duration { return stopTime },
		Now: func() time.Duration { return time.Duration(float64(time.Since(booted)) * p.rate) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Owner = o
	m.gw = &fakeGateway{o: o, stopTime: time.Duration(float64(stopTime-5*time.Second) / p.rate), state: gateway.Stopped}
	return m
}

func (m *machine) start() {
	ctx, stop := context.WithCancel(context.Background())
	m.ctx, m.stop = ctx, stop
	m.done.Go(func() { m.Run(ctx) })
	m.done.Go(func() { m.Enforce(ctx, m.gw) })
}

// halt ends creel; a gateway of it is not stopped.
func (m *machine) halt() {
	m.stop()
	m.done.Wait()
	m.gw.wait.Wait()
}

// fakeGateway runs while it may, and takes its time to stop.
type fakeGateway struct {
	o        *Owner
	stopTime time.Duration
	wait     sync.WaitGroup

	mu    sync.Mutex
	state gateway.State
	cause gateway.Cause
	tell  func(runs bool)
}

func (g *fakeGateway) Status() gateway.Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return gateway.Status{State: g.state, LastEnd: &gateway.End{Cause: g.cause}}
}

// launch is what a supervisor does: it demands the lease first.
func (g *fakeGateway) launch(ctx context.Context) {
	_, err := g.o.Demand(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.state, g.cause = gateway.Failed, End(err).Cause
		return
	}
	g.state = gateway.Ready
	if g.tell != nil {
		g.tell(true)
	}
}

func (g *fakeGateway) LeaseHeld(ctx context.Context) error {
	g.launch(ctx)
	return nil
}

func (g *fakeGateway) LeaseLost(_ context.Context, why gateway.End) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != gateway.Ready {
		return nil
	}
	g.state, g.cause = gateway.Draining, why.Cause
	g.wait.Go(func() {
		time.Sleep(g.stopTime)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.state = gateway.Failed
		if g.tell != nil {
			g.tell(false)
		}
	})
	return nil
}

func (g *fakeGateway) ready() bool { return g.Status().State == gateway.Ready }

func wantElsewhere(t *testing.T, m *machine, by string) *ElsewhereError {
	t.Helper()
	_, err := m.Demand(t.Context())
	elsewhere, ok := errors.AsType[*ElsewhereError](err)
	if !ok || elsewhere.Owner.Machine != by {
		t.Fatalf("%v, want it to be owned by %s", err, by)
	}
	return elsewhere
}

func wantHeld(t *testing.T, m *machine) uint64 {
	t.Helper()
	fence, err := m.Demand(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fence
}

// TestSecondIsRefused, then takes over a whole term after the first has fallen
// silent, and the first is refused when it comes back.
func TestSecondIsRefused(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a := newMachine(t, l, home{name: "a", dir: dirs[0]})
		a.start()
		if fence := wantHeld(t, a); fence != 1 {
			t.Fatalf("fencing number %d", fence)
		}
		b := newMachine(t, l, home{name: "b", dir: dirs[1]})
		b.start()
		defer b.halt()
		if e := wantElsewhere(t, b, "a"); e.Free > term || e.Free < term-time.Second {
			t.Fatalf("free in %v", e.Free)
		}
		time.Sleep(10 * term) // it is renewed all the time
		wantElsewhere(t, b, "a")
		wantHeld(t, a)
		a.halt() // killed
		last := time.Now()
		b.gw.launch(t.Context())
		for !b.gw.ready() {
			if time.Since(last) > term+2*lastLook {
				t.Fatal("it is not taken over")
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(last); took < term-term/renewals-time.Second {
			t.Fatalf("taken over after %v", took)
		}
		if fence := wantHeld(t, b); fence != 2 {
			t.Fatalf("fencing number %d", fence)
		}
		again := newMachine(t, l, home{name: "a", dir: dirs[0]})
		again.start()
		defer again.halt()
		wantElsewhere(t, again, "b")
		if _, err := again.Confirm(t.Context()); err == nil {
			t.Fatal("what is not owned is confirmed")
		}
	})
}

// TestBackAtOnce: the same data folder on the same machine does not wait, with or
// without the store; another boot waits, unless the lease was given back.
func TestBackAtOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a := newMachine(t, l, home{name: "a", dir: dir})
		a.start()
		fence := wantHeld(t, a)
		a.halt() // killed, and started again
		a = newMachine(t, l, home{name: "a", dir: dir})
		a.line.broken = true
		a.start()
		if got := wantHeld(t, a); got != fence {
			t.Fatalf("fencing number %d, then %d", fence, got)
		}
		a.halt()
		rebooted := newMachine(t, l, home{name: "a", dir: dir, boot: "other "})
		rebooted.start()
		if e := wantElsewhere(t, rebooted, "a"); !e.Rebooted {
			t.Fatalf("%+v", e)
		}
		time.Sleep(term + time.Second)
		if got := wantHeld(t, rebooted); got != fence {
			t.Fatalf("fencing number %d, then %d, though nobody had it in between", fence, got)
		}
		rebooted.halt()
		if err := rebooted.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := newMachine(t, l, home{name: "b", dir: t.TempDir()})
		other.start()
		defer other.halt()
		if got := wantHeld(t, other); got != fence+1 {
			t.Fatalf("fencing number %d after a release, want %d", got, fence+1)
		}
	})
}

// TestStoreAway: the gateway is stopped before the term is over, and starts again
// when the store is back. A short pause is not noticed.
func TestStoreAway(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a := newMachine(t, l, home{name: "a", dir: dir})
		a.start()
		defer a.halt()
		a.gw.launch(t.Context())
		cut := func(away bool) { a.line.set(func(n *line) { n.broken = away }) }
		cut(true)
		time.Sleep(term - term/renewals - stopTime - drift(term) - 2*time.Second)
		if !a.gw.ready() {
			t.Fatal("a pause that the term outlasts has stopped it")
		}
		cut(false)
		time.Sleep(term)
		if !a.gw.ready() {
			t.Fatal("it is not ready")
		}
		cut(true)
		gone := time.Now()
		a.gw.mu.Lock()
		a.gw.tell = func(runs bool) {
			if took := time.Since(gone); !runs && took > term {
				t.Errorf("it had stopped after %v only", took)
			}
		}
		a.gw.mu.Unlock()
		time.Sleep(2 * term)
		if st := a.gw.Status(); st.State != gateway.Failed || st.LastEnd.Cause != gateway.CauseOwnerUnknown {
			t.Fatalf("%+v", st)
		}
		cut(false)
		time.Sleep(time.Minute)
		if !a.gw.ready() {
			t.Fatal("it does not start again by itself")
		}
	})
}

// TestLostAnswer: a write whose answer is lost counts from when it was sent.
func TestLostAnswer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a := newMachine(t, l, home{name: "a", dir: dir})
		a.line.lose = 1
		a.start()
		defer a.halt()
		wantHeld(t, a)
		if st := a.Status(); st.Fence != 1 || st.Left > term-stopTime-drift(term) {
			t.Fatalf("%+v", st)
		}
		l.late.Wait()
	})
}

// TestTakeOver: a person may, at once; the other finds out, and stops.
func TestTakeOver(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a, b := newMachine(t, l, home{name: "a", dir: dirs[0]}), newMachine(t, l, home{name: "b", dir: dirs[1]})
		a.start()
		defer a.halt()
		a.gw.launch(t.Context())
		b.start()
		defer b.halt()
		b.gw.launch(t.Context())
		if err := b.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if !b.gw.ready() {
			t.Fatal("it does not run where it was taken over")
		}
		time.Sleep(term/renewals + stopTime + time.Second)
		if st := a.gw.Status(); st.State != gateway.Failed || st.LastEnd.Cause != gateway.CauseOwnedElsewhere {
			t.Fatalf("%+v", st)
		}
		wantElsewhere(t, a, "b")
	})
}

// TestTakeOverUnseen: where the other does not reach the store, two run until the end of
// its term, and no longer.
func TestTakeOverUnseen(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a, b := newMachine(t, l, home{name: "a", dir: dirs[0]}), newMachine(t, l, home{name: "b", dir: dirs[1]})
		a.start()
		defer a.halt()
		a.gw.launch(t.Context())
		b.start()
		defer b.halt()
		b.gw.launch(t.Context())
		a.line.set(func(n *line) { n.broken = true })
		if err := b.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(term)
		if st := a.gw.Status(); st.State != gateway.Failed || !b.gw.ready() {
			t.Fatalf("a term on: %+v, and the other: %+v", st, b.gw.Status())
		}
	})
}

// TestNeverTwo: with delays, losses, partitions, deaths and clocks of any rate
// within the bounds, no two gateways ever run at once, and none is left without one
// for ever.
func TestNeverTwo(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		rates := make([]float64, len(dirs))
		for i := range rates {
			rates[i] = rapid.Float64Range(0.995, 1.005).Draw(rt, "rate")
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		var wrong []string
		runs := 0
		synctest.Test(t, func(t *testing.T) {
			wrong, runs = walk(t, dirs, rates, seed, run)
		})
		if len(wrong) > 0 {
			rt.Fatalf("%v", wrong)
		}
		if runs == 0 {
			rt.Fatal("none of them has ever run")
		}
	})
}

// walk lets machines share a gateway for a long time, and says what went wrong.
func walk(t *testing.T, dirs []string, rates []float64, seed uint64, run int) (wrong []string, launches int) {
	dice := rand.New(rand.NewPCG(seed, 2))
	l := &fakeLedger{}
	var mu sync.Mutex
	running := map[int]bool{}
	begun := time.Now()
	all := make([]*machine, len(dirs))
	boot := func(i, n int) {
		m := newMachine(t, l, home{name: fmt.Sprint("m", i), dir: dirs[i], boot: fmt.Sprintf("%d/%d ", run, n), rate: rates[i], seed: dice.Uint64()})
		m.gw.tell = func(runs bool) {
			mu.Lock()
			defer mu.Unlock()
			for j := range running {
				if runs && running[j] && j != i {
					wrong = append(wrong, fmt.Sprintf("after %v m%d and m%d run", time.Since(begun), i, j))
				}
			}
			running[i] = runs
			if runs {
				launches++
			}
		}
		m.every = 4 * time.Second
		all[i] = m
		m.start()
		m.done.Go(func() { m.gw.launch(m.ctx) })
	}
	for i := range all {
		boot(i, 0)
	}
	for n := range 30 {
		i := dice.IntN(len(all))
		switch dice.IntN(5) {
		case 0:
			all[i].line.set(func(n *line) { n.broken = true })
		case 1:
			all[i].line.set(func(n *line) { n.broken = false })
		case 2:
			all[i].line.set(func(n *line) {
				n.delay, n.lose, n.lateness = time.Duration(dice.Int64N(int64(20*time.Second))), dice.Float64(), time.Duration(dice.Int64N(int64(2*term)))
			})
		case 3:
			all[i].line.set(func(n *line) { n.broken, n.delay, n.lose = false, 50*time.Millisecond, 0 })
		case 4: // it dies with its gateway, and comes up again
			all[i].halt()
			mu.Lock()
			running[i] = false
			mu.Unlock()
			boot(i, n+1)
		}
		time.Sleep(time.Duration(dice.Int64N(int64(term))))
	}
	for _, m := range all {
		m.line.set(func(n *line) { n.broken, n.delay, n.lose = false, 50*time.Millisecond, 0 })
	}
	time.Sleep(5 * term)
	mu.Lock()
	count := 0
	for _, r := range running {
		if r {
			count++
		}
	}
	mu.Unlock()
	if count != 1 {
		wrong = append(wrong, fmt.Sprintf("%d run in the end", count))
	}
	for _, m := range all {
		m.halt()
	}
	l.late.Wait()
	return wrong, launches
}

// TestRecordLost: where the record of owners is lost, numbers go on from what the
// snapshots bear; while those cannot be told, nobody owns the gateway.
func TestRecordLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t, &fakeLedger{}, home{name: "a", dir: t.TempDir(), seed: 1})
		var mu sync.Mutex
		away := errors.New("the store is away")
		m.opts.Floor = func(context.Context) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return 7, away
		}
		m.start()
		defer m.halt()
		if _, err := m.Demand(t.Context()); !errors.Is(err, away) {
			t.Errorf("got %v", err)
		}
		mu.Lock()
		away = nil
		mu.Unlock()
		time.Sleep(term) // of the fake clock
		if fence, err := m.Demand(t.Context()); err != nil || fence != 8 {
			t.Errorf("got %d, %v", fence, err)
		}
	})
}
