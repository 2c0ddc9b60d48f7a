package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// limitedApp starts a role with limits, in each mode in which they can be had.
func limitedApp(t *testing.T, limits runtime.Limits, test func(t *testing.T, r *Runtime, i *instance), role string, args ...string) {
	t.Helper()
	limited, why := false, "no cgroup"
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue // see TestLimitsRefused
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			spec := roleSpec(freePort(t), role, args...)
			spec.Limits = limits
			i, err := r.Start(t.Context(), spec)
			var refused *runtime.LimitError
			if errors.As(err, &refused) {
				why = refused.Why
				t.Skip(why)
			}
			if err != nil {
				t.Fatal(err)
			}
			limited = true
			t.Cleanup(func() { mustKill(t, i) })
			test(t, r, i.(*instance))
			mustKill(t, i)
			requireNoCgroup(t, parent, dir)
		})
	}
	if !limited && !t.Failed() {
		missing(t, "no mode can limit anything here: "+why)
	}
}

// missing ends a test that this machine lacks something for: skipped on a
// developer's machine, failed where CI has said that everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("TEST_NO_SKIP") != "" {
		t.Fatal(why + " (TEST_NO_SKIP is set: nothing may be skipped)")
	}
	t.Skip(why)
}

// counter reads a number from the instance's cgroup that has the file.
func counter(t *testing.T, i *instance, file, name string) uint64 {
	t.Helper()
	for _, c := range i.group.cgroups() {
		data, err := os.ReadFile(filepath.Join(c.path, file))
		if err != nil {
			continue
		}
		if name == "" {
			name = "value"
			data = append([]byte("value "), data...)
		}
		if n, ok := field(data, name); ok {
			return n
		}
	}
	t.Fatalf("no cgroup of the instance counts %s in %s", name, file)
	return 0
}

// TestExamineMemory: the evidence against one that hangs has what it uses of its memory.
func TestExamineMemory(t *testing.T) {
	const limit = 512 << 20
	limitedApp(t, runtime.Limits{Memory: limit}, func(t *testing.T, _ *Runtime, i *instance) {
		awaitServing(t, i.Addr())
		found, ok := i.Examine(t.Context())["memory"].(map[string]any)
		if peak, _ := found["peak"].(int64); !ok || found["limit"] != int64(limit) || peak < 1<<20 {
			t.Errorf("of its memory is told %v", found)
		}
	}, "app", "serve")
}

// TestKillOfOneThatHasLeft: a process that has left the instance's main cgroup, as one
// may that runs as root, is still in those that limit it, and ends with it.
func TestKillOfOneThatHasLeft(t *testing.T) {
	limitedApp(t, runtime.Limits{Memory: 512 << 20}, func(t *testing.T, r *Runtime, i *instance) {
		awaitServing(t, i.Addr())
		if len(i.rec.LimitCgroups) == 0 {
			return // of v2: there is one hierarchy, so it has left all of them
		}
		orphan := runtimetest.Orphan(t, i.Addr())
		top := cgroup{path: filepath.Dir(filepath.Dir(filepath.Dir(i.rec.Cgroup)))}
		if err := top.enter(orphan); err != nil {
			t.Fatal(err)
		}
		mustKill(t, i)
		if dialable(i.Addr()) {
			t.Error("the process that has left lives")
		}
	}, "app", "serve")
}

// bombRole starts itself again and again, as each of those does. args[0] is a
// mark; the others count the descent, which ends at a depth that bounds what a
// limit which fails to hold can cost.
func bombRole(args []string) int {
	const width, depth = 7, 3 // 7 + 7² + 7³ processes, of some threads each
	if len(args) <= depth {
		for range width {
			// The limit is hit as meant if this fails.
			_ = exec.Command("/proc/self/exe", append(slices.Clone(args), "deeper")...).Start()
		}
	}
	for {
		_ = unix.Pause() // it always returns EINTR
	}
}

// TestForkBomb: the bomb is held at its limit, creel can still start another
// gateway, and nothing survives the kill.
func TestForkBomb(t *testing.T) {
	const pids = 100
	mark := filepath.Join(t.TempDir(), "mark")
	limitedApp(t, runtime.Limits{PIDs: pids}, func(t *testing.T, _ *Runtime, i *instance) {
		runtimetest.Await(t, "the bomb hits its limit", func() bool { return counter(t, i, "pids.events", "max") > 0 })
		if n := counter(t, i, "pids.current", ""); n > pids {
			t.Errorf("%d processes and threads, the limit is %d", n, pids)
		}
		other := mustStart(t, testRuntime(t, t.TempDir(), Support{Path: NoCgroup}), roleSpec(freePort(t), "app", "serve"))
		awaitServing(t, other.Addr())
		mustKill(t, i)
		stats, err := allStats()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats {
			if !s.ended() && strings.Contains(commandLine(s.pid), mark) {
				t.Errorf("process %d is left", s.pid)
			}
		}
	}, "bomb", mark)
}

// TestLimitsOutliveCreel: the next creel finds the limits in force, and tells an
// OOM kill of a process that is not its child.
func TestLimitsOutliveCreel(t *testing.T) {
	const memory = 64 << 20
	limitedApp(t, runtime.Limits{Memory: memory, PIDs: 200, CPU: 150}, func(t *testing.T, r *Runtime, i *instance) {
		awaitServing(t, i.Addr())
		nested := cgroup{path: filepath.Join(i.group.cgroups()[0].path, "nested")}
		if err := nested.create(); err != nil {
			t.Fatal(err)
		}
		next, err := New(r.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		found := mustFind(t, next)
		runtimetest.Hog(t, found.Addr())
		exit := awaitDone(t, found)
		if !exit.OOM || exit.MemoryLimit != memory || exit.PeakMemory < memory/2 {
			t.Errorf("exit: %+v", exit)
		}
		if want := "out of memory (limit 64 MiB, peak "; !strings.Contains(exit.String(), want) {
			t.Errorf("%q, want %q in it", exit, want)
		}

		// One that finds it dead can still tell.
		later, err := New(r.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer later.Close()
		dead := mustFind(t, later)
		if exit := awaitDone(t, dead); !exit.OOM || exit.MemoryLimit != memory {
			t.Errorf("exit of the dead: %+v", exit)
		}
		mustKill(t, dead)
	}, "app", "serve")
}

// TestLimitCPU: an app that spins is throttled, at the quota that was asked for.
func TestLimitCPU(t *testing.T) {
	limitedApp(t, runtime.Limits{CPU: 20}, func(t *testing.T, _ *Runtime, i *instance) {
		awaitServing(t, i.Addr())
		if c := i.group.cgroups()[0]; c.v2 && len(i.group.limits) == 0 {
			if max, err := os.ReadFile(filepath.Join(c.path, "cpu.max")); err != nil || string(max) != "20000 100000\n" {
				t.Errorf("cpu.max: %q, %v", max, err)
			}
		} else { // v1
			if q, p := counter(t, i, "cpu.cfs_quota_us", ""), counter(t, i, "cpu.cfs_period_us", ""); 5*q != p {
				t.Errorf("quota %d in %d µs", q, p)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var spin sync.WaitGroup
		spin.Go(func() {
			if err := runtimetest.Spin(ctx, i.Addr()); !errors.Is(err, context.Canceled) {
				t.Errorf("spin: %v", err)
			}
		})
		defer spin.Wait()
		defer cancel()
		runtimetest.Await(t, "it is throttled", func() bool { return counter(t, i, "cpu.stat", "nr_throttled") > 5 })
	}, "app", "serve")
}

// TestLimitsRefused: what cannot be enforced is not left out, and nothing of the
// start stays.
func TestLimitsRefused(t *testing.T) {
	tests := []struct {
		what   string
		limits runtime.Limits
	}{
		{"memory", runtime.Limits{Memory: 64 << 20}},
		{"cpu", runtime.Limits{CPU: 100}},
		{"pids", runtime.Limits{PIDs: 100}},
		{"open_files", runtime.Limits{OpenFiles: 1 << 30}}, // above fs.nr_open, so even root may not
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			dir := t.TempDir()
			trace := filepath.Join(dir, "trace")
			r := testRuntime(t, dir, Support{Path: NoCgroup})
			spec := roleSpec(freePort(t), "touch", trace)
			spec.Limits = tt.limits
			_, err := r.Start(t.Context(), spec)
			var refused *runtime.LimitError
			if !errors.As(err, &refused) || refused.What != tt.what || refused.Why == "" {
				t.Errorf("start: %v", err)
			}
			if _, err := r.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
				t.Errorf("find: %v", err)
			}
			if _, err := os.Stat(trace); err == nil {
				t.Error("the command has run")
			}
		})
	}
}

// TestLimitRefusedByKernel: groups made before one that fails are removed again.
func TestLimitRefusedByKernel(t *testing.T) {
	for _, parent := range parents(t) {
		if parent.Mode == ModeNone {
			continue
		}
		t.Run(parent.Mode, func(t *testing.T) {
			dir := t.TempDir()
			r := testRuntime(t, dir, parent)
			spec := roleSpec(freePort(t), "touch", filepath.Join(dir, "trace"))
			spec.Limits = runtime.Limits{Memory: 64 << 20, PIDs: 1 << 40} // the kernel takes at most PID_MAX_LIMIT
			i, err := r.Start(t.Context(), spec)
			if err == nil {
				mustKill(t, i)
			}
			var refused *runtime.LimitError
			if !errors.As(err, &refused) {
				t.Errorf("start: %v", err)
			}
			requireNoCgroup(t, parent, dir)
		})
	}
}

// scoreRole prints its oom_score_adj.
func scoreRole([]string) int {
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 1
	}
	fmt.Print(string(data))
	return 0
}

// TestOOMScore: when the machine runs out of memory the instance goes before
// creel.
func TestOOMScore(t *testing.T) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(own)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := testRuntime(t, dir, Support{Path: NoCgroup})
	awaitDone(t, mustStart(t, r, roleSpec(freePort(t), "score")))
	out, err := os.ReadFile(LogPath(r.opts.Dir))
	if want := strconv.Itoa(min(n+oomRaise, 1000)); err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%q, %v, want %s", out, err, want)
	}
}

// TestEnable: how v2 controllers are handed on. The files are plain ones: no
// more than the writes is shown.
func TestEnable(t *testing.T) {
	tests := []struct {
		name, has, on string
		kind, procs   string // kind is empty for the root
		want          string // what is written last; empty: nothing
		refused       bool
	}{
		{"off", "cpu memory pids", "cpu", "domain", "", "+pids", false},
		{"on already", "cpu memory pids", "pids", "domain", "12\n", "", false},
		{"not there", "cpu memory", "", "domain", "", "", true},
		{"processes run in it", "cpu memory pids", "cpu", "domain", "12\n", "", true},
		{"processes run in the root", "cpu memory pids", "cpu", "", "12\n", "+pids", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			control := filepath.Join(dir, "cgroup.subtree_control")
			err := errors.Join(os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte(tt.has), 0o600),
				os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(tt.procs), 0o600),
				os.WriteFile(control, []byte(tt.on), 0o600))
			if tt.kind != "" {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, "cgroup.type"), []byte(tt.kind), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			// A controller of threads, which the kernel would hand on either way.
			if err := enable(dir, []string{"pids"}); (err != nil) != tt.refused {
				t.Errorf("enable: %v", err)
			}
			got, err := os.ReadFile(control)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && !strings.HasPrefix(string(got), tt.want) || tt.want == "" && string(got) != tt.on {
				t.Errorf("subtree_control: %q", got)
			}
		})
	}
}

// TestLimitPlaces: which hierarchy limits what, by the machine's tables.
func TestLimitPlaces(t *testing.T) {
	const (
		pure   = "24 23 0:22 / /cg rw - cgroup2 cgroup2 rw\n"
		hybrid = "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n" +
			"36 31 0:33 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"37 31 0:34 / /cg/pids rw - cgroup cgroup rw,pids\n" +
			"41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n"
	)
	tests := []struct {
		name, mounts, own string
		main              Support
		v1                string
		v2                string
	}{
		{"v2", pure, "0::/creel.service\n", Support{Mode: ModeV2}, "map[]", "[/cg/creel.service /cg]"},
		{"hybrid", hybrid, "4:memory:/m\n3:cpu,cpuacct:/\n0::/\n", Support{Mode: ModeV2},
			"map[cpu:[/cg/cpu] memory:[/cg/memory/m /cg/memory] pids:[/cg/pids]]", "[/cg/unified]"},
		{"main in pids", hybrid, "0::/\n", Support{Mode: ModeV1, Path: "/cg/pids/x"},
			"map[cpu:[/cg/cpu] memory:[/cg/memory] pids:[/cg/pids/x]]", "[/cg/unified]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLimiter([]byte(tt.mounts), []byte(tt.own), tt.main)
			if v1, v2 := fmt.Sprint(l.v1), fmt.Sprint(l.v2); v1 != tt.v1 || v2 != tt.v2 {
				t.Errorf("v1 %s, v2 %s", v1, v2)
			}
		})
	}
	var none limiter
	var refused *runtime.LimitError
	if _, err := none.places(limitsOf(runtime.Limits{PIDs: 1})); !errors.As(err, &refused) || refused.What != "pids" {
		t.Errorf("without hierarchies: %v", err)
	}
}

// TestApplyV2 writes the settings of v2, which this machine may not have, to
// plain files.
func TestApplyV2(t *testing.T) {
	dir := t.TempDir()
	want := map[string]string{"memory.max": "67108864", "memory.oom.group": "1", "cpu.max": "150000 100000", "pids.max": "99"}
	for file := range want {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := cgroup{path: dir, v2: true}
	for _, l := range limitsOf(runtime.Limits{Memory: 64 << 20, CPU: 150, PIDs: 99}) {
		if err := c.apply(l); err != nil { // memory.swap.max is missing, as without swap accounting
			t.Error(err)
		}
	}
	for file, value := range want {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != value {
			t.Errorf("%s: %q, %v, want %q", file, got, err, value)
		}
	}
	if err := unix.Unlink(filepath.Join(dir, "pids.max")); err != nil {
		t.Fatal(err)
	}
	var refused *runtime.LimitError
	if err := c.apply(limitsOf(runtime.Limits{PIDs: 99})[0]); !errors.As(err, &refused) {
		t.Errorf("without pids.max: %v", err)
	}
}

// TestApplySwap: what is pushed into swap counts as well, in both versions, where the
// kernel counts it.
func TestApplySwap(t *testing.T) {
	for _, c := range []struct {
		v2   bool
		want map[string]string
	}{
		{false, map[string]string{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"}},
		{true, map[string]string{"memory.max": "67108864", "memory.swap.max": "0"}},
	} {
		dir := t.TempDir()
		for file := range c.want {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := (cgroup{path: dir, v2: c.v2}).apply(limitsOf(runtime.Limits{Memory: 64 << 20})[0]); err != nil {
			t.Error(err)
		}
		for file, value := range c.want {
			if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != value {
				t.Errorf("%s: %q, %v, want %q", file, got, err, value)
			}
		}
	}
}
