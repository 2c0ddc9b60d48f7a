package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// Runtime runs the instances of one gateway as processes.
type Runtime struct {
	opts    Options
	log     *slog.Logger
	support Support
	limiter limiter
	record  recordFile
	bootID  string
	rotator *rotator
	apart   func() error // why instances cannot be kept apart; nil: they can
	tiny    string       // path of the tiny launcher; empty: there is none

	swept bool // nothing that writes to the log is left from before this Runtime

	mu        sync.Mutex
	closed    bool
	instances map[*instance]bool // being watched
}

var _ runtime.Runtime = (*Runtime)(nil)

// New makes the runtime of one gateway. It starts nothing.
func New(o Options) (*Runtime, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkPidfd(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the gateway's folder: %w", err)
	}
	// Both are compared with what is on disk, so they must not depend on how
	// or from where creel was started.
	if o.Dir, err = canonical(o.Dir); err != nil {
		return nil, err
	}
	if o.DataDir, err = canonical(o.DataDir); err != nil {
		return nil, err
	}
	host, err := hostID()
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	support, limiter, err := findCgroups(o.CgroupParent)
	if err != nil {
		return nil, err
	}
	tiny, err := tinyProgram()
	if err != nil {
		o.Logger.Info("gateways are started by creel's whole program, which takes longer", "reason", err)
	}
	return &Runtime{
		opts: o, log: o.Logger, support: support, limiter: limiter, bootID: boot, tiny: tiny, apart: tried(canKeepApart),
		record:    recordFile{path: filepath.Join(o.Dir, RecordName), host: host, dataDir: o.DataDir},
		rotator:   newRotator(LogPath(o.Dir), o.LogMaxBytes, o.LogKeep, o.Logger),
		instances: make(map[*instance]bool),
	}, nil
}

// findCgroups tells where cgroups can be made, for instances and for limits.
func findCgroups(parent string) (Support, limiter, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	own, ownErr := os.ReadFile("/proc/self/cgroup")
	err = errors.Join(err, ownErr)
	if wanting(err) {
		return Support{}, limiter{}, fmt.Errorf("cannot tell what cgroups there are: %w", err)
	}
	support := Describe()
	if parent != "" {
		var parentErr error
		if support, parentErr = describeParent(parent); parentErr != nil {
			return Support{}, limiter{}, parentErr
		}
	}
	if err != nil {
		return support, limiter{}, nil // there are no cgroups, then; support says so
	}
	l := newLimiter(mounts, own, support)
	if parent != "" && support.Mode == ModeV2 {
		l.v2 = []string{support.Path} // so configured
	}
	return support, l, nil
}

func checkPidfd() error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("cannot run gateways as processes: pidfd_open: %w (Linux 5.4 or later is needed, and a sandbox around creel must allow it)", err)
	}
	return unix.Close(fd)
}

func canonical(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", fmt.Errorf("cannot use the folder %s: %w", dir, err)
	}
	return abs, nil
}

// Close stops watching and lets go of everything; instances run on (I6). The
// Done of an instance that is still running is then never closed, and its Kill
// and Terminate fail. Close waits for the goroutines that it ends.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	var open []*instance
	for i := range r.instances {
		open = append(open, i)
	}
	r.mu.Unlock()
	for _, i := range open {
		i.release()
	}
	r.rotator.close()
}

// Find implements runtime.Runtime. An instance that this Runtime has started
// or found before is returned again, as long as it is the one recorded.
func (r *Runtime) Find(ctx context.Context) (runtime.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot look for an instance: %w", err)
	}
	rec, err := r.record.read()
	if err != nil {
		if moved := r.checkMoved(rec); moved != nil {
			return nil, moved // no RecordError: the record has to stay
		}
		return nil, err
	}
	if known := r.known(rec); known != nil {
		return known, nil
	}
	g, err := r.groupOf(rec)
	if err != nil {
		return nil, &runtime.RecordError{Path: r.record.path, Reason: err.Error()}
	}
	if rec.BootID != r.bootID {
		// Nothing outlives a reboot; pids and cgroups of today are others'.
		return r.deadInstance(rec, groups{main: emptyGroup{}}), nil
	}
	main, err := pin(rec)
	if errors.Is(err, errGone) {
		return r.deadInstance(rec, g), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find the instance: %w", err)
	}
	rec.StartedAt = trueStart(rec)
	i, err := r.adopt(rec, g, main)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the instance: %w", errors.Join(err, main.close()))
	}
	return i, nil
}

// pin opens the recorded process, or returns errGone. The pidfd comes first:
// the start time read afterwards is then that of the process which the pidfd
// holds, or of none.
func pin(rec runtime.Record) (*pidfd, error) {
	p, err := openPidfd(rec.PID)
	if err != nil {
		return nil, err
	}
	stat, err := readStat(rec.PID)
	switch {
	case err != nil:
	case stat.startTime != rec.StartTime:
		err = errGone // the pid was used again
	case p.ended():
		err = errGone // it is merely not reaped yet, as its parent is dead too
	default:
		return p, nil
	}
	return nil, errors.Join(err, p.close())
}

// known returns the instance of rec if this Runtime watches it already.
func (r *Runtime) known(rec runtime.Record) *instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.instances {
		if i.rec.PID == rec.PID && i.rec.StartTime == rec.StartTime && i.rec.Generation == rec.Generation {
			return i
		}
	}
	return nil
}

// SetAside renames a record that Find has refused, so that an instance can be
// started, and returns its new path. A process that it may speak of is not
// touched: Start ends it if it is in this gateway's cgroup or writes to its log,
// and else finds its port taken.
func (r *Runtime) SetAside(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("cannot set the instance record aside: %w", err)
	}
	r.swept = false
	return r.record.setAside(time.Now())
}

// checkMoved returns an error if the data folder was moved while its instance
// ran: one that is copied leaves the original and its record where they are. The
// instance works on the very state that another one would be started with.
func (r *Runtime) checkMoved(rec runtime.Record) error {
	if rec.PID == 0 || rec.BootID != r.bootID {
		return nil
	}
	place, err := filepath.Rel(r.opts.DataDir, r.record.path)
	if err != nil {
		return nil // it is not in the data folder, so it tells nothing of that
	}
	if _, err := os.Lstat(filepath.Join(rec.DataDir, place)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	main, err := pin(rec)
	if errors.Is(err, errGone) {
		return nil
	}
	if err == nil {
		err = main.close()
	}
	return errors.Join(&movedError{rec, r.opts.DataDir}, err)
}

// movedError says that a data folder was moved under a running instance.
type movedError struct {
	rec runtime.Record
	now string
}

func (e *movedError) Error() string {
	return fmt.Sprintf("the data folder was moved from %s to %s while its gateway runs (pid %d, port %d): move it back, or end the gateway (kill %d)",
		e.rec.DataDir, e.now, e.rec.PID, e.rec.Port, e.rec.PID)
}

// emptyGroup is the group of an instance of which nothing can be left.
type emptyGroup struct{}

func (emptyGroup) dir() string                  { return "" }
func (emptyGroup) kill(context.Context) error   { return nil }
func (emptyGroup) remove(context.Context) error { return nil }
