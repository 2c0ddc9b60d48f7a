package chaos

import (
	"fmt"
	"slices"
	"strconv"

	"creel/test/crashgw"
)

// Whether two instances lived at the same time needs no search: all processes
// of the machine share one clock. Two witnesses are heard. The lock that every
// crashgw holds until the kernel has taken its files from it tells exactly, at
// each start; what a process wrote (its start, its end, what it executed) gives
// intervals that must not overlap, should the lock be wrong.

// interval is the life of an instance, as far as it is proved.
type interval struct {
	pid        int
	generation uint64
	from, to   int64 // monotonic, nanoseconds: first and last sign of life
}

// checkLives tells whether two instances lived at the same time, or not in the
// order of their generations.
func checkLives(lives []crashgw.Life, changes []crashgw.StoreLine) error {
	var all []*interval
	latest := map[int]*interval{} // by pid, which may be used again
	for _, l := range lives {
		switch l.Kind {
		case crashgw.LifeOverlap:
			return fmt.Errorf("generation %s, pid %d, was started while another instance lived (the latest was pid %d)", l.Generation, l.PID, l.Beside)
		case crashgw.LifeStart:
			generation, err := strconv.ParseUint(l.Generation, 10, 64)
			if err != nil {
				return fmt.Errorf("pid %d was started without a generation: %w", l.PID, err)
			}
			i := &interval{pid: l.PID, generation: generation, from: l.Mono, to: l.Mono}
			all, latest[l.PID] = append(all, i), i
		case crashgw.LifeEnd:
			if i := latest[l.PID]; i != nil {
				i.to = l.Mono
			}
		}
	}
	for _, c := range changes {
		i := find(all, c.PID, c.Mono)
		if i == nil {
			return fmt.Errorf("pid %d has changed list %s, but was never started", c.PID, c.List)
		}
		i.to = max(i.to, c.Mono)
	}
	slices.SortStableFunc(all, func(a, b *interval) int { return int(a.from - b.from) })
	for n := 1; n < len(all); n++ {
		a, b := all[n-1], all[n]
		if b.from <= a.to {
			return fmt.Errorf("generation %d, pid %d, began to live before the last sign of generation %d, pid %d", b.generation, b.pid, a.generation, a.pid)
		}
		if b.generation <= a.generation {
			return fmt.Errorf("generation %d, pid %d, came after generation %d, pid %d", b.generation, b.pid, a.generation, a.pid)
		}
	}
	return nil
}

// find gives the latest life of pid that had begun then.
func find(all []*interval, pid int, at int64) *interval {
	var found *interval
	for _, i := range all {
		if i.pid == pid && i.from <= at {
			found = i
		}
	}
	return found
}
