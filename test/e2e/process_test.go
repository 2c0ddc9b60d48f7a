//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// process is one process of this machine, as proc(5) shows it.
type process struct {
	pid     int
	name    string // comm: at most 15 bytes
	command string // command line, with spaces in place of NULs
	environ string
	dir     string // working directory
	cgroups string
	started string // field 22 of stat: with the pid, the process beyond doubt
}

func (p process) String() string {
	return fmt.Sprintf("pid %d (%s) in %s: %s", p.pid, p.name, p.dir, p.command)
}

// readProcess gives what can be read of a process; false if there is none, or
// if it is dead and only its parent has not noticed yet.
func readProcess(pid int) (process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	get := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "" // it has ended, or is another user's
		}
		return string(b)
	}
	p := process{
		pid: pid, name: strings.TrimSpace(get("comm")), cgroups: get("cgroup"),
		command: strings.TrimSpace(strings.ReplaceAll(get("cmdline"), "\x00", " ")),
		environ: strings.ReplaceAll(get("environ"), "\x00", "\n"),
	}
	p.dir, _ = os.Readlink(filepath.Join(dir, "cwd")) // "": likewise
	// After the name, which may hold anything but ends with the last ")".
	stat := get("stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const state, started = 0, 19
	if len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return process{}, false
	}
	p.started = fields[started]
	return p, true
}

// allProcesses gives all processes that can be seen.
func allProcesses(t *testing.T) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// processes gives the processes that belong to the folder: its gateway, what
// that has started, and its creels. What a process inherits and cannot easily
// lose tells: environment, working directory, cgroup.
func (f *folder) processes(t *testing.T) []process {
	t.Helper()
	cgroup := f.cgroup(t)
	var own []process
	for _, p := range allProcesses(t) {
		if p.pid == os.Getpid() {
			continue
		}
		inFolder := p.dir == f.root || strings.HasPrefix(p.dir, f.root+"/")
		inCgroup := cgroup != "" && strings.Contains(p.cgroups, cgroup[strings.LastIndex(cgroup, "/creel/"):])
		if inFolder || inCgroup || strings.Contains(p.environ, f.root+"/") || strings.Contains(p.command, f.root+"/") {
			own = append(own, p)
		}
	}
	return own
}

// cgroup is the folder of the cgroup in which the present instance is; "" if
// there is no instance, or no cgroup for it.
func (f *folder) cgroup(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.data, "gateways", "openclaw", "instance.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var record struct{ Cgroup string }
	if err == nil {
		err = json.Unmarshal(b, &record)
	}
	if err == nil && record.Cgroup != "" && !strings.Contains(record.Cgroup, "/creel/") {
		err = fmt.Errorf("%s is no cgroup of creel's", record.Cgroup)
	}
	if err != nil {
		t.Fatal(err)
	}
	return record.Cgroup
}
