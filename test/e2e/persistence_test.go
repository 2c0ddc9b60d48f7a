//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"creel/internal/snapshot/storetest"
	"creel/test/fake"
)

// How often the state is lost and comes back, in each of the tests below. Once
// shows that it does; what comes back every time is shown by
//
//	go test -tags e2e ./test/e2e -run 'TestLostState|TestAnotherMachine' -timeout 60m -persistence.rounds=20
var persistenceRounds = flag.Int("persistence.rounds", 1, "how often the state is lost and comes back")

// TestLostState: creel and the gateway are killed and the state folder is
// removed. The next creel brings all of it back from the store in its data
// folder, and is ready.
func TestLostState(t *testing.T) {
	f, c, _, llm := upInWorld(t)
	token := tokenOf(t, f, c.link(t))
	f.wantApart(t, llm, token, "")
	var kept []keepsake
	for round := range *persistenceRounds {
		kept = append(kept, f.leave(t, llm, token, fmt.Sprintf("round-%d", round+1)))
		f.snapshot(t)
		f.destroy(t, c)
		began := time.Now()
		c = f.up(t)
		if again := tokenOf(t, f, c.link(t)); again != token {
			t.Errorf("another token: %s", again)
		}
		f.wantReady(t)
		for _, k := range kept {
			k.wantBack(t, f, token)
		}
		f.wantRegenerated(t, kept[round])
		t.Logf("round %d: ready with all that was there %v after the start", round+1, time.Since(began).Round(time.Millisecond))
		if t.Failed() {
			t.FailNow() // what comes next builds on it
		}
	}
	// Now one that is in use.
	f.restoreLive(t, llm, token, kept)
	f.end(t, c)
}

// TestAnotherMachine: the machine is lost for good, its data folder with it.
// Another one that has the key and the same bucket takes over.
func TestAnotherMachine(t *testing.T) {
	bucket := newBucket(t)
	f, _, llm := newWorld(t)
	bucket.use(t, f)
	c := f.up(t)
	token := tokenOf(t, f, c.link(t))
	f.wantApart(t, llm, token, storetest.SecretKey)
	var kept []keepsake
	for round := range *persistenceRounds {
		kept = append(kept, f.leave(t, llm, token, fmt.Sprintf("machine-%d", round+1)))
		f.snapshot(t)
		key := f.mustCommand(t, "snapshot", "key", "export")
		f.destroy(t, c)
		if err := os.RemoveAll(f.data); err != nil {
			t.Fatal(err)
		}

		f = newFolder(t)
		f.artifacts = filepath.Join(f.artifacts, fmt.Sprintf("machine-%d", round+2))
		bucket.use(t, f)
		// A token from an earlier life of this machine, which nobody knows any more.
		stale := strings.Repeat("5ca1ab1e", 8)
		if err := os.WriteFile(filepath.Join(f.data, "openclaw", "token"), []byte(stale+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := f.feed(t.Context(), key, "snapshot", "key", "import"); err != nil || r.code != 0 {
			t.Fatalf("creel snapshot key import: %+v, %v", r, err)
		}
		began := time.Now()
		c = f.up(t)
		if got := tokenOf(t, f, c.link(t)); got != token {
			t.Error("the link has another token than the one that everybody has")
		}
		f.wantReady(t)
		for _, k := range kept {
			k.wantBack(t, f, token)
		}
		t.Logf("round %d: ready with all that was there %v after the start", round+1, time.Since(began).Round(time.Millisecond))
		if t.Failed() {
			t.FailNow()
		}
	}
	// It goes on where it stopped, and here, not where it was before.
	if out := f.agentRuns(t, llm, token, "Where are you?", "pwd && cat "+kept[0].marker); !strings.Contains(out, f.workspace()) || !strings.Contains(out, kept[0].marker) {
		t.Errorf("the agent works somewhere else: %s", out)
	}
	f.end(t, c)
}

// snapshotInfo is a snapshot as `creel snapshot … --json` shows it, as far as the
// tests look at it.
type snapshotInfo struct {
	ID     string
	Stored int64
	Frozen time.Duration `json:"frozen_ns"`
	Totals struct{ Files, Bytes int64 }
}

// snapshot takes a snapshot.
func (f *folder) snapshot(t *testing.T) snapshotInfo {
	t.Helper()
	var s snapshotInfo
	text := f.mustCommand(t, "snapshot", "create", "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.ID == "" {
		t.Fatalf("creel snapshot create --json: %v\n%s", err, text)
	}
	t.Logf("snapshot %s: %d files, %d bytes, %d stored, held still for %v", s.ID, s.Totals.Files, s.Totals.Bytes, s.Stored, s.Frozen)
	return s
}

// destroy kills creel and the gateway, with all that it has started, and removes
// the state.
func (f *folder) destroy(t *testing.T, c *creel) {
	t.Helper()
	c.signal(t, syscall.SIGKILL)
	c.exit(t)
	eventually(t, momentLimit, "creel and the gateway are dead", func() (bool, string) {
		left := f.processes(t)
		for _, p := range left {
			_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended
		}
		return len(left) == 0, fmt.Sprint(left)
	})
	if err := os.RemoveAll(f.home()); err != nil {
		t.Fatal(err)
	}
}

// wantRegenerated checks that what is in no snapshot because OpenClaw makes it
// anew was there, is not in the snapshot, and is there again.
func (f *folder) wantRegenerated(t *testing.T, k keepsake) {
	t.Helper()
	const made = ".openclaw/cache"
	saved := f.mustCommand(t, "snapshot", "ls", "latest", ".openclaw")
	if strings.Contains(saved, made+"/") || !strings.Contains(saved, ".openclaw/openclaw.json") || !slices.Contains(k.dirs, made) {
		t.Errorf("%s is not what the snapshot leaves out; there was %v, and it has\n%s", made, k.dirs, saved)
	}
	var lost []string
	for _, name := range k.dirs {
		if name == ".openclaw/logs" {
			continue // reports on earlier crashes, written when there are some
		}
		if _, err := os.Stat(filepath.Join(f.home(), name)); err != nil {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		t.Errorf("not there again: %v", lost)
	}
}

// restoreLive puts an earlier state in place of one in use: clients are told to
// reconnect, do so, and find that state.
func (f *folder) restoreLive(t *testing.T, llm *fake.LLM, token string, kept []keepsake) {
	t.Helper()
	earlier := f.snapshot(t)
	later := f.leave(t, llm, token, "later")
	open, err := f.dial(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	before := f.status(t)
	ended := open.watch(t.Context())
	type outcome struct {
		result
		err error
	}
	restored := make(chan outcome, 1)
	go func() { // ends with the command
		r, err := f.tryCommand(t.Context(), "snapshot", "restore", earlier.ID, "--json")
		restored <- outcome{r, err}
	}()
	end := <-ended
	if end.code != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v, want close code 1012", end.err)
	}
	again, err := f.dial(t.Context(), token) // waits for the next instance
	if err != nil {
		t.Fatalf("the reconnect failed: %v", err)
	}
	defer again.close()
	if again.boot == open.boot {
		t.Error("the reconnect reached the instance that was stopped")
	}
	r := <-restored
	if r.err != nil || r.code != 0 {
		t.Fatalf("creel snapshot restore: %+v", r)
	}
	if s := f.status(t); s.State != "ready" || s.Generation != before.Generation+1 {
		t.Errorf("after the restore: %v, before: %v", s, before)
	}
	f.wantReady(t)
	for _, k := range kept {
		k.wantBack(t, f, token)
	}
	later.wantGone(t, f, token)
	// What was there is not lost: it was saved first.
	var done struct{ Snapshot, Before string }
	if err := json.Unmarshal([]byte(r.stdout), &done); err != nil || done.Snapshot != earlier.ID || done.Before == "" {
		t.Fatalf("creel snapshot restore --json: %v\n%s", err, r.stdout)
	}
	if text := f.mustCommand(t, "snapshot", "cat", done.Before, ".openclaw/workspace/"+later.marker); text != later.marker {
		t.Errorf("the state from before the restore has %q", text)
	}
}
