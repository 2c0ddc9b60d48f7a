// Package state shows what creel promises of a gateway's state: a real creel with a
// crashgw that changes several databases and files as fast as it can, and whatever
// may happen to the folder, the store or creel itself. The gateway's own word
// (test/crashgw/state.Check) says whether a copy is of one instant.
//
// The rows of moltworker's history that must be impossible are named at their
// tests.
package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/snapshot/store"
	"creel/test/crashgw"
	"creel/test/crashgw/state"
	"creel/test/harness"
)

var many = flag.Int("snapshots", 20, "how many snapshots TestEverySnapshotIsAnInstant takes; the release takes 200")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asLooker {
		lookAround()
		return
	}
	harness.RunIfAsked()
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// home is a creel whose gateway has a state.
type home struct {
	*harness.Creel
	State string
}

// prepare makes one that is not started. settings are more of creel.yaml.
func prepare(t *testing.T, settings string) *home {
	t.Helper()
	return prepareIn(t, t.TempDir(), settings)
}

func prepareIn(t *testing.T, folder, settings string) *home {
	t.Helper()
	dir := filepath.Join(folder, "state")
	c := harness.PrepareIn(t, folder, crashgw.Options{State: dir, StateEvery: time.Millisecond})
	h := &home{c, dir}
	h.configure(settings)
	at := slices.Index(c.Args, "--")
	c.Args = slices.Insert(c.Args, at, "--state", dir)
	return h
}

func (h *home) configure(settings string) {
	h.T.Helper()
	if err := os.WriteFile(h.ConfigPath(), []byte(harness.Settings+settings), 0o600); err != nil {
		h.T.Fatal(err)
	}
}

// start starts one, and waits until its gateway is ready.
func start(t *testing.T, settings string) *home {
	t.Helper()
	h := prepare(t, settings)
	h.Launch()
	h.WaitFor("the gateway to be ready", harness.Ready)
	return h
}

// result is what a command line has come to.
type result struct {
	Out, Err string
	Code     int
}

// creel runs a command of creel, as a person would.
func (h *home) creel(args ...string) result {
	h.T.Helper()
	return h.creelWith("", args...)
}

func (h *home) creelWith(input string, args ...string) result {
	h.T.Helper()
	self, err := os.Executable()
	if err != nil {
		h.T.Fatal(err)
	}
	cmd := exec.CommandContext(h.T.Context(), self, append([]string{harness.AsCreel, "--data-dir", h.DataDir()}, args...)...)
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewBufferString(input), &out, &complaints
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.T.Fatal(err)
	}
	return result{out.String(), complaints.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that must do what it says.
func (h *home) must(args ...string) string {
	h.T.Helper()
	r := h.creel(args...)
	if r.Code != 0 {
		h.T.Fatalf("creel %q: exit code %d\n%s%s\ncreel's output:\n%s", args, r.Code, r.Out, r.Err, h.Output)
	}
	return r.Out
}

// take takes a snapshot.
func (h *home) take() store.Snapshot {
	h.T.Helper()
	var s store.Snapshot
	if err := json.Unmarshal([]byte(h.must("snapshot", "create", "--json")), &s); err != nil {
		h.T.Fatal(err)
	}
	return s
}

// check checks a folder that holds a state, and gives the number of its last
// transaction.
func (h *home) check(dir string) int64 {
	h.T.Helper()
	n, err := state.Check(dir)
	if err != nil {
		h.T.Fatal(err)
	}
	return n
}

// exported is the number of the last transaction in a snapshot.
func (h *home) exported(id store.ID) int64 {
	h.T.Helper()
	dir := filepath.Join(h.T.TempDir(), "exported")
	h.must("snapshot", "export", string(id), dir)
	return h.check(dir)
}

// get asks the gateway, and gives the status and the body.
func get(url string) (int, string, error) {
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
