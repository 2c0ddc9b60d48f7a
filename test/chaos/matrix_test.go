package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"creel/internal/crashpoint"
)

// matrixCase is one kill in one scenario.
type matrixCase struct {
	scenario scenario
	death    death
}

// TestMatrix plays every scenario once without a death, to find out which points
// it passes, and then again for each of these passages, with creel, the gateway
// or both killed there.
func TestMatrix(t *testing.T) {
	matrix{"TestMatrix", scenarios, newWorld, func(p crashpoint.Point) bool { return !ofState(p) }, false}.play(t)
}

// TestStateMatrix is the same for what happens to a gateway's state: snapshots are
// taken and restored.
func TestStateMatrix(t *testing.T) {
	matrix{"TestStateMatrix", stateScenarios, newStateWorld, ofState, true}.play(t)
}

// ofState tells the points that a gateway without a state does not get to.
func ofState(p crashpoint.Point) bool {
	what, _, _ := strings.Cut(string(p), ".")
	return slices.Contains([]string{"instance", "snapshot", "state", "restore"}, what)
}

// matrix is what is played.
type matrix struct {
	test      string
	scenarios []scenario
	world     func(t *testing.T, n int, dice *rand.Rand) *world
	wanted    func(crashpoint.Point) bool // points that must be passed
	sparse    bool
}

func (m matrix) play(t *testing.T) {
	t.Logf("seed %d", flags.seed)
	all := m.explore(t)
	if t.Failed() {
		return
	}
	cases := m.choose(t, slices.Clone(all))
	tally := &tally{played: map[crashpoint.Point]int{}}
	t.Run("kills", func(t *testing.T) {
		for n := range flags.worlds {
			t.Run(fmt.Sprintf("w%d", n), func(t *testing.T) {
				t.Parallel()
				w := m.world(t, n, rand.New(rand.NewPCG(flags.seed, uint64(100+n))))
				for i := n; i < len(cases); i += flags.worlds {
					tally.add(w.kill(m.test, cases[i]))
				}
			})
		}
	})
	t.Logf("%d rounds, %d deaths did not come about", tally.rounds, tally.missed)
	if flags.rounds > 0 || flags.only != "" || t.Failed() {
		return
	}
	m.retry(t, all, tally)
	for _, p := range crashpoint.All {
		if m.wanted(p) && tally.played[p] == 0 {
			t.Errorf("no creel was killed at %s", p)
		}
	}
}

// mostTries bounds how many cases are tried for a point at which no death came
// about.
const mostTries = 5

// retry plays other cases of the points at which no creel was killed: a scenario
// does not always take the same way, and what a world has been through before
// counts, too.
func (m matrix) retry(t *testing.T, all []matrixCase, tally *tally) {
	var w *world
	for _, p := range crashpoint.All {
		tries := 0
		for _, c := range all {
			if !m.wanted(p) || tally.played[p] > 0 || tries == mostTries {
				break
			}
			if c.death.Point != p || c.death.Victim != victimCreel {
				continue
			}
			if w == nil {
				w = m.world(t, 0, rand.New(rand.NewPCG(flags.seed, 99)))
			}
			tries++
			tally.add(w.kill(m.test, c))
		}
	}
}

// choose takes the cases that are to be played, in the order of the seed. By
// default creel is killed everywhere, and the gateway, or both, at about every
// third passage (every eighth with the race detector): which of them depends on
// the seed. A matrix that is sparse does so once for each of its points.
func (m matrix) choose(t *testing.T, cases []matrixCase) []matrixCase {
	all := len(cases)
	dice := rand.New(rand.NewPCG(flags.seed, 1))
	dice.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	switch {
	case flags.only != "":
		cases = slices.DeleteFunc(cases, func(c matrixCase) bool { return caseName(c.scenario, c.death) != flags.only })
		if len(cases) == 0 {
			t.Fatalf("there is no case %s", flags.only)
		}
	case flags.rounds > 0:
		cases = cases[:min(flags.rounds, len(cases))]
	case !flags.full && (m.sparse || raced): // with the race detector all takes several times as long
		cases = slices.DeleteFunc(cases, func(c matrixCase) bool { return m.sparse && !m.wanted(c.death.Point) })
		slices.SortStableFunc(cases, func(a, b matrixCase) int {
			return strings.Compare(string(a.death.Point)+a.death.Victim, string(b.death.Point)+b.death.Victim)
		})
		cases = slices.CompactFunc(cases, func(a, b matrixCase) bool { return a.death.Point == b.death.Point && a.death.Victim == b.death.Victim })
		dice.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
		fallthrough
	case !flags.full:
		oneIn := 3
		if raced {
			oneIn = 8
		}
		cases = slices.DeleteFunc(cases, func(c matrixCase) bool { return c.death.Victim != victimCreel && dice.IntN(oneIn) > 0 })
	}
	t.Logf("%d of %d cases", len(cases), all)
	return cases
}

// kill plays one case. It returns the death, and whether it came about: under
// load a scenario does not always take the same way.
func (w *world) kill(test string, c matrixCase) (death, bool) {
	w.T.Helper()
	w.repeat = command(test, fmt.Sprintf("-chaos.only='%s'", caseName(c.scenario, c.death)))
	w.T.Logf("round %d: %s", w.round+1, caseName(c.scenario, c.death))
	return c.death, carriedOut(w.play(c.scenario, c.death), c.death)
}

// tally counts what the worlds have done.
type tally struct {
	mu             sync.Mutex
	rounds, missed int
	played         map[crashpoint.Point]int // deaths of creels
}

func (t *tally) add(d death, came bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rounds++
	if !came {
		t.missed++
	} else if d.Victim != victimGateway {
		t.played[d.Point]++
	}
}

// explore plays all scenarios without deaths and returns the cases that follow.
// Each point of the list must be passed in one of them.
func (m matrix) explore(t *testing.T) []matrixCase {
	var mu sync.Mutex
	passed := map[crashpoint.Point]bool{}
	found := make([][]matrixCase, len(m.scenarios))
	t.Run("explore", func(t *testing.T) {
		const worlds = 2
		for n := range worlds {
			t.Run(fmt.Sprintf("w%d", n), func(t *testing.T) {
				t.Parallel()
				w := m.world(t, n, rand.New(rand.NewPCG(flags.seed, uint64(10+n))))
				for i := n; i < len(m.scenarios); i += worlds {
					w.repeat = command(m.test, "")
					t.Logf("round %d: %s", w.round+1, m.scenarios[i].name)
					passages := w.play(m.scenarios[i])
					found[i] = casesOf(m.scenarios[i], passages)
					mu.Lock()
					for _, p := range passages {
						passed[p.Point] = true
					}
					mu.Unlock()
				}
			})
		}
	})
	for _, p := range crashpoint.All {
		if m.wanted(p) && !passed[p] && !t.Failed() {
			t.Errorf("no scenario passes %s: the matrix wants one", p)
		}
	}
	return slices.Concat(found...)
}

// casesOf are the kills that a run without any shows the chance of.
func casesOf(s scenario, passages []passage) []matrixCase {
	var all []matrixCase
	for _, p := range passages {
		if p.Death != nil {
			continue // the scenario's own
		}
		for _, victim := range []string{victimCreel, victimGateway, victimBoth} {
			all = append(all, matrixCase{s, death{p.Point, p.Role, p.Nth, victim}})
		}
	}
	return all
}
