package process

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// TestCreelDiesWhileStarting kills a creel between the launcher's start and the
// word to go. Nothing of the command may run, and nothing may stay.
func TestCreelDiesWhileStarting(t *testing.T) {
	for _, parent := range parents(t) {
		for _, step := range []crashpoint.Point{crashpoint.ProcessLaunched, crashpoint.RecordPrepared, crashpoint.ProcessRecorded} {
			t.Run(parent.Mode+"/"+string(step), func(t *testing.T) {
				dir := t.TempDir()
				trace := filepath.Join(dir, "trace")
				port := freePort(t)
				runCreel(t, dir, parent, port, string(step), "touch", trace)

				r := testRuntime(t, dir, parent)
				i, err := r.Find(t.Context())
				switch {
				case step != crashpoint.ProcessRecorded && !errors.Is(err, runtime.ErrNoInstance):
					t.Errorf("find: %v, want no record", err)
				case step == crashpoint.ProcessRecorded && err != nil:
					t.Fatalf("find: %v", err)
				case step == crashpoint.ProcessRecorded:
					awaitDone(t, i)
					mustKill(t, i)
				}
				awaitNone(t, trace)
				if _, err := os.Stat(trace); err == nil {
					t.Error("the command has run")
				}

				// The folder serves again, and what was left is cleared away.
				next := mustStart(t, r, roleSpec(port, "touch", trace))
				if exit := awaitDone(t, next); exit.Code != 0 {
					t.Errorf("exit: %s", exit)
				}
				if _, err := os.Stat(trace); err != nil {
					t.Errorf("the command has not run: %v", err)
				}
				mustKill(t, next)
				requireNoCgroup(t, parent, dir)
			})
		}
	}
}

// TestCreelDies kills a creel that has started an instance. The next one takes
// over a process that is not its child.
func TestCreelDies(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			runCreel(t, dir, parent, freePort(t), "", "app", "serve")
			r := testRuntime(t, dir, parent)
			i := mustFind(t, r)
			awaitServing(t, i.Addr())
			if pid := runtimetest.Ask(t, i.Addr()).PID; pid != i.Record().PID {
				t.Errorf("pid %d is recorded, %d answers", i.Record().PID, pid)
			}
			again := mustFind(t, r)
			if again != i {
				t.Error("a second Find gives another instance")
			}
			runtimetest.Exit(i.Addr(), 4)
			// Its status went to init.
			if exit := awaitDone(t, i); exit.Known || exit.At.IsZero() {
				t.Errorf("exit: %+v", exit)
			}
			mustKill(t, i)
			requireNoCgroup(t, parent, dir)
		})
	}
}

// TestUnrecordedLeftover starts an instance after the record of one that runs
// was set aside. Where there are cgroups the leftover is ended (I1); without
// them it still has its port, and the start is refused.
func TestUnrecordedLeftover(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			spec := roleSpec(freePort(t), "app", "serve")
			first := mustStart(t, r, spec)
			awaitServing(t, first.Addr())
			if _, err := r.SetAside(t.Context()); err != nil {
				t.Fatal(err)
			}
			spec.Generation = 2
			second, err := r.Start(t.Context(), spec)
			if parent.Mode == ModeNone {
				var taken *runtime.PortTakenError
				if !errors.As(err, &taken) || taken.PID != first.Record().PID {
					t.Errorf("start: %v, want port taken by pid %d", err, first.Record().PID)
				}
				return
			}
			if err != nil {
				t.Fatalf("start: %v", err)
			}
			awaitDone(t, first)
			mustKill(t, second)
		})
	}
}

// TestLateKill has two creels on one folder, as for a moment of an upgrade. The
// instance that one of them still holds has been replaced by the other: its Kill
// harms neither the new one nor its record (I3).
func TestLateKill(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			old, r := testRuntime(t, dir, parent), testRuntime(t, dir, parent)
			spec := roleSpec(freePort(t), "app", "serve")
			late := mustStart(t, old, spec)
			awaitServing(t, late.Addr())
			mustKill(t, mustFind(t, r))
			spec.Generation = 2
			next := mustStart(t, r, spec)
			awaitServing(t, next.Addr())
			mustKill(t, late)
			runtimetest.Ask(t, next.Addr())
			if i := mustFind(t, r); i != next {
				t.Errorf("found %+v, want %+v", i.Record(), next.Record())
			}
		})
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func dialable(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
