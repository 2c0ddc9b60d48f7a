//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// creel is a running `creel up`.
type creel struct {
	cmd    *exec.Cmd
	stdout string // file
	stderr string // file
	done   chan struct{}
}

// up starts `creel up openclaw` on the folder.
func (f *folder) up(t *testing.T, args ...string) *creel {
	t.Helper()
	name := filepath.Join(f.root, fmt.Sprintf("creel-%d", len(f.creels)+1))
	c := &creel{stdout: name + "-stdout.txt", stderr: name + "-stderr.txt", done: make(chan struct{})}
	c.cmd = exec.Command(binary, append([]string{"up", "openclaw", "--data-dir", f.data, "--listen", f.listen}, args...)...)
	c.cmd.Env = f.environ()
	// Files, not pipes: a pipe whose reader is gone would be another test.
	stdout, err := os.Create(c.stdout)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	stderr, err := os.Create(c.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	c.cmd.Stdout, c.cmd.Stderr = stdout, stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process, which killAll ends at the latest
		_ = c.cmd.Wait() // the tests look at ProcessState
		close(c.done)
	}()
	f.creels = append(f.creels, c)
	return c
}

// read gives what was written to one of its outputs so far.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// link waits until creel has printed the link.
func (c *creel) link(t *testing.T) string {
	t.Helper()
	return c.linkWithin(t, bootLimit)
}

func (c *creel) linkWithin(t *testing.T, limit time.Duration) string {
	t.Helper()
	began := time.Now()
	eventually(t, limit, "creel prints a link", func() (bool, string) {
		if strings.HasSuffix(read(t, c.stdout), "\n") {
			return true, ""
		}
		if c.ended() {
			t.Fatalf("creel ended: %v\n%s", c.cmd.ProcessState, read(t, c.stderr))
		}
		return false, read(t, c.stderr)
	})
	t.Logf("link after %v", time.Since(began).Round(time.Millisecond))
	return strings.TrimSuffix(read(t, c.stdout), "\n")
}

func (c *creel) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// exit waits until creel has ended, and gives its exit code.
func (c *creel) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-c.done:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(endLimit):
		t.Fatalf("creel does not end:\n%s", read(t, c.stderr))
		return -1
	}
}

// signal signals creel itself.
func (c *creel) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end stops creel with SIGTERM and checks that nothing is left of it or of its
// gateway.
func (f *folder) end(t *testing.T, c *creel) {
	t.Helper()
	cgroup := f.cgroup(t)
	c.signal(t, syscall.SIGTERM)
	if code := c.exit(t); code != 0 {
		t.Errorf("creel ended with %d after SIGTERM:\n%s", code, read(t, c.stderr))
	}
	f.nothingLeft(t, cgroup)
}

// nothingLeft checks that no creel and no gateway of this folder is left, nor
// what only a running one needs. cgroup is that of the last instance; "": none.
func (f *folder) nothingLeft(t *testing.T, cgroup string) {
	t.Helper()
	for _, p := range f.processes(t) {
		t.Errorf("still running: %s", p)
	}
	if conn, err := net.DialTimeout("tcp", f.listen, momentLimit); err == nil {
		conn.Close()
		t.Errorf("somebody still listens on %s", f.listen)
	}
	if cgroup != "" {
		if _, err := os.Stat(cgroup); !os.IsNotExist(err) {
			t.Errorf("the cgroup is still there: %s (%v)", cgroup, err)
		}
	}
	want := []string{"data", "data/ballast", "data/creel.lock", "data/gateways", "data/journal", "data/openclaw", "data/private", "data/snapshots"}
	if f.remote {
		want = want[:len(want)-1]
	}
	got := list(t, f.root, "data", "data/*")
	if !slices.Equal(got, want) {
		t.Errorf("left in the data folder: %v, want %v", got, want)
	}
	if left := list(t, f.root, "tmp/*", "data/gateways/*/*.tmp", "data/gateways/*/instance.json", "data/openclaw/home/.openclaw/.*.json*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// list gives the files beneath root that match, relative to it, in order.
func list(t *testing.T, root string, patterns ...string) []string {
	t.Helper()
	var names []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// killAll ends what a test that failed has left running.
func (f *folder) killAll(t *testing.T) {
	for _, c := range f.creels {
		if c.ended() {
			continue
		}
		_ = c.cmd.Process.Kill() // it may end at this moment
		<-c.done
	}
	for _, p := range f.processes(t) {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // likewise
	}
}
