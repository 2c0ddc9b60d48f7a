package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// cpuPeriod is the time in microseconds over which the kernel measures CPU use;
// its own default. A quota of one percent is then 1 ms, the least it takes.
const cpuPeriod = 100_000

// setting is a value for a control file of a cgroup.
type setting struct {
	file, value string
	optional    bool // the file may be missing: of an older kernel, or one without swap accounting
}

// limit is a limit of one cgroup controller. Controllers have the same names in
// v1 and v2, and as keys of the configuration.
type limit struct {
	controller string
	v1, v2     []setting
}

// limitsOf lists what l asks of cgroups. Control files:
// https://docs.kernel.org/admin-guide/cgroup-v2.html ("Controllers"), and
// …/cgroup-v1/memory.html, …/cgroup-v1/pids.html, …/scheduler/sched-bwc.html.
//
// Swap counts as memory: a gateway that is pushed into swap is as good as dead,
// and slows the whole machine. In v2 the kernel kills all processes of the
// instance together (memory.oom.group), since the main process can seldom tell
// that it has lost one; v1 kills the largest process alone.
func limitsOf(l runtime.Limits) []limit {
	var all []limit
	if l.Memory > 0 {
		n := strconv.FormatInt(l.Memory, 10)
		all = append(all, limit{"memory",
			[]setting{{"memory.limit_in_bytes", n, false}, {"memory.memsw.limit_in_bytes", n, true}},
			[]setting{{"memory.max", n, false}, {"memory.swap.max", "0", true}, {"memory.oom.group", "1", true}},
		})
	}
	if l.CPU > 0 {
		quota := strconv.Itoa(l.CPU * (cpuPeriod / 100))
		all = append(all, limit{"cpu",
			[]setting{{"cpu.cfs_period_us", strconv.Itoa(cpuPeriod), false}, {"cpu.cfs_quota_us", quota, false}},
			[]setting{{"cpu.max", quota + " " + strconv.Itoa(cpuPeriod), false}},
		})
	}
	if l.PIDs > 0 {
		max := []setting{{"pids.max", strconv.Itoa(l.PIDs), false}}
		all = append(all, limit{"pids", max, max})
	}
	return all
}

// apply writes the settings of l.
func (c cgroup) apply(l limit) error {
	settings := l.v1
	if c.v2 {
		settings = l.v2
	}
	for _, s := range settings {
		err := writeControl(c.path, s.file, s.value)
		if s.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return limitError(l.controller, fmt.Errorf("the kernel does not take %s: %w", s.value, err))
		}
	}
	return nil
}

// limiter knows where cgroups that limit can be made. A v1 controller has a
// hierarchy of its own; those of v2 share one.
type limiter struct {
	v1 map[string][]string // by controller: directories to try, best first
	v2 []string
}

// newLimiter reads the same tables as hierarchies. main is where the main cgroups
// are made.
func newLimiter(mountinfo, own []byte, main Support) limiter {
	l := limiter{v1: map[string][]string{}}
	for _, m := range cgroupMounts(mountinfo) {
		if m.v2 {
			l.v2 = append(l.v2, v2Dirs(m, own)...)
			continue
		}
		for _, controller := range []string{"memory", "cpu", "pids"} {
			if !m.has(controller) {
				continue
			}
			l.v1[controller] = m.dirs(own, controller)
			// A process is in one cgroup of a hierarchy only, so the instance's
			// own serves if it is in this very one.
			if main.Mode == ModeV1 && isWithin(main.Path, m.mount) {
				l.v1[controller] = []string{main.Path}
			}
		}
	}
	return l
}

// v2Dirs are creel's own cgroup, the one above it if a service manager has
// delegated that (systemd's DelegateSubgroup=), and the top. A cgroup with
// processes of its own cannot hand controllers on ("No Internal Process
// Constraint"), and creel's own has creel.
func v2Dirs(m cgroupMount, own []byte) []string {
	dirs := m.dirs(own, "unified")
	if len(dirs) < 2 {
		return dirs
	}
	if above := filepath.Dir(dirs[0]); above != dirs[1] && delegated(above) {
		return []string{dirs[0], above, dirs[1]}
	}
	return dirs
}

// delegated reports whether systemd says that a cgroup is ours to manage
// (https://systemd.io/CGROUP_DELEGATION).
func delegated(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		var value [2]byte
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// bases are the cgroups that the gateway may have anywhere, whatever its limits
// are now.
func (l limiter) bases(dataDir, gateway string) []cgroup {
	var all []cgroup
	for _, dirs := range l.v1 {
		for _, dir := range dirs {
			all = append(all, cgroup{path: cgroupBase(dir, dataDir, gateway)})
		}
	}
	for _, dir := range l.v2 {
		all = append(all, cgroup{path: cgroupBase(dir, dataDir, gateway), v2: true})
	}
	return all
}

// place is where a limit is set.
type place struct {
	parent string
	v2     bool
}

// places finds a place for each limit; those of v2 share one. What stands in the
// way of a limit is a *runtime.LimitError.
func (l limiter) places(limits []limit) ([]place, error) {
	found := make([]place, len(limits))
	var inV2 []string
	for i, limit := range limits {
		dirs, ok := l.v1[limit.controller]
		if !ok {
			inV2 = append(inV2, limit.controller)
			continue
		}
		dir, err := firstUsable(dirs, usable)
		if err != nil {
			return nil, limitError(limit.controller, err)
		}
		found[i] = place{parent: dir}
	}
	if inV2 == nil {
		return found, nil
	}
	if len(l.v2) == 0 {
		return nil, &runtime.LimitError{What: inV2[0], Why: "no cgroup hierarchy with this controller is mounted"}
	}
	dir, err := firstUsable(l.v2, func(dir string) error {
		if err := usable(dir); err != nil {
			return err
		}
		return enable(dir, inV2)
	})
	if err != nil {
		return nil, limitError(inV2[0], err)
	}
	for i := range found {
		if found[i].parent == "" {
			found[i] = place{parent: dir, v2: true}
		}
	}
	return found, nil
}

// firstUsable is the first folder that passes the check. The error is that of a want of
// the machine's if there was one, for it says nothing of the folder.
func firstUsable(dirs []string, check func(dir string) error) (string, error) {
	var reasons []string
	for _, dir := range dirs {
		err := check(dir)
		if err == nil || wanting(err) {
			return dir, err
		}
		reasons = append(reasons, err.Error())
	}
	return "", errors.New(strings.Join(reasons, "; "))
}

// enable hands v2 controllers on to the cgroups beneath dir.
func enable(dir string, controllers []string) error {
	has, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	for _, c := range controllers {
		switch {
		case slices.Contains(strings.Fields(string(on)), c):
			continue
		case !slices.Contains(strings.Fields(string(has)), c):
			return fmt.Errorf("%s does not have the controller %s", dir, c)
		}
		busy, err := inhabited(dir)
		if err == nil && !busy {
			err = writeControl(dir, "cgroup.subtree_control", "+"+c)
		}
		if busy || errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s cannot hand on the controller %s, because processes run in it itself", dir, c)
		}
		if err != nil {
			return fmt.Errorf("%s cannot hand on the controller %s: %w", dir, c, err)
		}
	}
	return nil
}

// inhabited reports whether processes run in a cgroup itself that is not the root,
// which may have some. The kernel refuses such a one only the controllers of whole
// processes (memory). Those of threads (cpu, pids) it takes, and the cgroup is a
// threaded domain from then on: no process can be put into any beneath it any more
// (https://docs.kernel.org/admin-guide/cgroup-v2.html, "Threads").
func inhabited(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, "cgroup.type"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // the root has no such file
	}
	if err != nil {
		return false, err
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return len(procs) > 0, err
}

// limitGroups makes the cgroups in which limits are set, and sets them. Each is
// called like the instance's main one. Those made are returned in any case.
func (r *Runtime) limitGroups(ctx context.Context, spec runtime.Spec, limits []limit) ([]limitGroup, error) {
	if len(limits) == 0 {
		return nil, nil
	}
	if r.opts.CgroupParent == NoCgroup {
		return nil, &runtime.LimitError{What: limits[0].controller, Why: "creel is configured to use no cgroups"}
	}
	places, err := r.limiter.places(limits)
	if err != nil {
		return nil, err
	}
	var made []limitGroup
	for i, l := range limits {
		if err := ctx.Err(); err != nil {
			return made, err
		}
		base := cgroupBase(places[i].parent, r.opts.DataDir, spec.Gateway)
		c := cgroup{path: filepath.Join(base, generationName(spec.Generation)), v2: places[i].v2}
		if err := c.create(); err != nil {
			return made, limitError(l.controller, err)
		}
		if !slices.ContainsFunc(made, func(g limitGroup) bool { return g.cgroup == c }) {
			made = append(made, limitGroup{c, l.controller})
		}
		if c.v2 {
			for _, dir := range []string{filepath.Dir(base), base} {
				if err := enable(dir, []string{l.controller}); err != nil {
					return made, limitError(l.controller, err)
				}
			}
		}
		if err := c.apply(l); err != nil {
			return made, err
		}
	}
	return made, nil
}

// memory reads what the kernel has counted for a cgroup; 0: not known, or no
// limit.
func (c cgroup) memory() (limit, peak int64) {
	if c.v2 {
		return readBytes(c.path, "memory.max"), readBytes(c.path, "memory.peak")
	}
	return readBytes(c.path, "memory.limit_in_bytes"), readBytes(c.path, "memory.max_usage_in_bytes")
}

// readBytes reads a file with one number. "max", and the number near 2^63 that
// v1 has for it, are 0.
func readBytes(dir, file string) int64 {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || n >= 1<<62 {
		return 0
	}
	return n
}

func isWithin(path, dir string) bool {
	_, ok := beneath(path, dir)
	return ok
}
