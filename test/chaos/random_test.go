package chaos

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"creel/test/harness"
)

// TestRandom kills at random moments: creels, instances that run, and launchers
// that are to become one, several times in a round, while creel is also asked to
// restart the gateway and to upgrade itself. Every fourth world has a state, of
// which snapshots are taken and restored.
func TestRandom(t *testing.T) {
	t.Logf("seed %d", flags.seed)
	until := time.Now().Add(flags.duration)
	for n := range flags.worlds {
		t.Run(fmt.Sprintf("w%d", n), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(flags.seed, uint64(1000+n)))
			var w *world
			if n%4 == 3 {
				w = newStateWorld(t, n, dice)
			} else {
				w = newWorld(t, n, dice)
			}
			for w.round == 0 || flags.rounds == 0 && time.Now().Before(until) || w.round < flags.rounds {
				w.repeat = command("TestRandom", fmt.Sprintf("-chaos.rounds=%d", w.round+1))
				w.play(storm)
			}
			t.Logf("%d rounds", w.round)
		})
	}
}

// storm is a round of random kills. Whether the instance ends is not known
// before.
var storm = scenario{name: "storm", ends: true, unwatched: true, prepare: (*world).beforeStorm, act: (*world).storm}

// beforeStorm gives the state, if there is one, a label of its own. In the end it
// may be that of any round: each has a snapshot.
func (w *world) beforeStorm(r *round) {
	w.T.Helper()
	if w.stateDir == "" {
		return
	}
	r.was = fmt.Sprintf("%d storm", w.round)
	w.label(r.was)
	w.mustTake("storm")
	w.labels = append(w.labels, r.was)
	r.labels = w.labels
}

// keepSafe takes a snapshot, or restores one, of which nothing may come.
func (w *world) keepSafe(n int) {
	if n%2 == 0 {
		_, _ = w.take("storm")
		return
	}
	list, err := w.snapshots()
	if err == nil && len(list.Snapshots) > 0 {
		_, _ = w.restore(list.Snapshots[n%len(list.Snapshots)].ID, "")
	}
}

func (w *world) storm(r *round) error {
	var asked sync.WaitGroup
	defer asked.Wait()
	if w.stateDir != "" {
		n := w.dice.IntN(6)
		asked.Go(func() { w.keepSafe(n) })
	}
	for range 2 + w.dice.IntN(4) {
		pause := time.Duration(w.dice.ExpFloat64() * float64(40*time.Millisecond))
		harness.Pause(w.T, min(pause, 400*time.Millisecond))
		w.keep()
		switch w.dice.IntN(8) {
		case 0, 1, 2:
			w.killAll(gatewaysOf(w.Dir))
		case 3, 4:
			w.killCreels(r)
		case 5:
			w.killCreels(r)
			w.killAll(gatewaysOf(w.Dir))
		case 6:
			_ = w.ask("restart") // there may be no creel to ask
		case 7:
			asked.Go(func() { _ = w.ask("upgrade") }) // kills go on meanwhile
		}
	}
	return nil
}

// killCreels kills one creel, or both that there are in an upgrade.
func (w *world) killCreels(r *round) {
	creels := creelsOf(w.Dir)
	if len(creels) > 1 && w.dice.IntN(3) > 0 {
		n := w.dice.IntN(len(creels))
		creels = creels[n : n+1]
	}
	if len(creels) > 0 {
		r.away(now())
	}
	w.killAll(creels)
}

func (w *world) killAll(pids []int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	}
}
