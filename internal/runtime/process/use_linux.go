package process

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Use tells what the instance that runs uses; false: none is known to run. It is
// cheap, and meant for people to look at: it reads counters in /proc that wait for
// nothing (proc_pid_statm(5)).
func (r *Runtime) Use() (Use, bool) {
	rec, err := r.record.read()
	if err != nil {
		return Use{}, false
	}
	i := r.known(rec)
	if i == nil {
		return Use{}, false
	}
	all, err := i.processes()
	if err != nil || len(all) == 0 {
		return Use{}, false
	}
	u := Use{Generation: rec.Generation}
	for _, p := range all {
		stat, err := readStat(p.PID)
		if err != nil || stat.startTime != p.StartTime {
			continue // it has ended
		}
		u.CPU += time.Duration(stat.cpu) * tick
		u.Memory += resident(p.PID)
	}
	return u, true
}

// resident is how much memory a process has; 0: it has ended.
func resident(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), " ")
	pages, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(pages, 10, 64)
	if err != nil {
		return 0
	}
	return n * int64(os.Getpagesize())
}
