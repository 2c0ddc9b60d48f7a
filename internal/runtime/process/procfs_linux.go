package process

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procStat is what is used of /proc/pid/stat (proc_pid_stat(5)).
type procStat struct {
	pid       int
	state     byte // R, S, D, Z (zombie), X (dead), …
	ppid      int
	session   int
	flags     uint64 // PF_…, see include/linux/sched.h
	startTime uint64 // clock ticks since boot
	cpu       uint64 // clock ticks used, children that were waited for included
}

// ended reports whether the process has ended and is merely not reaped yet.
func (s procStat) ended() bool { return s.state == 'Z' || s.state == 'X' }

// forked reports whether the process was forked and has executed no program since.
func (s procStat) forked() bool {
	const forkNoExec = 0x40 // PF_FORKNOEXEC
	return s.flags&forkNoExec != 0
}

// errGone says that there is no such process.
var errGone = errors.New("no such process")

// readStat returns errGone if there is no process of that pid.
func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	// ESRCH: the process ended between open and read.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return procStat{}, errGone
	}
	if err != nil {
		return procStat{}, fmt.Errorf("cannot read the state of process %d: %w", pid, err)
	}
	return parseStat(data)
}

func parseStat(data []byte) (procStat, error) {
	var s procStat
	bad := fmt.Errorf("cannot understand /proc/pid/stat: %q", data)
	// The command name is in brackets and may hold any byte, brackets and
	// blanks included: the last ")" ends it.
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return s, bad
	}
	fields := strings.Fields(string(data[end+1:])) // fields[0] is field 3
	if len(fields) < 20 || len(fields[0]) != 1 {
		return s, bad
	}
	s.state = fields[0][0]
	var errs [9]error
	s.pid, errs[0] = strconv.Atoi(strings.TrimSpace(string(data[:open])))
	s.ppid, errs[1] = strconv.Atoi(fields[1])
	s.session, errs[2] = strconv.Atoi(fields[3])
	s.startTime, errs[3] = strconv.ParseUint(fields[19], 10, 64)
	s.flags, errs[8] = strconv.ParseUint(fields[6], 10, 64)
	for i, field := range fields[11:15] { // utime, stime, cutime, cstime
		var n uint64
		n, errs[4+i] = strconv.ParseUint(field, 10, 64)
		s.cpu += n
	}
	if errors.Join(errs[:]...) != nil {
		return s, bad
	}
	return s, nil
}

// allStats returns the state of every process that may be seen.
func allStats() ([]procStat, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	stats := make([]procStat, 0, len(pids))
	for _, pid := range pids {
		s, err := readStat(pid)
		if err != nil {
			continue // ended meanwhile, or hidden from us (mount option hidepid)
		}
		stats = append(stats, s)
	}
	return stats, nil
}

func allPIDs() ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// commandLine is the command of a process as ps shows it, cut at 256 bytes.
func commandLine(pid int) string {
	const limit = 256
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return "unknown command"
	}
	line := strings.ReplaceAll(strings.TrimRight(string(data), "\x00"), "\x00", " ")
	if len(line) > limit {
		line = strings.ToValidUTF8(line[:limit], "") + "…"
	}
	return line
}

// bootID tells one boot of the machine from the next.
func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// hostID names this machine. It is a hash: machine-id(5) asks that the id
// itself stays confidential.
func hostID() (string, error) {
	data, err := os.ReadFile("/etc/machine-id")
	if wanting(err) { // the host name would make another machine of this one
		return "", fmt.Errorf("cannot name this machine: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if id == "" { // minimal containers have none
		name, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("cannot name this machine: no /etc/machine-id, and %w", err)
		}
		id = name
	}
	sum := sha256.Sum256([]byte("creel host " + id))
	return hex.EncodeToString(sum[:16]), nil
}
