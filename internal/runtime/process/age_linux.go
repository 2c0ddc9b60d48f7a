package process

import (
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc (proc_pid_stat(5)): 100 on
// all platforms that Go runs on.
const ticksPerSecond = 100

// ageSlack is how far the wall clock may be from the kernel's account of a
// process's start before it is taken to have been set since.
const ageSlack = 2 * time.Second

// trueStart corrects when an instance was started, which its record has by the
// wall clock. If that was set since, the instance would seem hours old, or not
// born yet, and would get no time to start, or too much. The kernel counts from
// the boot, by a clock that nobody sets.
func trueStart(rec runtime.Record) time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return rec.StartedAt
	}
	born := time.Duration(rec.StartTime) * time.Second / ticksPerSecond
	start := time.Now().Add(born - time.Duration(up.Nano()))
	if start.Sub(rec.StartedAt).Abs() < ageSlack {
		return rec.StartedAt
	}
	return start
}
