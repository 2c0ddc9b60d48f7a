package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// othersShare watches the machine for a while in which this run does nothing,
// and returns which part of its processor time others use: 0 to 1. A
// hypervisor that gives the time to another machine counts as one of them.
func othersShare(ctx context.Context, d time.Duration) (float64, error) {
	before, err := readTicks()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := readTicks()
	if err != nil {
		return 0, err
	}
	return after.busySince(before)
}

// ticks is the time of all processors since boot, in units of the kernel's.
type ticks struct{ idle, all uint64 }

func readTicks() (ticks, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}, fmt.Errorf("cannot see how busy the machine is: %w", err)
	}
	return parseTicks(string(b))
}

// parseTicks reads the line "cpu" of a /proc/stat (proc_stat(5)): user, nice,
// system, idle, iowait, irq, softirq, steal; guest times, which follow, are part
// of the first two.
func parseTicks(text string) (ticks, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return ticks{}, fmt.Errorf("cannot see how busy the machine is from the line %q of /proc/stat", line)
	}
	var t ticks
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return ticks{}, fmt.Errorf("cannot read the line %q of /proc/stat: %w", line, err)
		}
		t.all += n
		if i == 3 || i == 4 { // idle, and idle while a disk is waited for
			t.idle += n
		}
	}
	return t, nil
}

// busySince is the part of the time since before in which processors did
// something.
func (t ticks) busySince(before ticks) (float64, error) {
	if t.all <= before.all || t.idle < before.idle {
		return 0, errors.New("cannot see how busy the machine is: its clock of processor time stands still")
	}
	return 1 - float64(t.idle-before.idle)/float64(t.all-before.all), nil
}
