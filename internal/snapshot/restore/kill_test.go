package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
)

const errInvalid = syscall.EINVAL

// cases are the ways to swap folders, times what becomes of the trial.
var cases = []string{"exchange", "renames", "inside", "absent"}
var endings = []string{"confirm", "undo and keep", "undo and drop"}

// perform is a whole restore.
func (w world) perform(tb testing.TB, r *Restorer, f *files, ending string) {
	tb.Helper()
	s, err := r.Stage(tb.Context(), f, w.roots(), StageOptions{})
	must(tb, err)
	still := gateway.StillnessForTest(tb)
	must(tb, s.Swap(tb.Context(), still))
	switch ending {
	case "confirm":
		must(tb, r.Confirm())
	default:
		must(tb, r.Undo(still, ending == "undo and keep"))
	}
}

// TestRestore goes each way to its end.
func TestRestore(t *testing.T) {
	for _, kind := range cases {
		for _, ending := range endings {
			t.Run(kind+" "+ending, func(t *testing.T) {
				w := build(t, t.TempDir(), kind)
				var last crashpoint.Point
				r := w.restorer(func(p crashpoint.Point) {
					last = p
					if p == crashpoint.RestoreOnTrial && w.state(t) != "new" {
						t.Error("on trial is not the new state")
					}
				})
				w.perform(t, r, w.snapshot().(*files), ending)
				want := "old"
				if ending == "confirm" {
					want = "new"
				}
				if got := w.state(t); got != want {
					t.Errorf("the state is the %s one, want the %s one", got, want)
				}
				s, err := r.Status()
				must(t, err)
				kept := len(w.roots())
				if ending == "undo and drop" || ending == "confirm" && kind == "absent" {
					kept -= map[string]int{"confirm": 1, "undo and drop": kept}[ending]
				}
				if s.Phase != "" || len(s.Kept) != kept {
					t.Errorf("afterwards (%s): %+v; want %d folders kept", last, s, kept)
				}
				sweepAll(t, r)
				w.clean(t)
			})
		}
	}
}

// script is what a child process that kills itself is to do.
type script struct {
	World  world
	Ending string
	Kill   int // at which of the points, in order; 0: none
	Open   int // or as which file is opened
}

const scriptVariable = "CREEL_TEST_RESTORE_SCRIPT"

// TestChild is not a test but the process that is killed.
func TestChild(t *testing.T) {
	text := os.Getenv(scriptVariable)
	if text == "" {
		return
	}
	var s script
	must(t, json.Unmarshal([]byte(text), &s))
	die := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it is on its way
	}
	n := 0
	r := s.World.restorer(func(crashpoint.Point) {
		if n++; n == s.Kill {
			die()
		}
	})
	var opened atomic.Int64
	f := s.World.snapshot().(*files)
	f.opened = func() {
		if opened.Add(1) == int64(s.Open) {
			die()
		}
	}
	s.World.perform(t, r, f, s.Ending)
}

// TestKilled kills a creel at each point of each restore, and while files are
// written, by SIGKILL. What the next creel finds and makes of it is the old state
// or the new one, as the point says, and nothing is left over.
func TestKilled(t *testing.T) {
	for _, kind := range cases {
		for i, ending := range endings {
			if i == 2 && kind != "exchange" {
				continue // to drop differs from to keep when all folders are back already
			}
			w := build(t, t.TempDir(), kind)
			var points []crashpoint.Point
			opened := 0
			f := w.snapshot().(*files)
			var mu atomic.Int64
			f.opened = func() { mu.Add(1) }
			w.perform(t, w.restorer(func(p crashpoint.Point) { points = append(points, p) }), f, ending)
			opened = int(mu.Load())
			for i := range points {
				t.Run(fmt.Sprintf("%s/%s/%02d %s", kind, ending, i+1, points[i]), func(t *testing.T) {
					t.Parallel()
					s := script{World: build(t, t.TempDir(), kind), Ending: ending, Kill: i + 1}
					s.run(t)
					s.World.check(t, expected(points[:i+1]))
				})
			}
			if ending != "confirm" {
				continue
			}
			for i := range opened {
				t.Run(fmt.Sprintf("%s/file %d", kind, i+1), func(t *testing.T) {
					t.Parallel()
					s := script{World: build(t, t.TempDir(), kind), Ending: ending, Open: i + 1}
					s.run(t)
					s.World.check(t, "old")
				})
			}
		}
	}
}

// run runs a child until it kills itself.
func (s script) run(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(s)
	must(t, err)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), scriptVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was to be killed: %v\n%s", err, out)
	}
}

// expected is the state that a restore must lead to if creel dies after points.
func expected(points []crashpoint.Point) string {
	state := "old"
	for _, p := range points {
		switch p {
		case crashpoint.RestoreSwapping:
			state = "new"
		case crashpoint.RestoreUndoing:
			state = "old"
		}
	}
	return state
}

// check has a new creel recover, and looks.
func (w world) check(t *testing.T, want string) {
	t.Helper()
	r := w.restorer(func(crashpoint.Point) {})
	got, err := r.Recover(gateway.StillnessForTest(t))
	if err != nil || got.Trouble != nil {
		t.Fatalf("%v; %v", err, got.Trouble)
	}
	if state := w.state(t); state != want {
		t.Errorf("%+v: the state is the %s one, want the %s one", got, state, want)
	}
	if got.Outcome == RolledForward || got.Outcome == StillOnTrial {
		must(t, r.Confirm())
	}
	if again, err := r.Recover(gateway.Stillness{}); err != nil || again.Outcome != Nothing {
		t.Errorf("recovered twice: %+v, %v", again, err)
	}
	if state := w.state(t); state != want {
		t.Errorf("in the end the state is the %s one, want the %s one", state, want)
	}
	sweepAll(t, r)
	w.clean(t)
}

// death is how a creel dies in the midst of recovering, in one process: nothing
// that recovers what a panic leaves is deferred in this package.
type death struct{}

// TestKilledTwice kills the creel that recovers, too, at each of its points.
func TestKilledTwice(t *testing.T) {
	for _, kind := range cases {
		for _, ending := range endings[:2] { // to drop differs after all has been decided
			for first := 4; ; first++ { // before it nothing has moved: TestKilled
				more := false
				for second := 1; ; second++ {
					w := build(t, memoryDir(t), kind)
					var points []crashpoint.Point
					more = w.dies(t, first, &points, func(r *Restorer) { w.perform(t, r, w.snapshot().(*files), ending) })
					if !more {
						break
					}
					if !w.dies(t, second, new([]crashpoint.Point), func(r *Restorer) {
						_, err := r.Recover(gateway.StillnessForTest(t))
						must(t, err)
					}) {
						break
					}
					w.check(t, expected(points))
					if t.Failed() {
						t.Fatalf("%s, %s, killed after %v and then at point %d", kind, ending, points, second)
					}
				}
				if !more {
					break
				}
			}
		}
	}
}

// dies performs something and has it die at the nth point; false: it came to its
// end before.
func (w world) dies(t *testing.T, n int, points *[]crashpoint.Point, perform func(*Restorer)) (died bool) {
	t.Helper()
	r := w.restorer(func(p crashpoint.Point) {
		if *points = append(*points, p); len(*points) == n {
			panic(death{})
		}
	})
	defer func() {
		switch v := recover(); v {
		case nil:
		case death{}:
			died = true
		default:
			panic(v)
		}
	}()
	perform(r)
	return false
}

// TestNothingOutside: the folders of the gateway are all that a restore writes to.
func TestNothingOutside(t *testing.T) {
	dir := t.TempDir()
	w := build(t, filepath.Join(dir, "world"), "exchange")
	w.perform(t, w.restorer(func(crashpoint.Point) {}), w.snapshot().(*files), "confirm")
	list, err := os.ReadDir(dir)
	must(t, err)
	if len(list) != 1 {
		t.Errorf("beside the world: %v", list)
	}
}
