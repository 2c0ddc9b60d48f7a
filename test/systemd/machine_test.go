//go:build vm

// With the tag vm, in a machine of their own (test/vm): the units as users install
// them, with a real creel, under the systemd that has started the machine.

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/test/crashgw"
	"creel/test/harness"
)

// install installs creel and its units on this machine. A drop-in has it run crashgw;
// all else is what users get, the port too. settings are its creel.yaml.
func install(t *testing.T, o crashgw.Options, settings string, flags ...string) *manager {
	t.Helper()
	bin := os.Getenv("VM_BIN")
	if bin == "" {
		t.Fatal("this test changes the machine that it runs on: run it by `make vm`, which makes it one")
	}
	c := harness.Prepare(t, o)
	listen := slices.Index(c.Args, c.Addr)
	c.Addr = "127.0.0.1:8080"
	c.Args[listen] = c.Addr
	c.Args = slices.Insert(c.Args, slices.Index(c.Args, "--"), flags...)
	write(t, c.ConfigPath(), settings)
	c.Output = harness.Output{Path: filepath.Join(c.Dir, "output")} // a copy of the journal, in the end
	m := &manager{Creel: c, output: c.Output}
	m.must("install", "-m", "755", filepath.Join(bin, "creel"), "/usr/local/bin/creel")
	if err := os.Symlink("/var/lib/creel", c.DataDir()); err != nil {
		t.Fatal(err)
	}
	const dir = "/etc/systemd/system"
	dropIns := filepath.Join(dir, "creel.service.d")
	if err := os.MkdirAll(dropIns, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"creel.service", "creel.socket"} {
		write(t, filepath.Join(dir, name), deployed(t, name))
	}
	write(t, filepath.Join(dropIns, "crashgw.conf"), "[Service]\nExecStart=\nExecStart=/usr/local/bin/creel "+command(c)+"\n")
	m.must("systemctl", "daemon-reload")
	m.must("rm", "-rf", "/var/lib/creel")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.run("journalctl", "--no-pager", "-n", "300", "-u", "creel.service", "-u", "creel.socket")
			t.Logf("the journal:\n%s", out)
		}
		m.must("systemctl", "stop", "creel.socket", "creel.service")
		_, _ = m.run("systemctl", "reset-failed", "creel.service") // an error if it has not failed
	})
	return m
}

// group is the cgroup of a process.
func group(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "0::")
	if !ok {
		t.Fatalf("this machine has not cgroup v2 alone: %s", b)
	}
	return path
}

// number is what a file of a process's cgroup says.
func number(t *testing.T, pid int, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", group(t, pid), file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// version is systemd's.
func (m *manager) version() int {
	m.T.Helper()
	n, err := strconv.Atoi(strings.Fields(m.must("systemctl", "--version"))[1])
	if err != nil {
		m.T.Fatal(err)
	}
	return n
}

func (m *manager) creelPID() int {
	m.T.Helper()
	n, err := strconv.Atoi(m.property("MainPID"))
	if err != nil || n == 0 {
		m.T.Fatalf("creel's pid: %d, %v", n, err)
	}
	return n
}

// groupsLeft are the cgroups that bear creel's name.
func groupsLeft(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("find", "/sys/fs/cgroup", "-name", "creel*", "-not", "-name", "creel-vm*").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestMachine is the life of TestUnits; and creel and its gateway are where they are
// meant to be, and no cgroup is left of them.
func TestMachine(t *testing.T) {
	m := install(t, crashgw.Options{}, harness.Settings)
	first := m.awaken()
	unit := "/system.slice/creel.service"
	own := unit // before systemd 254
	if m.version() >= 254 {
		own = unit + "/supervisor"
	}
	if g := group(t, m.creelPID()); g != own {
		t.Errorf("creel is in %s, not in %s", g, own)
	}
	if g := group(t, first.PID); !strings.HasPrefix(g, own+"/creel/crash-") {
		t.Errorf("the gateway is in %s", g)
	}
	m.killed(first)
	m.upgraded()
	if g := group(t, m.creelPID()); g != own {
		t.Errorf("after an upgrade creel is in %s, not in %s", g, own)
	}
	m.reloaded()
	m.restarted()
	m.stopped()
	if left := groupsLeft(t); left != "" {
		t.Errorf("cgroups are left:\n%s", left)
	}
}

// TestMachineLimits: limits are in force, in a place that systemd leaves alone: above
// creel's own where that is delegated (DelegateSubgroup=), else at the top. They
// survive creel, and what systemd does with its own cgroups.
func TestMachineLimits(t *testing.T) {
	for _, tt := range []struct{ limits, file, value string }{
		{"memory: 96MiB, cpu: 50, pids: 200", "memory.max", strconv.Itoa(96 << 20)},
		// Controllers of threads, which a cgroup with processes could hand on, and be
		// of no use from then on.
		{"pids: 200", "pids.max", "200"},
		{"cpu: 50", "cpu.max", "50000 100000"},
	} {
		t.Run(tt.limits, func(t *testing.T) {
			m := install(t, crashgw.Options{}, strings.Replace(harness.Settings, "gateway:\n", "gateway:\n  limits: {"+tt.limits+"}\n", 1))
			first := m.awaken()
			parent := "/creel/crash-"
			if m.version() >= 254 {
				parent = "/system.slice/creel.service" + parent
			}
			limited := func(pid int) {
				t.Helper()
				if g := group(t, pid); !strings.HasPrefix(g, parent) {
					t.Errorf("the gateway is in %s, not below %s…", g, parent)
				}
				if v := number(t, pid, tt.file); v != tt.value {
					t.Errorf("%s is %s, not %s", tt.file, v, tt.value)
				}
			}
			limited(first.PID)
			m.killed(first)
			limited(first.PID)

			// systemd looks through its controllers again.
			m.must("systemctl", "daemon-reload")
			m.must("systemd-run", "--wait", "--quiet", "-p", "CPUWeight=50", "-p", "MemoryMax=64M", "true")
			m.must("systemctl", "daemon-reload")
			limited(first.PID)

			m.upgraded()
			limited(first.PID)
			if tt.file == "memory.max" {
				m.starved(first)
			}
			m.restarted()
			limited(m.WaitFor("ready", harness.Ready).PID)
			m.stopped()
			if left := groupsLeft(t); left != "" {
				t.Errorf("cgroups are left:\n%s", left)
			}
		})
	}
}

// starved: a gateway that needs more memory than it may have is ended by the kernel,
// and only it: systemd, which ends services of which a process was, leaves creel be.
func (m *manager) starved(before api.Status) {
	m.T.Helper()
	main := m.creelPID()
	m.Get("/hog?kind=memory")
	st := m.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation })
	if st.LastEnd == nil || st.LastEnd.Cause != gateway.CauseOOM {
		m.T.Errorf("the end is told as %+v", st.LastEnd)
	}
	if m.creelPID() != main || m.property("ActiveState") != "active" {
		m.T.Errorf("creel was %d and is %d; its service is %s", main, m.creelPID(), m.property("ActiveState"))
	}
}
