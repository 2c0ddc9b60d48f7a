package systemd

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"creel/test/harness"
)

// manager is a systemd with a creel of its own.
type manager struct {
	*harness.Creel
	cmd    *exec.Cmd
	pid    int // of systemd, as seen from outside of its namespace; 0: the machine's own
	output harness.Output
}

// targets are those that systemd's default dependencies ask for.
var targets = []string{"basic", "sysinit", "shutdown", "umount", "multi-user", "sockets", "network", "slices", "paths", "timers"}

// boot starts a systemd with the units of deploy/, whose service runs a crashgw
// instead of OpenClaw. mode is "hybrid" (controllers of cgroup v1) or "v2".
func boot(t *testing.T, mode string, c *harness.Creel) *manager {
	t.Helper()
	requireSystemd(t)
	units := filepath.Join(c.Dir, "units")
	for _, dir := range []string{units, c.DataDir()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range targets {
		write(t, filepath.Join(units, name+".target"), "[Unit]\nDefaultDependencies=no\n")
	}
	service := deployed(t, "creel.service")
	service = replaceLine(t, service, "ExecStart=/usr/local/bin/creel ", "ExecStart=/usr/local/bin/creel "+command(c))
	write(t, filepath.Join(units, "creel.service"), service)
	// There is no journald here.
	c.Output = harness.Output{Path: filepath.Join(c.Dir, "output")}
	dropIns := filepath.Join(units, "creel.service.d")
	if err := os.Mkdir(dropIns, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dropIns, "output.conf"), "[Service]\nStandardOutput=append:"+c.Output.Path+"\nStandardError=inherit\n")
	write(t, filepath.Join(units, "creel.socket"), replaceLine(t, deployed(t, "creel.socket"), "ListenStream=", "ListenStream="+c.Addr))

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("boot.sh")
	if err != nil {
		t.Fatal(err)
	}
	groups := groupsFor(t)
	m := &manager{Creel: c, output: harness.Output{Path: filepath.Join(c.Dir, "systemd")}}
	file, err := os.Create(m.output.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The shell goes into cgroups of the test's own before unshare makes them the
	// roots of all that systemd sees.
	enter := ""
	for _, g := range groups {
		enter += fmt.Sprintf("echo $$ >'%s/cgroup.procs'\n", g)
	}
	m.cmd = exec.Command("/bin/sh", "-ec", enter+`exec unshare --pid --fork --mount --cgroup --uts --ipc --kill-child -- /bin/sh "$0" "$1"`, script, mode)
	m.cmd.Env = append(os.Environ(), "TEST_DIR="+c.Dir, "TEST_BINARY="+self, "TEST_ROLE="+harness.AsCreel)
	m.cmd.Stdout, m.cmd.Stderr = file, file
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.end(t, groups) })
	harness.Poll(t, "systemd to be up", func() bool {
		m.pid = childOf(m.cmd.Process.Pid)
		if m.pid == 0 {
			return false
		}
		out, _ := m.run("systemctl", "is-system-running") // not running yet is an error, too
		return strings.TrimSpace(out) == "running"
	}, func() string { return m.output.String() })
	return m
}

// command is what the service runs: creel with crashgw, on the folder of the unit.
func command(c *harness.Creel) string {
	args := slices.Clone(c.Args[1:]) // without the test binary's role
	for i, a := range args {
		if a == c.DataDir() {
			args[i] = "/var/lib/creel"
		}
	}
	return strings.Join(args, " ")
}

// run runs a command where systemd is: inside of its namespaces, or here.
func (m *manager) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	if m.pid != 0 {
		args = append([]string{"nsenter", "-t", strconv.Itoa(m.pid), "-m", "-p", "-C", "-u", "-i", "--"}, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

func (m *manager) must(args ...string) string {
	m.T.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.T.Fatalf("%v: %v\n%s\nsystemd's output:\n%s", args, err, out, m.output)
	}
	return out
}

// property is one that systemd knows of the service.
func (m *manager) property(name string) string {
	m.T.Helper()
	return strings.TrimSpace(m.must("systemctl", "show", "--value", "-p", name, "creel.service"))
}

// end ends systemd, and with it all that is in its namespace.
func (m *manager) end(t *testing.T, groups []string) {
	if t.Failed() {
		t.Logf("systemd's output:\n%s\ncreel's:\n%s", m.output, m.Output)
	}
	if m.pid != 0 {
		if err := syscall.Kill(m.pid, syscall.SIGKILL); err != nil {
			t.Errorf("cannot end systemd: %v", err)
		}
	} else if err := m.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = m.cmd.Wait() // it was killed
	for _, g := range groups {
		if !harness.Await(harness.Patience, func() bool { return removeGroup(g) }) {
			t.Errorf("cgroup %s is left", g)
		}
	}
}

// groupsFor makes a cgroup for the test in each hierarchy of the machine.
func groupsFor(t *testing.T) []string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		at := hierarchy(string(mounts), parts[1])
		if at == "" {
			continue // no process can be put there
		}
		dir := filepath.Join(at, parts[2], "creel-systemd-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(len(t.Name())))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if parts[1] != "" { // v1
			inherit(t, dir, "cpuset.cpus", "cpuset.mems")
		}
		groups = append(groups, dir)
	}
	return groups
}

// inherit copies what a new cpuset of cgroup v1 has to be told before a process
// may enter it.
func inherit(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		v, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			continue // this hierarchy has no such controller
		}
		if err := os.WriteFile(filepath.Join(dir, name), v, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// hierarchy finds where the hierarchy with these controllers is mounted (no
// controllers: cgroup v2). Format: proc_pid_mountinfo(5).
func hierarchy(mounts, controllers string) string {
	scanner := bufio.NewScanner(strings.NewReader(mounts))
	for scanner.Scan() {
		before, after, _ := strings.Cut(scanner.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(super) < 3 {
			continue
		}
		options := strings.Split(super[2], ",")
		switch {
		case controllers == "" && super[0] == "cgroup2":
			return fields[4]
		case controllers != "" && super[0] == "cgroup" && slices.Contains(options, strings.Split(controllers, ",")[0]):
			return fields[4]
		}
	}
	return ""
}

// removeGroup removes a cgroup and those beneath it; false: not all of them yet.
func removeGroup(dir string) bool {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if os.IsNotExist(err) {
		return true
	}
	slices.Reverse(dirs)
	for _, d := range dirs {
		if syscall.Rmdir(d) != nil {
			return false
		}
	}
	return err == nil
}

// childOf is the first child of a process, 0 if there is none.
func childOf(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	child, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return child
}

// deployed reads a unit file as it is handed out.
func deployed(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// replaceLine replaces the one line that begins as given.
func replaceLine(t *testing.T, text, begin, by string) string {
	t.Helper()
	lines, n := strings.Split(text, "\n"), 0
	for i, l := range lines {
		if strings.HasPrefix(l, begin) {
			lines[i] = by
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d lines begin with %q", n, begin)
	}
	return strings.Join(lines, "\n")
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
