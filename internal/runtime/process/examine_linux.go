package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what Examine gathers, so that an event of it can be read.
const (
	maxExaminedProcesses = 10
	maxExaminedThreads   = 32
	maxStackLines        = 8
)

// Examine implements runtime.Watched. Nothing here reads a process's memory map,
// as ps does for the command line: that waits, without end, for a process that
// hangs in the kernel while it holds the map.
func (i *instance) Examine(ctx context.Context) map[string]any {
	found := map[string]any{}
	all, err := i.processes()
	if err != nil {
		found["error"] = err.Error()
	}
	var procs []any
	for n, p := range all {
		if n == maxExaminedProcesses || ctx.Err() != nil {
			break
		}
		procs = append(procs, examineProcess(p.PID))
	}
	found["processes"], found["process_count"] = procs, len(all)
	if ctx.Err() == nil {
		found["threads"] = examineThreads(ctx, i.rec.PID)
	}
	if ctx.Err() == nil {
		found["connections"] = examineConnections(i.rec.PID, i.rec.Port)
	}
	if limit, peak := i.group.memory(); limit > 0 || peak > 0 {
		found["memory"] = map[string]any{"limit": limit, "peak": peak}
	}
	return found
}

func examineProcess(pid int) map[string]any {
	m := map[string]any{"pid": pid}
	stat, err := readStat(pid)
	if err != nil {
		m["error"] = err.Error()
		return m
	}
	m["state"], m["cpu_seconds"] = string(stat.state), seconds(stat.cpu)
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			m["name"] = value
		case "Threads":
			m["threads"] = value
		case "VmRSS":
			m["resident"] = value
		case "VmSwap":
			m["swapped"] = value
		}
	}
	return m
}

// examineThreads looks at the threads of a process: their state, and where in the
// kernel they wait (proc_pid_wchan(5), proc_pid_stack(5), which root may read).
func examineThreads(ctx context.Context, pid int) []any {
	tasks := "/proc/" + strconv.Itoa(pid) + "/task"
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return nil
	}
	var threads []any
	for _, e := range entries {
		if len(threads) == maxExaminedThreads || ctx.Err() != nil {
			break
		}
		dir := filepath.Join(tasks, e.Name())
		data, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		stat, err := parseStat(data)
		if err != nil {
			continue
		}
		m := map[string]any{"tid": e.Name(), "state": string(stat.state), "cpu_seconds": seconds(stat.cpu)}
		add := func(key, file string, lines int) {
			if data, err := os.ReadFile(dir + "/" + file); err == nil && len(data) > 0 {
				m[key] = strings.Join(firstLines(string(data), lines), "; ")
			}
		}
		add("name", "comm", 1)
		add("waits_in", "wchan", 1)
		if e.Name() == strconv.Itoa(pid) || stat.state == 'D' {
			add("stack", "stack", maxStackLines)
		}
		threads = append(threads, m)
	}
	return threads
}

func firstLines(text string, n int) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[:min(n, len(lines))]
}

func seconds(ticks uint64) float64 { return (time.Duration(ticks) * tick).Seconds() }

// tcpStates are those of include/net/tcp_states.h.
var tcpStates = map[string]string{
	"01": "established", "02": "syn sent", "03": "syn received", "04": "fin wait 1", "05": "fin wait 2",
	"06": "time wait", "07": "close", "08": "close wait", "09": "last ack", "0A": "listening", "0B": "closing",
}

// examineConnections sums up the sockets at the instance's port, as its own
// network namespace shows them (proc_pid_net(5)). Of a listening socket the
// receive queue is connections that nobody has accepted; of others it is bytes
// that nobody has read.
func examineConnections(pid, port int) []any {
	type sum struct{ count, unread, unsent uint64 }
	sums := map[string]*sum{}
	eachConnection(pid, port, func(state string, unread, unsent uint64) {
		s := sums[state]
		if s == nil {
			s = &sum{}
			sums[state] = s
		}
		s.count++
		s.unread += unread
		s.unsent += unsent
	})
	var names []string
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []any
	for _, name := range names {
		s := sums[name]
		m := map[string]any{"state": name, "count": s.count, "unread_bytes": s.unread, "unsent_bytes": s.unsent}
		if name == "listening" {
			m = map[string]any{"state": name, "not_accepted": s.unread}
		}
		all = append(all, m)
	}
	return all
}

// backlog is how many connections to a port nobody has accepted yet.
func backlog(pid, port int) int {
	n := 0
	for _, file := range tcpTables {
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/net/" + file)
		if err != nil {
			continue // no IPv6, or it has ended
		}
		n += backlogIn(f, port)
		_ = f.Close() // nothing was written
	}
	return n
}

// backlogIn is backlog, of a table of the kernel's. Those that listen come first there
// (https://docs.kernel.org/networking/proc_net_tcp.html), and no more is read: this is
// asked again and again while a gateway is silent, and takes the longer the more
// connections there are, TIME_WAIT among them, on the whole machine. A monitor that is kept
// waiting for too long each time counts that for no silence, and never suspects anything.
func backlogIn(table io.Reader, port int) int {
	n := 0
	lines := bufio.NewScanner(table)
	lines.Scan() // the heading
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) < 4 || tcpStates[fields[3]] != "listening" {
			break
		}
		if _, unread, _, ok := connectionAt(lines.Text(), port); ok {
			n += int(unread)
		}
	}
	return n
}

// tcpTables are the files with the TCP sockets of a network namespace.
var tcpTables = []string{"tcp", "tcp6"}

// eachConnection calls f for the sockets whose own port is that one.
func eachConnection(pid, port int, f func(state string, unread, unsent uint64)) {
	for _, file := range tcpTables {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/" + file)
		if err != nil {
			continue // no IPv6, or it has ended
		}
		for line := range bytes.Lines(data) {
			if state, unread, unsent, ok := connectionAt(string(line), port); ok {
				f(state, unread, unsent)
			}
		}
	}
}

// connectionAt reads a line of /proc/net/tcp, if it is of a socket whose own port
// is that one.
func connectionAt(line string, port int) (state string, unread, unsent uint64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return "", 0, 0, false
	}
	_, own, _ := strings.Cut(fields[1], ":")
	raw, err := hex.DecodeString(own)
	if err != nil || len(raw) != 2 || int(raw[0])<<8|int(raw[1]) != port {
		return "", 0, 0, false
	}
	tx, rx, _ := strings.Cut(fields[4], ":")
	unsent, errTx := strconv.ParseUint(tx, 16, 64)
	unread, errRx := strconv.ParseUint(rx, 16, 64)
	name, known := tcpStates[fields[3]]
	return name, unread, unsent, known && errTx == nil && errRx == nil
}
