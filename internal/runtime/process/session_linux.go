package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// session is a group without a cgroup. A process belongs to it if it
//
//   - is in the session of the main process, or
//   - descends from a process that belongs to it, or is in the session of one, or
//   - has the instance's log open for appending as standard output or error.
//
// The last finds orphans in sessions of their own; it holds only while the
// record is this instance's (a later instance writes to the same log).
type session struct {
	rec     runtime.Record
	record  recordFile
	logPath string
	anyLog  bool // whoever writes to the log is a member, whatever is recorded
}

func (s session) dir() string { return "" }

func (s session) remove(context.Context) error { return nil }

// kill implements group.
func (s session) kill(ctx context.Context) error { return endAll(ctx, pidsOf(s.lister(false))) }

// lister lists those that run. What it has found once stays found: the death of
// a parent cuts the tie by which its child was recognised. With hasty, the open
// files of a process that is a stranger at the first look are not looked at
// again: most of the time goes there.
func (s session) lister(hasty bool) func() ([]process, error) {
	found := newMembers(s.rec)
	strangers := make(map[process]bool)
	var log os.FileInfo
	var looked bool
	return func() ([]process, error) {
		if !looked {
			var err error
			if log, err = s.ownLog(); err != nil {
				return nil, err
			}
			looked = true
		}
		stats, err := allStats()
		if err != nil {
			return nil, err
		}
		return found.update(stats, func(p process) bool {
			if log == nil || hasty && strangers[p] {
				return false
			}
			appends := appendsTo(p.PID, log)
			strangers[p] = !appends
			return appends
		}), nil
	}
}

// ownLog is the log, if it is this instance's; nil if there is none.
func (s session) ownLog() (os.FileInfo, error) {
	if !s.anyLog {
		ours, err := s.record.holds(s.rec)
		if err != nil || !ours {
			return nil, err
		}
	}
	info, err := os.Stat(s.logPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look at the gateway's log: %w", err)
	}
	return info, nil
}

// members are the processes known to belong to an instance.
type members struct {
	startTime uint64 // of the main process
	creels    int    // creel's own session, which is never taken for the instance's
	sessions  map[int]bool
	procs     map[int]uint64 // pid to start time
}

func newMembers(rec runtime.Record) *members {
	own, err := unix.Getsid(0)
	if err != nil {
		own = 0 // cannot fail for the calling process: getsid(2)
	}
	m := &members{startTime: rec.StartTime, creels: own, sessions: map[int]bool{}, procs: map[int]uint64{}}
	if rec.PID != 0 {
		m.sessions[rec.PID], m.procs[rec.PID] = true, rec.StartTime
	}
	return m
}

// update adds what stats shows and returns those still running, by pid.
func (m *members) update(stats []procStat, appends func(process) bool) []process {
	self := os.Getpid()
	// A process that leads a session we know but is not the one we knew: the
	// pid was used again, which the kernel allows only once the old session is
	// empty. The whole session is a stranger's.
	for _, s := range stats {
		if start, known := m.procs[s.pid]; known && start != s.startTime {
			delete(m.procs, s.pid)
			delete(m.sessions, s.pid)
		}
	}
	for changed := true; changed; {
		changed = false
		for _, s := range stats {
			// A member is never older than the main process, nor is it creel.
			if _, known := m.procs[s.pid]; known || s.pid == self || s.pid == 1 || s.startTime < m.startTime {
				continue
			}
			_, child := m.procs[s.ppid]
			if !m.sessions[s.session] && !child && (s.ended() || !appends(process{s.pid, s.startTime})) {
				continue
			}
			m.procs[s.pid] = s.startTime
			// The main process began a session, so no session of those that
			// descend from it is shared with others.
			if s.session != m.creels {
				m.sessions[s.session] = true
			}
			changed = true
		}
	}
	var running []process
	for _, s := range stats {
		if _, ok := m.procs[s.pid]; ok && !s.ended() {
			running = append(running, process{s.pid, s.startTime})
		}
	}
	slices.SortFunc(running, func(a, b process) int { return a.PID - b.PID })
	return running
}

// appendsTo reports whether the standard output or error of a process is the
// file, opened for appending. Readers of the log are no members.
func appendsTo(pid int, want os.FileInfo) bool {
	for _, fd := range []string{"1", "2"} {
		proc := "/proc/" + strconv.Itoa(pid)
		got, err := os.Stat(proc + "/fd/" + fd)
		if err != nil || !os.SameFile(got, want) {
			continue // not ours to see, or another file
		}
		info, err := os.ReadFile(proc + "/fdinfo/" + fd)
		if err == nil && openedForAppending(string(info)) {
			return true
		}
	}
	return false
}

// openedForAppending reads the flags line of /proc/pid/fdinfo (octal).
func openedForAppending(info string) bool {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
			return err == nil && flags&unix.O_APPEND != 0
		}
	}
	return false
}
