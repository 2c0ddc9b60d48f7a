package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"creel/internal/runtime"
)

// bases are the cgroups beneath which all instances of the gateway are.
func (r *Runtime) bases(gateway string) []cgroup {
	var bases []cgroup
	if r.opts.CgroupParent != NoCgroup {
		bases = r.limiter.bases(r.opts.DataDir, gateway)
	}
	if r.support.Mode != ModeNone {
		main := cgroup{path: cgroupBase(r.support.Path, r.opts.DataDir, gateway), v2: r.support.Mode == ModeV2}
		bases = append(bases, main)
	}
	return bases
}

// Strays lists what runs in the cgroups of the gateway beside the recorded
// instance; with no (sound) record, all that runs there, and whatever else writes
// to the gateway's log. It changes nothing, and may be called from any goroutine.
//
// Without cgroups a stray beside a recorded instance cannot be told from that
// instance: whoever writes to the log is a part of it.
func (r *Runtime) Strays(ctx context.Context, gateway string) ([]runtime.Stray, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot look for strays: %w", err)
	}
	rec, err := r.record.read()
	var refused *runtime.RecordError
	if err != nil && !errors.Is(err, runtime.ErrNoInstance) && !errors.As(err, &refused) {
		return nil, err
	}
	strays, err := r.strays(gateway, rec, err != nil)
	if err != nil {
		return nil, fmt.Errorf("cannot look for strays: %w", err)
	}
	return strays, nil
}

// EndStrays ends all that runs in the gateway's name while no instance is
// recorded, and returns what that was. Start does it as well, if it is left to do.
// While an instance is recorded it returns ErrRecorded.
func (r *Runtime) EndStrays(ctx context.Context, gateway string) ([]runtime.Stray, error) {
	recorded, err := r.record.exists()
	if err == nil && recorded {
		err = fmt.Errorf("%w in %s", ErrRecorded, r.record.path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot end strays: %w", err)
	}
	// The look through all processes is made once: see sweep.
	strays, err := r.strays(gateway, runtime.Record{}, !r.swept)
	if err == nil {
		err = r.clearBases(ctx, gateway)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot end strays: %w", err)
	}
	return strays, nil
}

// strays lists what is in the gateway's cgroups, less those of rec, and with
// writers what writes to its log.
func (r *Runtime) strays(gateway string, rec runtime.Record, writers bool) ([]runtime.Stray, error) {
	var strays []runtime.Stray
	add := func(p process, where string) {
		same := func(s runtime.Stray) bool { return s.PID == p.PID && s.StartTime == p.StartTime }
		if !slices.ContainsFunc(strays, same) {
			strays = append(strays, runtime.Stray{PID: p.PID, StartTime: p.StartTime, Command: commandLine(p.PID), Where: where})
		}
	}
	for _, base := range r.bases(gateway) {
		err := base.forEach(func(dir string) error {
			if isRecorded(rec, dir) {
				return nil
			}
			own, err := cgroup{path: dir}.ownProcesses()
			for _, p := range own {
				add(p, dir)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if !writers {
		return strays, nil
	}
	found, err := r.writers()()
	for _, p := range found {
		add(p, LogPath(r.opts.Dir))
	}
	return strays, err
}

// isRecorded tells whether dir is a cgroup of the recorded instance, or in one.
func isRecorded(rec runtime.Record, dir string) bool {
	return slices.ContainsFunc(append([]string{rec.Cgroup}, rec.LimitCgroups...), func(own string) bool {
		rel, err := filepath.Rel(own, dir)
		return own != "" && err == nil && filepath.IsLocal(rel)
	})
}

// writers lists whoever writes to the gateway's log, and what belongs to them.
// There is one such process only if it is, or was, an instance: the log is in
// the data folder, and creel hands it to nobody else.
func (r *Runtime) writers() func() ([]process, error) {
	return session{logPath: LogPath(r.opts.Dir), anyLog: true}.lister(false)
}

// sweep ends what an instance has left of which there is no record, and which no
// cgroup of the gateway holds: where there are no cgroups, or its own could not
// be made. It is looked for once, and again if a record was set aside: whatever
// this Runtime has started, it has cleared away too.
func (r *Runtime) sweep(ctx context.Context, gateway string) error {
	if r.swept {
		return nil
	}
	list := r.writers()
	left, err := list()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		r.log.Warn("ending processes that an unrecorded instance left behind", "gateway", gateway, "pids", left)
		err := endAll(ctx, pidsOf(list))
		if err != nil {
			return err
		}
	}
	r.swept = true
	return nil
}

// pidsOf makes a list of pids of a list of processes.
func pidsOf(list func() ([]process, error)) func() ([]int, error) {
	return func() ([]int, error) {
		var pids []int
		found, err := list()
		for _, p := range found {
			pids = append(pids, p.PID)
		}
		return pids, err
	}
}
