package chaos

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"creel/internal/api"
	"creel/test/crashgw"
	"creel/test/harness"
)

// settings are the creel.yaml of a world. Pauses are short, and crash loops far
// away: here nothing is in a crash loop, it is only killed. On a busy machine a
// process may take its time to end after it has closed its connections.
const settings = `
gateway:
  name: chaos
  ready: {path: /readyz, timeout: 30s}
  alive: {path: /healthz, timeout: 10s}
  stop: {drain: 200ms, grace: 3s}
  restart: {delay: 10ms, max_delay: 100ms, fruitless: 100}
proxy:
  replay:
    crash_window: 3s
    idempotent_routes:
      - {path: /item, header: Idempotency-Key}
      - {path: /store, header: Idempotency-Key}
log: {level: debug}
`

// drain is the stop.drain of settings.
const drain = 200 * time.Millisecond

// world is one creel, over all its lives, with its gateway and its clients. It
// belongs to one test.
type world struct {
	*harness.Creel
	dice    *rand.Rand
	repeat  string // the command that repeats what is being done
	orphans int    // processes that each instance leaves behind
	round   int
	orders  int // id of the latest
	// reported takes what is found wrong, in place of the test; nil: the test.
	reported *[]string
	untold   map[uint64]bool // generations of whose end nobody may have told
	launched time.Time
	stateDir string   // where its state folders are; empty: it has none
	labels   []string // that the state has had in random rounds
	fds      []string

	history  []operation
	requests []*harness.Request
	aside    int // records that were put aside so far, as far as it was to be
}

// kinds of gateways that worlds take turns with.
var gateways = []crashgw.Options{
	{BootDelay: 30 * time.Millisecond},
	{Orphan: crashgw.OrphanHold, OrphanFor: 10 * time.Minute},
}

// newWorld makes a world and waits until its gateway is ready.
func newWorld(t *testing.T, n int, dice *rand.Rand) *world {
	t.Helper()
	return newWorldWith(t, n, dice, settings)
}

func newWorldWith(t *testing.T, n int, dice *rand.Rand, settings string) *world {
	t.Helper()
	w := prepareWorld(t, gateways[n%len(gateways)], dice, settings)
	w.launch()
	return w
}

// prepareWorld makes a world of which nothing runs yet.
func prepareWorld(t *testing.T, o crashgw.Options, dice *rand.Rand, settings string) *world {
	t.Helper()
	w := &world{Creel: harness.Prepare(t, o), dice: dice, repeat: command(t.Name(), "")}
	if o.Orphan != crashgw.OrphanNone {
		w.orphans = 1
	}
	if err := os.WriteFile(w.ConfigPath(), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Args = append([]string{asArmed, w.Dir}, w.Args[1:]...)
	t.Cleanup(w.end)
	w.untold = map[uint64]bool{}
	return w
}

// launch starts creel and waits until its gateway is ready.
func (w *world) launch() {
	w.T.Helper()
	w.launched = time.Now()
	w.Launch()
	w.steady()
}

// end stops all that is left of a world, and keeps its history if it has failed.
func (w *world) end() {
	defer func() { w.Cmd = nil }() // the rest is done
	for _, trouble := range []string{"DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(w.Output.String(), trouble) {
			w.T.Errorf("creel's output tells of a %s", trouble)
		}
	}
	if w.T.Failed() {
		w.keepHistory()
	}
	if err := os.Remove(filepath.Join(w.Dir, ordersFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.T.Error(err)
	}
	if !w.endCreels() {
		w.T.Errorf("still there at the end: %v", processes(w.Dir))
		for pid := range processes(w.Dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
}

// endCreels asks every creel once to end, and tells whether then nothing is left.
func (w *world) endCreels() bool {
	asked := map[int]bool{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); <-tick.C {
		p := populationOf(w.Dir)
		if len(p.creels)+len(p.instances)+len(p.orphans) == 0 {
			return true
		}
		if len(p.creels) == 0 && len(asked) > 0 {
			return len(processes(w.Dir)) == 0
		}
		for _, pid := range p.creels {
			if !asked[pid] {
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended meanwhile
			}
		}
		if len(p.creels) == 0 {
			return false
		}
	}
	return false
}

// keep is what a service manager does: whenever the creel that has signed the
// lock is dead, it starts another one. One that is still coming up gets its time.
func (w *world) keep() {
	main := w.mainPID()
	if _, alive := processes(w.Dir)[main]; alive {
		return
	}
	select {
	case <-w.Exited:
	default:
		if w.Cmd.Process.Pid != main && time.Since(w.launched) < soon {
			return
		}
	}
	w.launched = time.Now()
	w.Launch()
}

// mainPID is who has signed the lock on the data folder; 0: nobody yet.
func (w *world) mainPID() int {
	var pid int
	if b, err := os.ReadFile(filepath.Join(w.DataDir(), "creel.lock")); err == nil {
		_, _ = fmt.Sscan(string(b), &pid) // empty for a moment while it is signed
	}
	return pid
}

// await waits for a condition, and starts creel again meanwhile if need be.
func (w *world) await(what string, holds func() error) {
	w.T.Helper()
	w.awaitFor(harness.Patience, what, holds)
}

// soon bounds the wait for what is due in a moment, and would not come later.
const soon = 15 * time.Second

func (w *world) awaitFor(limit time.Duration, what string, holds func() error) {
	w.T.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(limit)
	for {
		w.keep()
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.fatalf("waited in vain for %s: %v; processes: %v", what, err, processes(w.Dir))
		}
		<-tick.C
	}
}

// steady waits until one creel and one ready instance are all there is, and the
// rest of creel agrees, and returns the status.
func (w *world) steady() api.Status {
	w.T.Helper()
	var st api.Status
	w.await("one creel and one instance", func() error {
		var err error
		if st, err = w.Status(); err != nil {
			return err
		}
		if !st.OK || st.State != "ready" {
			return fmt.Errorf("the gateway is %s: %s", st.State, st.Reason)
		}
		p := populationOf(w.Dir)
		if !slices.Equal(p.creels, []int{st.Creel.PID}) {
			return fmt.Errorf("creel %d says it is in charge; there are %v", st.Creel.PID, p.creels)
		}
		if !slices.Equal(p.instances, []int{st.PID}) {
			return fmt.Errorf("generation %d has pid %d; there are %v", st.Generation, st.PID, p.instances)
		}
		if len(p.orphans) != w.orphans {
			return fmt.Errorf("there are %d orphans", len(p.orphans))
		}
		return nil
	})
	return st
}

// ask asks creel for something, which it may die of.
func (w *world) ask(what string) error {
	client := api.Client(w.DataDir())
	client.Timeout = harness.Patience
	resp, err := client.Post(api.ControlURL(what), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", what, resp.Status, b)
	}
	return err
}

// errorf is a failure of the present round.
func (w *world) errorf(format string, args ...any) {
	w.T.Helper()
	if w.reported != nil {
		*w.reported = append(*w.reported, fmt.Sprintf(format, args...))
		return
	}
	w.T.Errorf("round %d: %s\nrepeat with: %s", w.round, fmt.Sprintf(format, args...), w.repeat)
}

func (w *world) fatalf(format string, args ...any) {
	w.T.Helper()
	w.T.Fatalf("round %d: %s\nrepeat with: %s", w.round, fmt.Sprintf(format, args...), w.repeat)
}

// command is the command that repeats a test.
func command(test, more string) string {
	return fmt.Sprintf("go test ./test/chaos -run '^%s$' -count=1 -chaos.seed=%d -chaos.worlds=%d %s", test, flags.seed, flags.worlds, more)
}
