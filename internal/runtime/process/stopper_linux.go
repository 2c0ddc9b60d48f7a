package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// stopper holds processes still by SIGSTOP, where no cgroup can freeze them. A
// parent that waits for its children with WUNTRACED sees them stop; a freezer
// would have hidden it.
//
// Whom it stops is written to a file first, so that a later creel lets go on
// those and no process that somebody else has stopped.
type stopper struct {
	file holdFile
	rec  runtime.Record
	list func() ([]process, error)
}

// freeze stops processes until every one that list gives is stopped. A stopped
// process forks no more, so this comes to an end, unless processes that fork and
// end at once are always a step ahead of the list.
func (s stopper) freeze(ctx context.Context) error {
	held, err := s.file.read(s.rec)
	if err != nil {
		return err
	}
	for again := false; ; {
		all, err := s.list()
		if err != nil {
			return err
		}
		more, err := s.stopNew(&held, all)
		if err == nil && !more && !again {
			return nil
		}
		if err == nil {
			again, err = awaitStopped(ctx, all, held.Stopped)
		}
		if err != nil {
			return fmt.Errorf("cannot stop processes %v: %w", all, err)
		}
	}
}

// stopNew stops those of all that run, and reports whether there were any.
func (s stopper) stopNew(held *hold, all []process) (bool, error) {
	var running []int // pidfds
	defer func() {
		for _, fd := range running {
			_ = returnPidfd(fd) // closing a pidfd cannot lose anything
		}
	}()
	for _, p := range all {
		fd, stat, err := p.borrow()
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return false, err
		}
		// One that somebody else has stopped, or traces, is not ours to continue.
		if stat.state == 'T' || stat.state == 't' {
			_ = returnPidfd(fd) // as above
			continue
		}
		running = append(running, fd)
		// It may be there already: from a creel that died before it stopped it.
		if !slices.Contains(held.Stopped, p) {
			held.Stopped = append(held.Stopped, p)
		}
	}
	if len(running) == 0 {
		return false, nil
	}
	if err := s.file.write(*held); err != nil {
		return false, err
	}
	for _, fd := range running {
		if err := unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return false, err
		}
	}
	return true, nil
}

// stopTime is how long a process may take to stop before it is looked what keeps it. It
// is a moment as a rule.
const stopTime = 2 * time.Millisecond

// awaitStopped waits until all are stopped. If again, some of them have been let go on
// meanwhile, of those that creel has stopped: ours.
//
// A thread that is in vfork(2), as most are that start a program, does not stop before
// its child has executed it, nor ever if the child is stopped first. So that one is let
// go on; it is stopped again in the next round, and its parent's thread right away.
func awaitStopped(ctx context.Context, all, ours []process) (again bool, err error) {
	for _, p := range all {
		for look := time.Now().Add(stopTime); ; {
			stopped, err := allThreadsStopped(p.PID)
			if err != nil {
				return again, err
			}
			if stopped {
				break
			}
			if now := time.Now(); now.After(look) {
				look = now.Add(stopTime)
				some, err := continueForked(p, ours)
				if err != nil {
					return again, err
				}
				again = again || some
			}
			if err := pause(ctx, statePause); err != nil {
				return again, err
			}
		}
		if again {
			break // others of them may be those that go on
		}
	}
	return again, ctx.Err()
}

// continueForked lets go on the children of parent that are stopped and have executed no
// program yet, and reports whether there were any.
func continueForked(parent process, ours []process) (bool, error) {
	some := false
	for _, p := range ours {
		stat, err := readStat(p.PID)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return some, err
		}
		if stat.startTime != p.StartTime || stat.ppid != parent.PID || stat.state != 'T' || !stat.forked() {
			continue
		}
		if err := p.cont(); err != nil {
			return some, err
		}
		some = true
	}
	return some, nil
}

// thaw continues what the file names, the main process last, as the others may
// be waited for by it.
func (s stopper) thaw() error {
	held, err := s.file.read(s.rec)
	if err != nil {
		return err
	}
	for _, p := range slices.Backward(held.Stopped) {
		if err := p.cont(); err != nil {
			return fmt.Errorf("cannot let process %d go on: %w", p.PID, err)
		}
	}
	return s.file.remove(s.rec)
}

func (s stopper) frozen() (bool, error) {
	held, err := s.file.read(s.rec)
	return len(held.Stopped) > 0, err
}

// process is one process beyond doubt, within one boot.
type process struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"start_time"`
}

// borrow pins the process, and returns errGone if it has ended.
func (p process) borrow() (int, procStat, error) {
	fd, err := borrowPidfd(p.PID)
	switch {
	// As in openPidfd.
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return -1, procStat{}, errGone
	case err != nil:
		return -1, procStat{}, fmt.Errorf("cannot open process %d: %w", p.PID, err)
	}
	// Looked at after it was pinned: the pidfd holds this one or none.
	stat, err := readStat(p.PID)
	if err == nil && stat.startTime != p.StartTime {
		err = errGone
	}
	if err != nil {
		_ = returnPidfd(fd) // closing a pidfd cannot lose anything
		return -1, procStat{}, err
	}
	return fd, stat, nil
}

// cont sends SIGCONT.
func (p process) cont() error {
	fd, _, err := p.borrow()
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	err = unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
	_ = returnPidfd(fd) // closing a pidfd cannot lose anything
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// allThreadsStopped looks at each thread: the first may show as stopped while
// others are still on their way to it.
func allThreadsStopped(pid int) (bool, error) {
	stopped := true
	err := eachThread(pid, func(stat procStat) bool {
		stopped = stat.ended() || stat.state == 'T' || stat.state == 't'
		return stopped
	})
	return stopped && err == nil, err
}

// hold says which processes of an instance creel has stopped.
type hold struct {
	Instance process   `json:"instance"`
	BootID   string    `json:"boot_id"`
	Stopped  []process `json:"stopped"`
}

// holdFile is the file that keeps a hold. It need not outlast the machine's next
// boot, so it is not synced, which would take longer than the freeze.
type holdFile struct{ path string }

func (r *Runtime) holdFile() holdFile { return holdFile{filepath.Join(r.opts.Dir, "held.json")} }

// read returns the hold on the instance of rec, an empty one if there is none.
// A file of another instance, or one that is damaged, is none: at worst the
// instance is then found silent and replaced.
func (f holdFile) read(rec runtime.Record) (hold, error) {
	none := hold{Instance: process{rec.PID, rec.StartTime}, BootID: rec.BootID}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("cannot read which processes are held still: %w", err)
	}
	var h hold
	if json.Unmarshal(data, &h) != nil || h.Instance != none.Instance || h.BootID != none.BootID {
		return none, nil
	}
	return h, nil
}

func (f holdFile) write(h hold) error {
	data, err := json.Marshal(h)
	if err == nil {
		temp := f.path + ".tmp"
		if err = os.WriteFile(temp, data, 0o600); err == nil {
			err = os.Rename(temp, f.path)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write down which processes are held still: %w", err)
	}
	return nil
}

// remove removes the hold on the instance of rec; that on another stays (I3).
func (f holdFile) remove(rec runtime.Record) error {
	h, err := f.read(rec)
	if err != nil || len(h.Stopped) == 0 {
		return err
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the note of which processes are held still: %w", err)
	}
	return nil
}
