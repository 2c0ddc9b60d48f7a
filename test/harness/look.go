package harness

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"creel/internal/api"
)

// Poll waits until a condition holds.
func Poll(t *testing.T, what string, holds func() bool, explain func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(Patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %s", what, explain())
		}
	}
}

// Pause lets time pass in which something random is to happen; nothing waits
// for it.
func Pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// Output is the file that creel and its successors write to. A pipe would keep
// Wait from returning until the last of them has ended.
type Output struct{ Path string }

func (o Output) String() string {
	b, err := os.ReadFile(o.Path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Await is Poll for those that go on whether or not the condition holds in the
// end.
func Await(limit time.Duration, holds func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}

// ProcessesOf lists what runs with the given text in its command line, this
// process left out.
func ProcessesOf(t *testing.T, text string) []string {
	t.Helper()
	var found []string
	for pid, line := range processesOf(text, "") {
		found = append(found, fmt.Sprintf("%d: %s", pid, line))
	}
	return found
}

// processesOf gives the command lines that have both texts in them.
func processesOf(text, also string) map[int]string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		panic(err) // nothing can be told without it
	}
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if err == nil && strings.Contains(line, text) && strings.Contains(line, also) {
			found[pid] = line
		}
	}
	return found
}

// PortOpen tells whether somebody accepts connections there.
func PortOpen(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// AwaitEnd waits for the end of a creel that may be no child of this process.
func (c *Creel) AwaitEnd(pid int) {
	c.T.Helper()
	Poll(c.T, fmt.Sprintf("creel %d to end", pid), func() bool {
		if pid == c.Cmd.Process.Pid {
			select {
			case <-c.Exited:
				return true
			default:
				return false
			}
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, c.Output.String)
}

// NothingLeft checks that creel, which has ended, has cleared away all but its
// records. st is the status of before.
func (c *Creel) NothingLeft(st api.Status) {
	c.T.Helper()
	if left := ProcessesOf(c.T, c.LedgerPath); len(left) > 0 {
		c.T.Errorf("processes are left: %v", left)
	}
	for _, addr := range []string{st.Addr, c.Addr} {
		if PortOpen(addr) {
			c.T.Errorf("%s is still open", addr)
		}
	}
	err := filepath.WalkDir(c.DataDir(), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch d.Name() {
		case "ballast", "creel.lock", "events.jsonl", "intent.json", "gateway.log", "journal.lock":
			return nil
		}
		if !d.IsDir() {
			c.T.Errorf("a file is left: %s", path)
		}
		return nil
	})
	if err != nil {
		c.T.Error(err)
	}
}
