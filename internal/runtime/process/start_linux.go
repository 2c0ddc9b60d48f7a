package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
)

// ErrRecorded is returned by Start while an instance is recorded. Find it and
// kill it first, or SetAside a record that cannot be trusted.
var ErrRecorded = errors.New("an instance is recorded already")

// cleanupTime bounds the clearing away of a start that failed. It is not bound
// by the context of the start, which may be what failed.
const cleanupTime = 10 * time.Second

// Start implements runtime.Runtime. Besides the errors named there it returns
// ErrRecorded.
//
// Of a variable that occurs more than once in spec.Env the instance gets the
// first.
func (r *Runtime) Start(ctx context.Context, spec runtime.Spec) (runtime.Instance, error) {
	path, err := r.checkStart(ctx, spec)
	if err != nil {
		return nil, startError(spec, err)
	}
	g, err := r.newGroup(ctx, spec)
	if err != nil {
		return nil, startError(spec, err)
	}
	crashpoint.Passed(crashpoint.ProcessGrouped)
	// After newGroup, which may just have ended the holder.
	if err := checkPort(spec.Port); err != nil {
		return nil, startError(spec, errors.Join(err, r.discard(ctx, g)))
	}
	l, g, err := r.launch(spec, path, g)
	if err != nil {
		return nil, startError(spec, errors.Join(err, r.discard(ctx, g)))
	}
	defer l.close()
	crashpoint.Passed(crashpoint.ProcessLaunched)

	i, err := r.identify(spec, l, g)
	if err != nil {
		return nil, startError(spec, errors.Join(err, l.abort(), r.discard(ctx, g)))
	}
	err = r.record.write(i.rec)
	if err == nil {
		crashpoint.Passed(crashpoint.ProcessRecorded)
		err = l.release(ctx)
	}
	if err != nil {
		l.close()
		return nil, startError(spec, errors.Join(err, r.cleanUp(ctx, i.Kill)))
	}
	crashpoint.Passed(crashpoint.ProcessReleased)
	return i, nil
}

// startError adds what was attempted, and keeps the type of the cause.
func startError(spec runtime.Spec, err error) error {
	return fmt.Errorf("cannot start gateway %s: %w", spec.Gateway, err)
}

// checkStart refuses what can be refused before anything is done, and looks up
// the program.
func (r *Runtime) checkStart(ctx context.Context, spec runtime.Spec) (path string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !launcherReady.Load() {
		return "", errors.New("process.RunLauncher was not called at the start of main")
	}
	if !validName(spec.Gateway) || spec.Generation == 0 || spec.Port < 1 || spec.Port > 65535 {
		return "", fmt.Errorf("gateway name %q, generation %d and port %d must be valid", spec.Gateway, spec.Generation, spec.Port)
	}
	recorded, err := r.record.exists()
	if err != nil {
		return "", err
	}
	if recorded {
		return "", fmt.Errorf("%w in %s", ErrRecorded, r.record.path)
	}
	return lookCommand(spec)
}

// validName keeps names harmless as part of a cgroup's path.
func validName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 40
}

// newGroup makes the groups of a new instance and sets its limits there. No instance is recorded, so
// whatever runs in the gateway's cgroup is a leftover of a start that was cut
// short, or of a record that was set aside, and is ended (I1).
func (r *Runtime) newGroup(ctx context.Context, spec runtime.Spec) (groups, error) {
	g := groups{main: emptyGroup{}}
	if err := r.clearBases(ctx, spec.Gateway); err != nil {
		return g, err
	}
	var err error
	if g.limits, err = r.limitGroups(ctx, spec, limitsOf(spec.Limits)); err != nil {
		return g, errors.Join(err, r.discard(ctx, g))
	}
	if r.support.Mode == ModeNone {
		return g, nil // a session needs a pid; see identify
	}
	v2 := r.support.Mode == ModeV2
	if i := slices.IndexFunc(g.limits, func(c limitGroup) bool { return c.v2 }); v2 && i >= 0 {
		// v2 has one hierarchy only: the cgroup that limits is the main one.
		g.main, g.bound = g.limits[i].cgroup, g.limits[i].what
		g.limits = slices.Delete(g.limits, i, i+1)
		return g, nil
	}
	base := cgroupBase(r.support.Path, r.opts.DataDir, spec.Gateway)
	c := cgroup{path: filepath.Join(base, generationName(spec.Generation)), v2: v2}
	if err := c.create(); err != nil {
		r.log.Warn("running the gateway without a cgroup", "gateway", spec.Gateway, "error", err)
		return g, nil
	}
	g.main = c
	return g, nil
}

// clearBases ends and removes what is left in any cgroup of the gateway.
func (r *Runtime) clearBases(ctx context.Context, gateway string) error {
	for _, base := range r.bases(gateway) {
		left, err := base.pids()
		if err != nil {
			return err
		}
		if len(left) > 0 {
			r.log.Warn("ending processes that an unrecorded instance left behind", "gateway", gateway, "pids", left)
		}
		if err := base.kill(ctx); err != nil {
			return err
		}
		if err := base.removeTree(ctx); err != nil {
			return err
		}
	}
	return r.sweep(ctx, gateway)
}

// identify makes an instance of the launcher, and begins to watch it.
func (r *Runtime) identify(spec runtime.Spec, l *launch, g groups) (*instance, error) {
	stat, err := readStat(l.main.pid)
	if err != nil {
		return nil, fmt.Errorf("cannot identify the launcher: %w", err)
	}
	rec := runtime.Record{
		Version: recordVersion, Gateway: spec.Gateway, Generation: spec.Generation,
		PID: l.main.pid, StartTime: stat.startTime, BootID: r.bootID, Cgroup: g.dir(), LimitCgroups: g.limitDirs(),
		Port: spec.Port, Command: spec.Command, ConfigHash: spec.ConfigHash,
		StartedAt: time.Now().UTC(), Host: r.record.host, DataDir: r.record.dataDir,
	}
	if g, err = r.groupOf(rec); err != nil {
		return nil, err
	}
	return r.adopt(rec, g, l.main)
}

// discard ends and removes a group that no instance has.
func (r *Runtime) discard(ctx context.Context, g group) error {
	return r.cleanUp(ctx, func(ctx context.Context) error {
		if err := g.kill(ctx); err != nil {
			return err
		}
		return g.remove(ctx)
	})
}

func (r *Runtime) cleanUp(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	return f(ctx)
}

// openLog opens the output log as the instance will have it: every write goes
// to the end, wherever that is after a rotation.
func openLog(dir string) (*os.File, error) {
	f, err := os.OpenFile(LogPath(dir), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the gateway's log: %w", err)
	}
	return f, nil
}
