package process

import (
	"context"
	"errors"
	"fmt"

	"creel/internal/runtime"
)

// groups are all the groups of an instance: the main one, and the cgroups in
// other hierarchies in which its limits are set. A fork stays in every one of
// them, so together they are one group.
type groups struct {
	main   group
	limits []limitGroup // without main
	bound  string       // the limit that is set in main, which is then not to be done without
}

// limitGroup is a cgroup in which a limit is set.
type limitGroup struct {
	cgroup
	what string // the limit; of several, the first; empty: found by the record
}

var _ group = groups{}

func (g groups) dir() string { return g.main.dir() }

func (g groups) limitDirs() []string {
	var dirs []string
	for _, c := range g.limits {
		dirs = append(dirs, c.path)
	}
	return dirs
}

// cgroups are those of the groups that are cgroups.
func (g groups) cgroups() []cgroup {
	var all []cgroup
	if main, ok := g.main.(cgroup); ok {
		all = append(all, main)
	}
	for _, c := range g.limits {
		all = append(all, c.cgroup)
	}
	return all
}

// enter moves a process into the cgroups of the limits.
func (g groups) enter(pid int) error {
	for _, c := range g.limits {
		if err := c.enter(pid); err != nil {
			return limitError(c.what, err)
		}
	}
	return nil
}

// kill implements group. What has left the main group by itself is ended too.
func (g groups) kill(ctx context.Context) error {
	for _, c := range g.cgroups() {
		// From here on nothing can fork, so that killing one by one comes to an
		// end at once. Most have no such file; the kill does without it as well.
		_ = writeControl(c.path, "pids.max", "0")
	}
	if err := g.main.kill(ctx); err != nil {
		return err
	}
	for _, c := range g.limits {
		if err := c.kill(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remove implements group.
func (g groups) remove(ctx context.Context) error {
	err := g.main.remove(ctx)
	for _, c := range g.limits {
		err = errors.Join(err, c.remove(ctx))
	}
	return err
}

// memory is the limit and the peak of memory of all processes together.
func (g groups) memory() (limit, peak int64) {
	for _, c := range g.cgroups() {
		l, p := c.memory()
		limit, peak = max(limit, l), max(peak, p)
	}
	return limit, peak
}

// oomKilled reports whether the kernel has killed any process of the instance
// for want of memory, ever since its start.
func (g groups) oomKilled() bool {
	for _, c := range g.cgroups() {
		file := "memory.oom_control"
		if c.v2 {
			file = "memory.events"
		}
		if n, ok := readOOM(c.path + "/" + file); ok && n > 0 {
			return true
		}
	}
	return false
}

// groupOf are the groups that a record speaks of.
func (r *Runtime) groupOf(rec runtime.Record) (groups, error) {
	g := groups{main: session{rec: rec, record: r.record, logPath: LogPath(r.opts.Dir)}}
	for i, dir := range append([]string{rec.Cgroup}, rec.LimitCgroups...) {
		if i == 0 && dir == "" {
			continue
		}
		c, err := recordedCgroup(dir, r.opts.DataDir, rec.Gateway, rec.Generation)
		if err != nil {
			return groups{}, fmt.Errorf("its cgroup cannot be used: %w", err)
		}
		if i == 0 {
			g.main = c
		} else {
			g.limits = append(g.limits, limitGroup{cgroup: c})
		}
	}
	return g, nil
}
