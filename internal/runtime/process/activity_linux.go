package process

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

var _ runtime.Watched = (*instance)(nil)

// tick is the unit of processor time in /proc: USER_HZ, which is 100 on every
// architecture that Go runs on (proc_pid_stat(5), sysconf(3)).
const tick = time.Second / 100

// Activity implements runtime.Watched.
func (i *instance) Activity() (runtime.Activity, error) {
	a, err := i.activity()
	if err != nil {
		return a, fmt.Errorf("cannot see what gateway %s does: %w", i.rec.Gateway, err)
	}
	return a, nil
}

func (i *instance) activity() (runtime.Activity, error) {
	var a runtime.Activity
	all, err := i.processes()
	if err != nil {
		return a, err
	}
	tasks := fnv.New64a()
	for _, p := range all {
		stat, err := readStat(p.PID)
		if err != nil || stat.startTime != p.StartTime {
			continue // it has ended
		}
		a.CPU += time.Duration(stat.cpu) * tick
		a.IO += readIO(p.PID)
		a.Runnable = a.Runnable || runnable(p.PID)
		fmt.Fprintln(tasks, p.PID, p.StartTime)
		if p.PID == i.rec.PID && stat.state == 't' {
			a.Held = true
		}
	}
	a.Tasks = tasks.Sum64()
	a.Backlog = backlog(i.rec.PID, i.rec.Port)
	frozen, err := i.frozenByAnyone()
	a.Held = a.Held || frozen
	return a, err
}

// processes lists all processes of the instance.
func (i *instance) processes() ([]process, error) {
	switch g := i.group.main.(type) {
	case cgroup:
		return g.processes()
	case session:
		return g.lister(true)()
	}
	return nil, nil
}

// runnable reports whether a thread of a process runs, or waits for a processor:
// state R in proc_pid_stat(5).
func runnable(pid int) bool {
	found := false
	// What cannot be read has ended.
	_ = eachThread(pid, func(stat procStat) bool {
		found = stat.state == 'R'
		return !found
	})
	return found
}

// eachThread calls f for the threads of a process, until it returns false.
func eachThread(pid int, f func(stat procStat) bool) error {
	tasks := "/proc/" + strconv.Itoa(pid) + "/task"
	dir, err := os.Open(tasks)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(tasks, name, "stat"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		stat, err := parseStat(data)
		if err != nil {
			return err
		}
		if !f(stat) {
			return nil
		}
	}
	return nil
}

// readIO is how many bytes a process has read and written, from and to files,
// pipes and sockets alike (proc_pid_io(5)); 0 if that may not be seen.
func readIO(pid int) uint64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	if err != nil {
		return 0
	}
	text := strings.ReplaceAll(string(data), ":", "")
	read, _ := field([]byte(text), "rchar")
	written, _ := field([]byte(text), "wchar")
	return read + written
}

// frozenByAnyone reports whether the instance is frozen in effect: by creel, or
// by somebody who has frozen its cgroup or one above.
func (i *instance) frozenByAnyone() (bool, error) {
	if ours, err := i.Frozen(); err != nil || ours {
		return ours, err
	}
	g, ok := i.group.main.(cgroup)
	if !ok {
		return false, nil
	}
	if g.v2 {
		data, err := os.ReadFile(filepath.Join(g.path, "cgroup.events"))
		if gone(err) {
			return false, nil
		}
		frozen, _ := field(data, "frozen")
		return frozen == 1, err
	}
	data, err := os.ReadFile(filepath.Join(g.path, freezerState))
	if gone(err) {
		return false, nil
	}
	return err == nil && strings.TrimSpace(string(data)) != "THAWED", err
}

// gone tells that there is no such control file, or no cgroup any more.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }
