package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"creel/internal/api"
	"creel/internal/snapshot/store"
	"creel/test/crashgw"
	"creel/test/harness"
)

// round is one scenario with its deaths, and what came of it.
type round struct {
	scenario scenario
	before   api.Status
	passages []passage
	windows  []window // in which there may be no creel
	ends     bool     // the instance has ended, or may have
	load     *load
	begun    time.Time

	// Of a world with a state, see state_test.go.
	saved  store.Snapshot
	was    string   // label of the state at the beginning
	goal   string   // label of the state in the end, if nobody dies but as the scenario says
	labels []string // those that the state may have in the end
}

// window is a time in which requests may fail for want of a creel.
type window struct{ from, to int64 }

func now() int64 { return crashgw.Monotonic() }

// away says that a creel was or is to be killed at that time. The window is
// closed when the scenario is over.
func (r *round) away(from int64) { r.windows = append(r.windows, window{from: from}) }

// excused tells whether what happened in that time may have to do with the death
// of a creel.
func (r *round) excused(from, to int64) bool {
	return slices.ContainsFunc(r.windows, func(w window) bool { return from <= w.to && to >= w.from })
}

// play plays a scenario with deaths, its own besides, under load, and checks what
// is left. It returns the points that were passed.
func (w *world) play(s scenario, deaths ...death) []passage {
	w.T.Helper()
	w.round++
	w.orders++
	r := &round{scenario: s, before: w.steady(), ends: s.ends, begun: time.Now()}
	if s.prepare != nil {
		s.prepare(w, r)
	}
	all := append(slices.Clone(s.deaths), deaths...)
	if err := os.Remove(filepath.Join(w.Dir, passagesFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.T.Fatal(err)
	}
	if err := give(w.Dir, orders{ID: w.orders, Old: r.before.Creel.PID, Deaths: all}); err != nil {
		w.T.Fatal(err)
	}
	r.load = w.begin()
	defer r.load.stop() // for a test that ends here
	harness.Pause(w.T, time.Duration(20+w.dice.IntN(40))*time.Millisecond)
	actErr := s.act(w, r)
	var died bool
	w.await("the end of the scenario", func() error {
		st, err := w.Status()
		if err != nil {
			return err
		}
		r.passages = readPassages(w.T, w.Dir, w.orders)
		died = len(s.deaths) == 0 && r.diedBy(victimCreel, victimBoth)
		switch {
		case r.doomed(st.Creel.PID): // it has answered in its last moment
			return fmt.Errorf("creel %d is about to die", st.Creel.PID)
		case !st.OK:
			return fmt.Errorf("the gateway is %s: %s", st.State, st.Reason)
		case !died && s.over != nil && !s.over(w, r.before, st):
			return fmt.Errorf("generation %d (before: %d)", st.Generation, r.before.Generation)
		}
		return nil
	})
	if actErr != nil && !died && len(deaths) == 0 {
		w.fatalf("%s: %v", s.name, actErr)
	}
	over, known := now(), len(r.passages)
	r.load.stop()
	st := w.steady()
	r.passages = readPassages(w.T, w.Dir, w.orders)
	r.closeWindows(over, now(), known)
	if err := os.Remove(filepath.Join(w.Dir, ordersFile)); err != nil {
		w.T.Fatal(err)
	}
	w.check(r, st)
	if w.T.Failed() {
		w.T.FailNow() // what follows would only repeat it
	}
	return r.passages
}

// diedBy tells whether a death was carried out that has one of these victims.
func (r *round) diedBy(victims ...string) bool {
	return slices.ContainsFunc(r.passages, func(p passage) bool { return p.Death != nil && slices.Contains(victims, p.Death.Victim) })
}

// doomed tells whether a creel is the victim of a death that was carried out.
func (r *round) doomed(pid int) bool {
	return slices.ContainsFunc(r.passages, func(p passage) bool {
		return p.Death != nil && p.Death.Victim != victimGateway && p.PID == pid
	})
}

// undisturbed tells whether nobody has died but as the scenario says.
func (r *round) undisturbed() bool {
	return !slices.ContainsFunc(r.passages, func(p passage) bool { return p.Death != nil && !slices.Contains(r.scenario.deaths, *p.Death) })
}

// closeWindows adds the deaths that were ordered, and ends all windows: when the
// scenario was over, or, for a death that came even later, when all was steady again.
// known is how many of the passages were known when it was over.
func (r *round) closeWindows(over, steady int64, known int) {
	end := func(from int64) int64 {
		if from > over {
			return steady
		}
		return over
	}
	for i := range r.windows {
		r.windows[i].to = end(r.windows[i].from)
	}
	for i, p := range r.passages {
		if p.Death == nil {
			continue
		}
		if p.Death.Victim != victimGateway {
			w := window{p.Mono, end(p.Mono)}
			if i >= known {
				w.to = steady
			}
			r.windows = append(r.windows, w)
		}
		r.ends = r.ends || p.Death.Victim != victimCreel
	}
}

// carriedOut tells whether all deaths beyond the scenario's own took place.
func carriedOut(passages []passage, d death) bool {
	return slices.ContainsFunc(passages, func(p passage) bool { return p.Death != nil && *p.Death == d })
}

// load is what clients do during a round.
type load struct {
	cancel   context.CancelFunc
	done     chan struct{}
	requests []*harness.Request
	history  []operation
	streams  []broken
}

// begin puts the world under load.
func (w *world) begin() *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, done: make(chan struct{})}
	const stores, perSecond = 3, 50
	histories := make([][]operation, stores)
	list := fmt.Sprintf("l%d", w.round)
	var tasks []func()
	for n := range stores {
		dice := w.child()
		tasks = append(tasks, func() { histories[n] = w.useStore(ctx, n, list, dice) })
	}
	dice, prefix := w.child(), fmt.Sprintf("%d-", w.round)
	tasks = append(tasks, func() { l.requests = harness.Load(ctx, w.Addr, prefix, perSecond, dice) })
	var streams, sockets []broken
	tasks = append(tasks, func() { streams = w.follow(ctx) }, func() { sockets = w.talk(ctx) })
	go func() {
		defer close(l.done)
		together(tasks)
		for _, h := range histories {
			l.history = append(l.history, h...)
		}
		l.streams = append(streams, sockets...)
	}()
	return l
}

// stop ends the load, and waits until each request has its outcome.
func (l *load) stop() {
	l.cancel()
	<-l.done
}

// child gives dice of their own to a client, so that the order in which clients
// come does not matter.
func (w *world) child() *rand.Rand { return rand.New(rand.NewPCG(w.dice.Uint64(), w.dice.Uint64())) }

// caseName names a case of the matrix for people and for -chaos.only.
func caseName(s scenario, d death) string {
	return strings.ReplaceAll(s.name, " ", "-") + "/" + d.String()
}
