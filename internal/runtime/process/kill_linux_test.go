package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime/runtimetest"
)

// forkerRole starts another of itself in a session of its own, with nothing
// open that leads back to the instance, and ends; for ever. args[0] is a mark
// to be known by; args[1] is the file to which the first writes.
func forkerRole(args []string) int {
	if len(args) > 1 {
		if err := os.WriteFile(args[1], nil, 0o600); err != nil {
			return 1
		}
	}
	cmd := exec.Command("/proc/self/exe", args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 1
	}
	return 0
}

// TestKillRunaway kills processes that are never the same at two looks, have no
// tie to the instance but the cgroup, and fork as fast as they can.
func TestKillRunaway(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue // nothing ties them to the instance: see the package comment
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			mark, begun := filepath.Join(dir, "mark"), filepath.Join(dir, "begun")
			r := testRuntime(t, dir, parent)
			i := mustStart(t, r, roleSpec(freePort(t), "forker", mark, begun))
			awaitDone(t, i)
			if _, err := os.Stat(begun); err != nil {
				t.Fatal("it has not begun")
			}
			mustKill(t, i)
			// With a dead cgroup there is nobody left to start the next one.
			pids, err := allPIDs()
			if err != nil {
				t.Fatal(err)
			}
			for _, pid := range pids {
				if stat, err := readStat(pid); err == nil && !stat.ended() && commandLine(pid) == "/proc/self/exe "+mark {
					t.Errorf("process %d is left", pid)
				}
			}
			requireNoCgroup(t, parent, dir)
		})
	}
}

// TestKillNested kills an instance that has made cgroups of its own beneath
// the one that it was given.
func TestKillNested(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			i := mustStart(t, r, roleSpec(freePort(t), "app", "serve"))
			awaitServing(t, i.Addr())
			orphan := runtimetest.Orphan(t, i.Addr())
			nested := cgroup{path: filepath.Join(i.Record().Cgroup, "a", "b")}
			if err := nested.create(); err != nil {
				t.Fatal(err)
			}
			if err := nested.enter(orphan); err != nil {
				t.Fatal(err)
			}
			runtimetest.Exit(i.Addr(), 0)
			awaitDone(t, i)
			mustKill(t, i)
			if dialable(i.Addr()) {
				t.Error("the process in the nested cgroup lives")
			}
			requireNoCgroup(t, parent, dir)
		})
	}
}

// TestKillEach kills a v2 cgroup as kernels without cgroup.kill must, frozen
// before, as a creel that died while taking a snapshot may have left it.
func TestKillEach(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			i := mustStart(t, r, roleSpec(freePort(t), "app", "stubborn"))
			awaitServing(t, i.Addr())
			runtimetest.Orphan(t, i.Addr())
			c := cgroup{path: i.Record().Cgroup, v2: parent.Mode == ModeV2}
			file, value := "freezer.state", "FROZEN"
			if c.v2 {
				file, value = "cgroup.freeze", "1"
			}
			if err := writeControl(c.path, file, value); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			if err := c.killEach(ctx); err != nil {
				t.Fatal(err)
			}
			if pids, err := c.pids(); err != nil || len(pids) > 0 {
				t.Errorf("left: %v, %v", pids, err)
			}
			awaitDone(t, i)
		})
	}
}

// TestKillReturnsWhenEmpty: what has been killed is gone when kill returns.
func TestKillReturnsWhenEmpty(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			r := testRuntime(t, t.TempDir(), parent)
			i := mustStart(t, r, roleSpec(freePort(t), "app", "stubborn")).(*instance)
			awaitServing(t, i.Addr())
			ctx, cancel := timeout()
			defer cancel()
			if err := i.group.kill(ctx); err != nil {
				t.Fatal(err)
			}
			if stat, err := readStat(i.rec.PID); err == nil && !stat.ended() {
				t.Errorf("the main process is in state %c", stat.state)
			}
			if dialable(i.Addr()) {
				t.Error("somebody listens on the port")
			}
		})
	}
}

// TestKillIsNoOOM: a kernel that killed another process of the same memory
// cgroup does not make creel's own kill a lack of memory.
func TestKillIsNoOOM(t *testing.T) {
	r := testRuntime(t, t.TempDir(), Support{Path: NoCgroup})
	i := mustStart(t, r, roleSpec(freePort(t), "app", "serve")).(*instance)
	counter := filepath.Join(t.TempDir(), "memory.events")
	if err := os.WriteFile(counter, []byte("oom 3\noom_kill 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i.oom = oomCounter{file: counter, start: 1}
	if !i.oom.grew() {
		t.Fatal("the counter has not grown, so this shows nothing")
	}
	mustKill(t, i)
	if exit := awaitDone(t, i); exit.OOM || exit.Signal != unix.SIGKILL {
		t.Errorf("exit: %+v", exit)
	}
}

// TestKillAfterClose: an instance of a closed Runtime says that it cannot.
func TestKillAfterClose(t *testing.T) {
	dir := t.TempDir()
	r := testRuntime(t, dir, Support{Path: NoCgroup})
	i, err := r.Start(t.Context(), roleSpec(freePort(t), "app", "serve"))
	if err != nil {
		t.Fatal(err)
	}
	awaitServing(t, i.Addr())
	r.Close()
	if err := i.Terminate(); !errors.Is(err, errClosed) {
		t.Errorf("terminate: %v", err)
	}
	runtimetest.Ask(t, i.Addr())
	if _, err := r.Find(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("find: %v", err)
	}
	mustKill(t, mustFind(t, testRuntime(t, dir, Support{Path: NoCgroup})))
}

// TestMembers checks who belongs to an instance without a cgroup.
func TestMembers(t *testing.T) {
	const main, start = 1000, 500
	known := func() *members {
		m := newMembers(sampleRecord(&Runtime{}))
		m.startTime, m.creels = start, 42
		m.sessions, m.procs = map[int]bool{main: true}, map[int]uint64{main: start}
		return m
	}
	proc := func(pid, ppid, session int, startTime uint64) procStat {
		return procStat{pid: pid, ppid: ppid, session: session, startTime: startTime, state: 'S'}
	}
	zombie := proc(1001, main, main, 510)
	zombie.state = 'Z'
	tests := []struct {
		name   string
		stats  []procStat
		writes int // pid that has the log open
		want   []int
	}{
		{"the main process", []procStat{proc(main, 1, main, start)}, 0, []int{main}},
		{"one of its session, orphaned", []procStat{proc(1001, 1, main, 510)}, 0, []int{1001}},
		{"a child in a session of its own", []procStat{proc(main, 1, main, start), proc(1001, main, 1001, 510)}, 0, []int{main, 1001}},
		{"and its child, listed first", []procStat{proc(1002, 1001, 1001, 520), proc(main, 1, main, start), proc(1001, main, 1001, 510)}, 0, []int{main, 1001, 1002}},
		{"an orphan that writes to the log", []procStat{proc(1001, 1, 1001, 510)}, 1001, []int{1001}},
		{"the session of one that writes to the log", []procStat{proc(1001, 1, 1001, 510), proc(1002, 1, 1001, 520)}, 1001, []int{1001, 1002}},
		{"a stranger", []procStat{proc(1001, 1, 1001, 510)}, 0, nil},
		{"a zombie", []procStat{zombie}, 0, nil},
		{"older than the instance", []procStat{proc(900, 1, main, 499)}, 900, nil},
		{"init", []procStat{proc(1, 0, 1, 600)}, 1, nil},
		{"creel", []procStat{proc(os.Getpid(), 1, 42, 600)}, os.Getpid(), nil},
		{"beside creel in its session", []procStat{proc(1001, 1, 42, 510), proc(1002, 1, 42, 510)}, 1001, []int{1001}},
		{"the pid is used again, and leads a session", []procStat{proc(main, 1, main, 900), proc(1001, main, main, 910)}, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			for _, p := range known().update(tt.stats, func(p process) bool { return p.PID == tt.writes }) {
				got = append(got, p.PID)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("members %v, want %v", got, tt.want)
			}
		})
	}

	t.Run("stays one when its parent dies", func(t *testing.T) {
		m := known()
		none := func(process) bool { return false }
		m.update([]procStat{proc(main, 1, main, start), proc(1001, main, 1001, 510)}, none)
		if got := m.update([]procStat{proc(1001, 1, 1001, 510)}, none); len(got) != 1 {
			t.Errorf("members %v", got)
		}
		if got := m.update([]procStat{proc(1001, 1, 1001, 999)}, none); len(got) != 0 {
			t.Errorf("members %v after its pid was used again", got)
		}
	})
}
