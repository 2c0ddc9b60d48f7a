package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// runawayRole writes a byte to args[0], starts another of itself in a session of
// its own with nothing open that leads back to the instance, and ends; for ever.
func runawayRole(args []string) int {
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 1
	}
	if _, err := f.Write([]byte{'.'}); err != nil {
		return 1
	}
	cmd := exec.Command("/proc/self/exe", args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 1
	}
	if os.Getpid() == sessionAtStart {
		for { // the main process: an instance without one is not frozen
			_ = unix.Pause() // not select {}, at which a Go program without cgo ends
		}
	}
	return 0
}

// sessionAtStart is the session of the main process of an instance, as seen by
// itself and by nobody that descends from it.
var sessionAtStart = func() int {
	if os.Getenv(runawayMain) == "" {
		return 0
	}
	_ = os.Unsetenv(runawayMain) // what it starts is not the main process
	return os.Getpid()
}()

const runawayMain = "CREEL_RUNAWAY_MAIN"

// TestFreezeRunaway freezes processes that are never the same at two looks and
// have no tie to the instance but the cgroup.
func TestFreezeRunaway(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue // nothing ties them to the instance: see the package comment
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			count := filepath.Join(dir, "count")
			size := func() int64 {
				info, err := os.Stat(count)
				if err != nil {
					return 0
				}
				return info.Size()
			}
			grows := func() {
				before := size()
				runtimetest.Await(t, "the chain of processes goes on", func() bool { return size() > before+2 })
			}
			spec := roleSpec(freePort(t), "runaway", count)
			spec.Env = append(spec.Env, runawayMain+"=1")
			i := mustStart(t, testRuntime(t, dir, parent), spec)
			grows()
			for range 5 {
				mustFreeze(t, i)
				before := size()
				if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", "for n in 1 2 3 4 5; do /bin/true; done").CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if after := size(); after != before {
					t.Errorf("the count grew from %d to %d while frozen", before, after)
				}
				if err := i.Thaw(); err != nil {
					t.Fatal(err)
				}
				grows()
			}
			mustFreeze(t, i)
			mustKill(t, i)
			requireNoCgroup(t, parent, dir)
		})
	}
}

// TestFreezeWithoutFreezer: in a v1 hierarchy that cannot freeze the members of
// the cgroup are stopped.
func TestFreezeWithoutFreezer(t *testing.T) {
	var parent Support
	for _, dir := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/pids"} {
		if s, err := describeParent(dir); err == nil && s.Mode == ModeV1 {
			parent = s
		}
	}
	if parent.Path == "" {
		t.Skip("no cgroup v1 without a freezer here; a pure v2 machine has none")
	}
	dir := t.TempDir()
	r := testRuntime(t, dir, parent)
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve")).(*instance)
	awaitServing(t, i.Addr())
	orphan := runtimetest.Orphan(t, i.Addr())
	mustFreeze(t, i)
	if f, err := i.freezer(); err != nil || !isStopper(f) {
		t.Fatalf("freezer %T, %v", f, err)
	}
	for _, pid := range []int{i.rec.PID, orphan} {
		if stopped, err := allThreadsStopped(pid); err != nil || !stopped {
			t.Errorf("process %d is stopped: %v, %v", pid, stopped, err)
		}
	}
	if err := i.Thaw(); err != nil {
		t.Fatal(err)
	}
	runtimetest.Ask(t, i.Addr())
}

func isStopper(f freezer) bool { _, ok := f.(stopper); return ok }

// TestStoppedByAnother: without a cgroup, a process that somebody else has
// stopped stays stopped, and is no sign that creel holds the instance.
func TestStoppedByAnother(t *testing.T) {
	r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve"))
	awaitServing(t, i.Addr())
	orphan := runtimetest.Orphan(t, i.Addr())
	if err := unix.Kill(orphan, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := func() bool {
		done, err := allThreadsStopped(orphan)
		return err == nil && done
	}
	runtimetest.Await(t, "the orphan is stopped", stopped)
	if frozen, err := i.Frozen(); err != nil || frozen {
		t.Errorf("frozen: %v, %v", frozen, err)
	}
	mustFreeze(t, i)
	if err := i.Thaw(); err != nil {
		t.Fatal(err)
	}
	runtimetest.Ask(t, i.Addr())
	if !stopped() {
		t.Error("what another had stopped was let go on")
	}
}

// TestHoldCutShort: a creel that died between its note of whom it stops and the
// signal is made up for by the next freeze, and by a thaw.
func TestHoldCutShort(t *testing.T) {
	r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve")).(*instance)
	awaitServing(t, i.Addr())
	main := process{i.rec.PID, i.rec.StartTime}
	note := hold{Instance: main, BootID: i.rec.BootID, Stopped: []process{main}}
	if err := r.holdFile().write(note); err != nil {
		t.Fatal(err)
	}
	if frozen, err := i.Frozen(); err != nil || !frozen {
		t.Errorf("frozen: %v, %v", frozen, err)
	}
	mustFreeze(t, i)
	if stopped, err := allThreadsStopped(main.PID); err != nil || !stopped {
		t.Errorf("stopped: %v, %v", stopped, err)
	}
	if err := i.Thaw(); err != nil {
		t.Fatal(err)
	}
	runtimetest.Ask(t, i.Addr())
}

// TestHoldRefused: a note that is damaged, or of another instance, holds nothing.
func TestHoldRefused(t *testing.T) {
	f := holdFile{filepath.Join(t.TempDir(), "held.json")}
	rec := runtime.Record{PID: 12, StartTime: 34, BootID: "today"}
	ours := hold{Instance: process{12, 34}, BootID: "today", Stopped: []process{{12, 34}}}
	later, yesterday := ours, ours
	later.Instance.StartTime++
	yesterday.BootID = "yesterday"
	for _, h := range []hold{ours, later, yesterday} {
		if err := f.write(h); err != nil {
			t.Fatal(err)
		}
		want := h.Instance == ours.Instance && h.BootID == ours.BootID
		if got, err := f.read(rec); err != nil || (len(got.Stopped) > 0) != want {
			t.Errorf("%+v: read %+v, %v", h, got, err)
		}
	}
	if err := os.WriteFile(f.path, []byte(`{"instance":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(rec); err != nil || len(got.Stopped) > 0 {
		t.Errorf("damaged: read %+v, %v", got, err)
	}
}

func mustFreeze(t testing.TB, i runtime.Instance) {
	t.Helper()
	ctx, cancel := timeout()
	defer cancel()
	if err := i.Freeze(ctx); err != nil {
		t.Fatalf("freeze: %v", err)
	}
}

// BenchmarkFreeze measures how long an instance is held still by Freeze and Thaw
// alone, from the call of the one to the end of the other.
func BenchmarkFreeze(b *testing.B) {
	for _, parent := range parents(b) {
		b.Run(parent.Mode, func(b *testing.B) {
			dir := b.TempDir()
			r, err := New(Options{Dir: dir, DataDir: dir, CgroupParent: parent.Path})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			i, err := r.Start(b.Context(), roleSpec(freePort(b), "app", "serve"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := i.Kill(b.Context()); err != nil {
					b.Error(err)
				}
			}()
			for !dialable(i.Addr()) {
				if b.Context().Err() != nil {
					b.Fatal("it does not serve")
				}
			}
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				mustFreeze(b, i)
				if err := i.Thaw(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
