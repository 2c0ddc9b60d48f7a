package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroup is a group whose processes are in one cgroup or beneath it. Control
// files: https://docs.kernel.org/admin-guide/cgroup-v2.html ("Core Interface
// Files") and …/cgroup-v1/freezer-subsystem.html.
type cgroup struct {
	path string
	v2   bool
}

func (c cgroup) dir() string { return c.path }

// cgroupBase is the cgroup of one gateway: <parent>/creel/<gateway>-<hash of
// the data folder>. The hash keeps apart several creels on one machine.
func cgroupBase(parent, dataDir, gateway string) string {
	sum := sha256.Sum256([]byte(dataDir))
	return filepath.Join(parent, "creel", gateway+"-"+hex.EncodeToString(sum[:6]))
}

func generationName(generation uint64) string { return "g" + strconv.FormatUint(generation, 10) }

// recordedCgroup is the cgroup that a record names. It is refused unless it is
// one that creel can have made for that very instance: a wrong path here would
// mean to kill somebody else's processes.
func recordedCgroup(dir, dataDir, gateway string, generation uint64) (cgroup, error) {
	base := filepath.Dir(dir)
	parent := filepath.Dir(filepath.Dir(base))
	if want := filepath.Join(cgroupBase(parent, dataDir, gateway), generationName(generation)); dir != want {
		return cgroup{}, fmt.Errorf("%s is no cgroup of this instance", dir)
	}
	var stat unix.Statfs_t
	err := unix.Statfs(dir, &stat)
	switch {
	case errors.Is(err, unix.ENOENT):
		return cgroup{path: dir}, nil // gone, so empty
	case err != nil:
		return cgroup{}, fmt.Errorf("cannot look at cgroup %s: %w", dir, err)
	}
	switch int64(stat.Type) {
	case unix.CGROUP2_SUPER_MAGIC:
		return cgroup{path: dir, v2: true}, nil
	case unix.CGROUP_SUPER_MAGIC:
		return cgroup{path: dir}, nil
	}
	return cgroup{}, fmt.Errorf("%s is no cgroup", dir)
}

// create makes the cgroup and those above it.
func (c cgroup) create() error {
	const attempts = 5 // another gateway's removal may take an empty parent away in between
	var err error
	for range attempts {
		if err = os.MkdirAll(c.path, 0o755); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make cgroup %s: %w", c.path, err)
	}
	return nil
}

// enter moves a process into the cgroup.
func (c cgroup) enter(pid int) error {
	if err := writeControl(c.path, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("cannot move process %d into its cgroup: %w", pid, err)
	}
	return nil
}

// kill implements group. With cgroup v2 of Linux 5.14 or later the kernel ends
// all processes at once, those included that are being forked. Else they are
// frozen first, so that they cannot fork faster than they are killed.
func (c cgroup) kill(ctx context.Context) error {
	var err error
	if c.v2 {
		err = writeControl(c.path, "cgroup.kill", "1")
		if err == nil {
			return c.waitEmpty(ctx)
		}
	}
	if _, statErr := os.Stat(c.path); errors.Is(statErr, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot kill cgroup %s: %w", c.path, err)
	}
	return c.killEach(ctx)
}

// killEach is kill without cgroup.kill.
func (c cgroup) killEach(ctx context.Context) error {
	file, freeze, thaw := freezerState, "FROZEN", "THAWED"
	if c.v2 {
		file, freeze, thaw = "cgroup.freeze", "1", "0"
	}
	// Freezing only makes the killing quicker: the systemd and pids
	// hierarchies cannot, and endAll comes to an end all the same.
	if err := writeControl(c.path, file, freeze); err == nil {
		err := c.signalEach(unix.SIGKILL)
		// In v1 a frozen process does not even die.
		err = errors.Join(err, c.forEach(func(dir string) error { return writeControl(dir, file, thaw) }))
		if err != nil {
			return fmt.Errorf("cannot kill cgroup %s: %w", c.path, err)
		}
	}
	return endAll(ctx, c.pids)
}

// signalEach signals every process in the cgroup, without waiting.
func (c cgroup) signalEach(sig unix.Signal) error {
	pids, err := c.pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		fd, err := borrowPidfd(pid)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		// The cgroup is frozen: its processes cannot end, so the pid is theirs.
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
		_ = returnPidfd(fd) // closing a pidfd cannot lose anything
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// waitEmpty waits until cgroup.events says that no process is left in the
// cgroup and beneath it. The kernel wakes pollers when the file changes.
func (c cgroup) waitEmpty(ctx context.Context) error {
	events, err := os.Open(filepath.Join(c.path, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot watch cgroup %s: %w", c.path, err)
	}
	defer events.Close()
	p, err := newPoller(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	buf := make([]byte, 256)
	for {
		n, err := events.ReadAt(buf, 0)
		if errors.Is(err, unix.ENODEV) {
			return nil // removed meanwhile
		}
		if n == 0 {
			return fmt.Errorf("cannot read the events of cgroup %s: %w", c.path, err)
		}
		if populated, ok := field(buf[:n], "populated"); ok && populated == 0 {
			return nil
		}
		if err := p.wait([]unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}); err != nil {
			left, _ := c.pids() // only to name them
			return fmt.Errorf("cannot end processes %v in cgroup %s: %w", left, c.path, err)
		}
	}
}

// pids lists the processes in the cgroup and beneath it.
func (c cgroup) pids() ([]int, error) {
	var pids []int
	err := c.forEach(func(dir string) error {
		own, err := cgroup{path: dir}.ownPIDs()
		pids = append(pids, own...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the processes of cgroup %s: %w", c.path, err)
	}
	return pids, nil
}

// ownPIDs lists the processes in the cgroup itself.
func (c cgroup) ownPIDs() ([]int, error) {
	data, err := os.ReadFile(filepath.Join(c.path, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for word := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("cannot understand %q in cgroup.procs", word)
		}
		if pid > 1 { // 0: a process of another pid namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// processes are pids, beyond doubt; ownProcesses are ownPIDs.
func (c cgroup) processes() ([]process, error)    { return identified(c.pids) }
func (c cgroup) ownProcesses() ([]process, error) { return identified(c.ownPIDs) }

func identified(list func() ([]int, error)) ([]process, error) {
	pids, err := list()
	if err != nil {
		return nil, err
	}
	var all []process
	for _, pid := range pids {
		stat, err := readStat(pid)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, process{pid, stat.startTime})
	}
	// A stranger that got a pid before its start time was read is not listed.
	still, err := list()
	return slices.DeleteFunc(all, func(p process) bool { return !slices.Contains(still, p.PID) }), err
}

// remove implements group: it removes the cgroup of an instance, and those of
// the gateway and of creel if they are empty then.
func (c cgroup) remove(ctx context.Context) error {
	if err := c.removeTree(ctx); err != nil {
		return err
	}
	// Either may well be in use by others.
	_ = unix.Rmdir(filepath.Dir(c.path))
	_ = unix.Rmdir(filepath.Dir(filepath.Dir(c.path)))
	return nil
}

// removeTree removes the cgroup and those that its processes made beneath it.
func (c cgroup) removeTree(ctx context.Context) error {
	for {
		var dirs []string
		err := c.forEach(func(dir string) error { dirs = append(dirs, dir); return nil })
		if err != nil {
			return fmt.Errorf("cannot remove cgroup %s: %w", c.path, err)
		}
		busy := false
		for _, dir := range slices.Backward(dirs) { // those beneath first
			switch err := unix.Rmdir(dir); {
			case err == nil, errors.Is(err, unix.ENOENT):
			case errors.Is(err, unix.EBUSY):
				busy = true
			default:
				return fmt.Errorf("cannot remove cgroup %s: %w", dir, err)
			}
		}
		if !busy {
			return nil
		}
		if err := pause(ctx, retryPause); err != nil {
			return fmt.Errorf("cannot remove cgroup %s, which is busy: %w", c.path, err)
		}
	}
}

// forEach calls f for the cgroup and all beneath it, upper ones first. What is
// removed meanwhile is left out.
func (c cgroup) forEach(f func(dir string) error) error {
	return filepath.WalkDir(c.path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = f(path)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	})
}

// writeControl writes to a control file. It never creates one: cgroupfs would
// answer with EACCES, where fs.ErrNotExist says what is the matter.
func writeControl(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// field finds a number in a file of "name value" lines.
func field(data []byte, name string) (uint64, bool) {
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			n, err := strconv.ParseUint(value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
