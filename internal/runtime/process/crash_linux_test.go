package process

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"testing"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
	"creel/test/crashgw"
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

// TestCreelDiesAnyTime kills creels at any moment of a start, from outside. Where
// no record is left the command has not run, and nothing is left that will run it.
func TestCreelDiesAnyTime(t *testing.T) {
	const rounds = 12
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			unrecorded := 0
			for round := range rounds {
				dir := t.TempDir()
				trace := filepath.Join(dir, "trace")
				creel := roleCommand(t, "creel", dir, parent.Path, strconv.Itoa(freePort(t)), "none", "touch", trace)
				creel.Env = append(creel.Env, "GORACE=atexit_sleep_ms=0")
				if err := creel.Start(); err != nil {
					t.Fatal(err)
				}
				// Its log is opened right before the fork; the kills are spread
				// over what follows.
				awaitFile(t, LogPath(filepath.Join(dir, "gateways", "contract")))
				for range round * 20 {
					goruntime.Gosched()
				}
				_ = creel.Process.Kill() // it may have come to its end by itself
				_ = creel.Wait()

				r := testRuntime(t, dir, parent)
				i, err := r.Find(t.Context())
				if errors.Is(err, runtime.ErrNoInstance) {
					unrecorded++
					awaitNone(t, trace)
					if _, err := os.Stat(trace); err == nil {
						t.Fatal("the command has run, and there is no record of it")
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				awaitDone(t, i)
				mustKill(t, i)
			}
			t.Logf("%d of %d creels died before they had a record", unrecorded, rounds)
		})
	}
}

// awaitFile waits, without a pause, until there is a file.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no file %s", path)
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
// was set aside. The leftover is ended (I1): it is known by its cgroup, or since
// it writes to the gateway's log.
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
			spec = roleSpec(freePort(t), "app", "serve") // the first one's port would tell
			spec.Generation = 2
			strays, err := r.Strays(t.Context(), "contract")
			if err != nil || len(strays) != 1 || strays[0].PID != first.Record().PID {
				t.Errorf("strays %+v, %v", strays, err)
			}
			second, err := r.Start(t.Context(), spec)
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

// freePort is a port that no other test, nor a client's connection, is likely to get
// before the instance does.
func freePort(t testing.TB) int { t.Helper(); return crashgw.FreePort(t) }

func dialable(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err == nil
}
