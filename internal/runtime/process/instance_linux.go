package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
)

var errClosed = errors.New("the runtime is closed")

// instance is one copy of the gateway, running or ended.
type instance struct {
	rt    *Runtime
	rec   runtime.Record
	group groups
	main  *pidfd // nil: it had ended when it was found
	oom   oomCounter

	done     chan struct{} // closed when the main process has ended
	exit     runtime.Exit  // written before done is closed
	released chan struct{} // closed when the watch has ended, for either reason
	killing  atomic.Bool   // creel itself has begun to kill
	turn     chan struct{} // holds a value while one Kill works
	cleared  bool          // nothing is left; guarded by turn

	hold      sync.Mutex         // held by Freeze and Thaw
	mayFreeze context.Context    // ended by Kill
	noFreeze  context.CancelFunc // ends it
}

var _ runtime.Instance = (*instance)(nil)

func (r *Runtime) newInstance(rec runtime.Record, g groups, main *pidfd) *instance {
	i := &instance{
		rt: r, rec: rec, group: g, main: main,
		done: make(chan struct{}), released: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	i.mayFreeze, i.noFreeze = context.WithCancel(context.Background())
	return i
}

// adopt makes an instance of a process and begins to watch it. It takes over
// main unless it fails.
func (r *Runtime) adopt(rec runtime.Record, g groups, main *pidfd) (*instance, error) {
	i := r.newInstance(rec, g, main)
	i.oom = newOOMCounter(rec.PID)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	r.instances[i] = true
	r.rotator.watch()
	go i.watch()
	return i, nil
}

func (r *Runtime) deadInstance(rec runtime.Record, g groups) *instance {
	i := r.newInstance(rec, g, nil)
	i.exit = runtime.Exit{At: time.Now(), OOM: g.oomKilled()}
	i.exit.MemoryLimit, i.exit.PeakMemory = g.memory()
	close(i.done)
	close(i.released)
	return i
}

// watch waits for the end of the main process. It ends with it, or with the
// Runtime.
func (i *instance) watch() {
	defer close(i.released)
	err := i.main.wait()
	if err == nil {
		i.exit = i.collect()
		close(i.done)
		err = i.main.close()
	}
	i.rt.mu.Lock()
	delete(i.rt.instances, i)
	i.rt.mu.Unlock()
	if err != nil && !errors.Is(err, os.ErrClosed) {
		i.rt.log.Error("cannot watch the gateway's process", "gateway", i.rec.Gateway, "pid", i.rec.PID, "error", err)
	}
}

// collect reaps the main process and says how it ended.
func (i *instance) collect() runtime.Exit {
	exit := runtime.Exit{At: time.Now()}
	status, known, err := i.main.reap()
	if err != nil {
		i.rt.log.Error("cannot collect the exit status", "gateway", i.rec.Gateway, "pid", i.rec.PID, "error", err)
	}
	switch {
	case !known:
	case status.Signaled():
		exit.Known, exit.Signal = true, status.Signal()
	default:
		exit.Known, exit.Code = true, status.ExitStatus()
	}
	// A shell, and what it runs in place of the gateway, ends with 128 and the signal that
	// its child was killed by.
	killed := !exit.Known || exit.Signal == unix.SIGKILL || exit.Code == 128+int(unix.SIGKILL)
	exit.OOM = killed && !i.killing.Load() && i.oom.grew()
	exit.MemoryLimit, exit.PeakMemory = i.group.memory()
	return exit
}

// release ends the watch and waits for its end.
func (i *instance) release() {
	// Closed already: the process has ended, and the watch with it.
	_ = i.main.close()
	<-i.released
}

// Record implements runtime.Instance.
func (i *instance) Record() runtime.Record { return i.rec }

// Addr implements runtime.Instance.
func (i *instance) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(i.rec.Port)) }

// Done implements runtime.Instance.
func (i *instance) Done() <-chan struct{} { return i.done }

// Exit implements runtime.Instance.
func (i *instance) Exit() runtime.Exit {
	select {
	case <-i.done:
		return i.exit
	default:
		return runtime.Exit{} // not valid yet, and not written yet
	}
}

// Terminate implements runtime.Instance. SIGTERM goes to the main process
// alone, as with systemd's KillMode=mixed: only the main process knows in which
// order its children may end. Were all of them to get it, a database or a
// worker would end under a main process that is still finishing requests.
func (i *instance) Terminate() error {
	select {
	case <-i.done:
		return nil
	default:
	}
	err := i.main.signal(unix.SIGTERM)
	if err == nil {
		// What is held still would never get to handle it. The signal comes
		// first, so that nothing else happens in between.
		return i.Thaw()
	}
	if errors.Is(err, os.ErrClosed) {
		<-i.released // closed by the watch or by Close; released tells which
		select {
		case <-i.done:
			return nil
		default:
			err = errClosed
		}
	}
	return fmt.Errorf("cannot terminate gateway %s (pid %d): %w", i.rec.Gateway, i.rec.PID, err)
}

// Kill implements runtime.Instance.
func (i *instance) Kill(ctx context.Context) error {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return i.killError(ctx.Err())
	}
	if i.cleared {
		return nil
	}
	i.killing.Store(true)
	i.stopFreezing()
	if err := i.group.kill(ctx); err != nil {
		return i.killError(err)
	}
	if err := i.killMain(ctx); err != nil {
		return i.killError(err)
	}
	crashpoint.Passed(crashpoint.ProcessKilled)
	if err := i.group.remove(ctx); err != nil {
		return i.killError(err)
	}
	crashpoint.Passed(crashpoint.ProcessUngrouped)
	if err := i.rt.holdFile().remove(i.rec); err != nil {
		return i.killError(err)
	}
	if err := i.rt.record.remove(i.rec); err != nil {
		return i.killError(err)
	}
	crashpoint.Passed(crashpoint.RecordRemoved)
	i.cleared = true
	return nil
}

// killMain sees to the main process itself, should it have been moved out of
// its group, and waits until it is reaped.
func (i *instance) killMain(ctx context.Context) error {
	select {
	case <-i.done:
		return nil
	default:
	}
	if err := i.main.signal(unix.SIGKILL); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	select {
	case <-i.released:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-i.done:
		return nil
	default:
		return errClosed
	}
}

func (i *instance) killError(err error) error {
	return fmt.Errorf("cannot kill gateway %s, generation %d: %w", i.rec.Gateway, i.rec.Generation, err)
}
