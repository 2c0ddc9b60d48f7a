package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the processor time that processes have used so far, in user and
// kernel mode, with all their threads, those that have ended included.
//
// It is read from the processes' CPU clocks (clock_getcpuclockid(3)), which
// count in nanoseconds; /proc/PID/stat counts in hundredths of a second.
func cpuTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(cpuClock(pid), &ts); err != nil {
			return 0, fmt.Errorf("cannot read the CPU clock of pid %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// cpuClock is the number of a process's CPU clock: the complement of its pid,
// shifted left by three, with 2 (CPUCLOCK_SCHED) in the free bits
// (include/linux/posix-timers.h).
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// memory is what a process holds, in bytes.
type memory struct {
	Resident  int64 // Rss
	Anonymous int64 // the part of it that is not a copy of a file
}

// memoryOf reads the memory of a process. /proc/PID/smaps_rollup is exact, where
// /proc/PID/status is brought up to date now and then (proc_pid_status(5)).
func memoryOf(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, fmt.Errorf("cannot read the memory of pid %d: %w", pid, err)
	}
	m, err := parseRollup(b)
	if err != nil {
		return memory{}, fmt.Errorf("cannot read the memory of pid %d: %w", pid, err)
	}
	return m, nil
}

// parseRollup reads the lines "Rss:" and "Anonymous:" of a smaps_rollup.
func parseRollup(b []byte) (memory, error) {
	var m memory
	wanted := map[string]*int64{"Rss": &m.Resident, "Anonymous": &m.Anonymous}
	for line := range strings.Lines(string(b)) {
		name, value, found := strings.Cut(line, ":")
		to := wanted[name]
		if !found || to == nil {
			continue
		}
		number, isKB := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || !isKB {
			return memory{}, fmt.Errorf("cannot read the line %q of smaps_rollup", strings.TrimSpace(line))
		}
		*to = n * 1024
		delete(wanted, name)
	}
	for name := range wanted {
		return memory{}, fmt.Errorf("smaps_rollup has no line %q", name)
	}
	return m, nil
}

// machine is what the figures were measured on.
type machine struct {
	CPU    string
	Cores  int
	Memory int64 // bytes
	Kernel string
	Go     string
	Load   float64 // load average of the last minute, before anything was started
}

func thisMachine() (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	for _, part := range []struct {
		file string
		read func([]byte) error
	}{
		{"/proc/cpuinfo", func(b []byte) error { m.CPU = parseCPUModel(b); return nil }},
		{"/proc/sys/kernel/osrelease", func(b []byte) error { m.Kernel = string(bytes.TrimSpace(b)); return nil }},
		{"/proc/loadavg", func(b []byte) (err error) { m.Load, err = parseLoad(b); return err }},
		{"/proc/meminfo", func(b []byte) (err error) { m.Memory, err = parseMemTotal(b); return err }},
	} {
		b, err := os.ReadFile(part.file)
		if err == nil {
			err = part.read(b)
		}
		if err != nil {
			return machine{}, fmt.Errorf("cannot tell what this machine is from %s: %w", part.file, err)
		}
	}
	return m, nil
}

// parseCPUModel finds the model's name in a /proc/cpuinfo. Not every
// architecture gives one.
func parseCPUModel(b []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH + ", model not told"
}

// parseLoad reads the first number of a /proc/loadavg.
func parseLoad(b []byte) (float64, error) {
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read the load average %q: %w", b, err)
	}
	return load, nil
}

// parseMemTotal reads the line "MemTotal:" of a /proc/meminfo.
func parseMemTotal(b []byte) (int64, error) {
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("cannot read the line %q: %w", strings.TrimSpace(line), err)
			}
			return kb * 1024, nil
		}
	}
	return 0, fmt.Errorf("there is no line %q", "MemTotal:")
}
