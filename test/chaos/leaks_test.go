package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"creel/internal/api"
	"creel/internal/runtime"
	"creel/internal/runtime/process"
)

// checkPlace: record, cgroup, ports and files belong to the one instance that
// runs.
func (w *world) checkPlace(st api.Status) {
	w.T.Helper()
	rec, err := w.record()
	if err != nil || rec.PID != st.PID || rec.Generation != st.Generation {
		w.errorf("recorded is %+v (%v); generation %d runs with pid %d", rec, err, st.Generation, st.PID)
		return
	}
	w.checkCgroup(rec)
	w.checkPorts(st)
	w.checkFiles()
}

// record reads the instance record.
func (w *world) record() (runtime.Record, error) {
	var rec runtime.Record
	b, err := os.ReadFile(filepath.Join(w.DataDir(), "gateways", "chaos", "instance.json"))
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	return rec, err
}

// checkCgroup: the gateway has one cgroup, in which are all its processes and
// nobody else.
func (w *world) checkCgroup(rec runtime.Record) {
	w.T.Helper()
	if process.Describe().Mode == process.ModeNone {
		if rec.Cgroup != "" {
			w.errorf("the record names a cgroup, and this machine has none: %s", rec.Cgroup)
		}
		return
	}
	base := filepath.Dir(rec.Cgroup)
	var groups []string
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != base {
			groups = append(groups, path)
		}
		return err
	})
	if err != nil || !slices.Equal(groups, []string{rec.Cgroup}) {
		w.errorf("recorded is cgroup %s; there are %v (%v)", rec.Cgroup, groups, err)
	}
	procs, err := os.ReadFile(filepath.Join(rec.Cgroup, "cgroup.procs"))
	if err != nil {
		w.errorf("the cgroup: %v", err)
		return
	}
	var inside []int
	for text := range strings.FieldsSeq(string(procs)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			w.errorf("cgroup.procs: %v", err)
		}
		inside = append(inside, pid)
	}
	if len(inside) != 1+w.orphans || !slices.Contains(inside, rec.PID) {
		w.errorf("the cgroup of pid %d (and %d more) holds %v", rec.PID, w.orphans, inside)
	}
}

// checkPorts: creel's address is creel's, and the gateway's the gateway's.
func (w *world) checkPorts(st api.Status) {
	w.T.Helper()
	sockets := tcpSockets()
	for addr, owner := range map[string]int{w.Addr: st.Creel.PID, st.Addr: st.PID} {
		listening := 0
		for _, s := range sockets {
			if s.local == addr && s.state == stateListen {
				listening++
				if !slices.Contains(openSockets(owner), s.inode) {
					w.errorf("%s is not pid %d's", addr, owner)
				}
			}
		}
		if listening != 1 {
			w.errorf("%d sockets listen on %s", listening, addr)
		}
	}
}

// Files that a data folder may hold while its gateway runs.
var mayBeThere = []*regexp.Regexp{
	regexp.MustCompile(`^(creel\.(lock|sock)|private/creel\.sock|ballast)$`),
	regexp.MustCompile(`^journal/(journal\.lock|events(-\d+)?\.jsonl)$`),
	regexp.MustCompile(`^gateways/chaos/(instance|intent)\.json$`),
	regexp.MustCompile(`^gateways/chaos/gateway\.log(\.[123])?$`),
}

var setAside = regexp.MustCompile(`^gateways/chaos/instance\.refused-[0-9T]+-\d+\.json$`)

// checkFiles: no temporary file and nothing else is left in the data folder.
func (w *world) checkFiles() {
	w.T.Helper()
	var aside []os.FileInfo // one that was cut short may have two names
	err := filepath.WalkDir(w.DataDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, w.DataDir()+"/")
		switch {
		case setAside.MatchString(name):
			info, err := d.Info()
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(aside, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
				aside = append(aside, info)
			}
		case w.stateDir != "" && mayKeep(name):
		case !slices.ContainsFunc(mayBeThere, func(r *regexp.Regexp) bool { return r.MatchString(name) }):
			w.errorf("a file is left: %s", name)
		}
		return nil
	})
	if err != nil {
		w.errorf("the data folder: %v", err)
	}
	if len(aside) != w.aside {
		w.errorf("%d records were put aside, %d were spoilt", len(aside), w.aside)
	}
}

// checkOpenFiles: a creel has what the first one had, whatever it has been
// through, and the gateway has nothing of creel's.
func (w *world) checkOpenFiles(st api.Status) {
	w.T.Helper()
	w.awaitFor(soon, "creel's open files to be those of before", func() error {
		fds, err := w.openFiles(st)
		if err != nil {
			return err
		}
		if w.fds == nil {
			w.fds = fds
		}
		if !slices.Equal(fds, w.fds) {
			return fmt.Errorf("pid %d has\n%s\nthe first one had\n%s", st.Creel.PID, strings.Join(fds, "\n"), strings.Join(w.fds, "\n"))
		}
		return nil
	})
	sockets := tcpSockets()
	for fd, link := range links(st.PID) {
		if strings.HasPrefix(link, w.DataDir()) && link != process.LogPath(filepath.Join(w.DataDir(), "gateways", "chaos")) {
			w.errorf("the gateway has %s open as %s", link, fd)
		}
		for _, s := range sockets {
			if s.local == w.Addr && s.state == stateListen && link == fmt.Sprintf("socket:[%d]", s.inode) {
				w.errorf("the gateway has creel's listener")
			}
		}
	}
}

// openFiles describes what a creel has open, numbers and the like left out, in
// order. Connections to the present instance that wait for their next use come
// and go, and are not counted.
func (w *world) openFiles(st api.Status) ([]string, error) {
	tcp := map[int]tcpSocket{}
	for _, s := range tcpSockets() {
		tcp[s.inode] = s
	}
	var all []string
	for _, link := range links(st.Creel.PID) {
		var inode int
		if _, err := fmt.Sscanf(link, "socket:[%d]", &inode); err != nil {
			all = append(all, strings.TrimPrefix(link, w.Dir))
			continue
		}
		s, ok := tcp[inode]
		switch {
		case !ok:
			all = append(all, "unix socket")
		case s.state == stateListen && s.local == w.Addr:
			all = append(all, "listener")
		case s.state == stateEstablished && s.remote == st.Addr:
		default:
			all = append(all, fmt.Sprintf("TCP socket from %s to %s in state %s", s.local, s.remote, s.state))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("pid %d has nothing open", st.Creel.PID)
	}
	slices.Sort(all)
	return all, nil
}

// links are the open files of a process by number.
func links(pid int) map[string]string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended, which others find
	}
	all := map[string]string{}
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			all[e.Name()] = link
		}
	}
	return all
}

func openSockets(pid int) []int {
	var all []int
	for _, link := range links(pid) {
		var inode int
		if _, err := fmt.Sscanf(link, "socket:[%d]", &inode); err == nil {
			all = append(all, inode)
		}
	}
	return all
}

// tcpSocket is a line of /proc/net/tcp (proc_pid_net(5)).
type tcpSocket struct {
	local, remote string
	state         string // hexadecimal, see include/net/tcp_states.h
	inode         int
}

const (
	stateEstablished = "01"
	stateListen      = "0A"
)

// unowned matches the lines of sockets in the state TIME_WAIT. They are nobody's, and
// there are thousands of them.
var unowned = []byte(" 06 ")

// tcpSockets are those that some process may have.
func tcpSockets() []tcpSocket {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		panic(err) // nothing can be told without it
	}
	defer f.Close()
	var all []tcpSocket
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), unowned) {
			continue
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[0] == "sl" {
			continue
		}
		inode, err := strconv.Atoi(fields[9])
		if err != nil {
			continue
		}
		all = append(all, tcpSocket{hexAddr(fields[1]), hexAddr(fields[2]), fields[3], inode})
	}
	return all
}

// hexAddr is an IPv4 address and port as people write them. The kernel writes
// the address as a number in the machine's byte order; this is little endian.
func hexAddr(s string) string {
	var a, b, c, d, port int
	if _, err := fmt.Sscanf(s, "%02X%02X%02X%02X:%04X", &a, &b, &c, &d, &port); err != nil {
		return s
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", d, c, b, a, port)
}
