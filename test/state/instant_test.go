package state

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"creel/test/harness"
)

// TestEverySnapshotIsAnInstant: the gateway changes its state as fast as it can, and
// each snapshot, written out again, is of one instant.
//
// moltworker: "live SQLite copied, or stale -wal/-shm beside a restored database".
func TestEverySnapshotIsAnInstant(t *testing.T) {
	t.Parallel()
	h := start(t, "snapshots: {mode: manual, keep: {last: 1000}}\n")
	var last int64
	for range *many {
		s := h.take()
		n := h.exported(s.ID)
		if n <= last {
			t.Fatalf("snapshot %s is at %d, the one before at %d", s.ID, n, last)
		}
		last = n
	}
	t.Logf("%d snapshots; the last is of transaction %d", *many, last)
	h.must("snapshot", "verify", "latest")
}

// TestRestoreUnderLoad: requests wait while the state is put in the place of
// another, and none of them fails.
//
// moltworker: "restore races with reconnecting browser", "gateway runs, then old
// state appears over it".
func TestRestoreUnderLoad(t *testing.T) {
	t.Parallel()
	h := start(t, "snapshots: {mode: manual}\n")
	s := h.take()
	saved := h.exported(s.ID)
	var load sync.WaitGroup
	var answered, stop atomic.Int64
	for range 4 {
		load.Go(func() {
			for stop.Load() == 0 {
				if code, body, err := get(h.URL("/echo")); err != nil || code >= 500 {
					t.Errorf("a request failed: %d %s %v", code, body, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	before, err := h.Status()
	if err != nil {
		t.Fatal(err)
	}
	h.must("snapshot", "restore", string(s.ID))
	after := h.WaitFor("the gateway to be ready", harness.Ready)
	stop.Store(1)
	load.Wait()
	if answered.Load() == 0 || after.Generation != before.Generation+1 {
		t.Errorf("%d requests; generation %d, then %d", answered.Load(), before.Generation, after.Generation)
	}
	h.Stop()
	if n := h.check(h.State); n < saved {
		t.Errorf("the state is at %d, the snapshot at %d", n, saved)
	}
}

// TestStateDestroyed is moltworker's marker file: what was there is there again.
//
// moltworker: "marker lost after backup", "blank start after failed restore",
// "restore skipped, blank gateway" (opening an admin page or a cron wake first).
func TestStateDestroyed(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"removed", "emptied"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			h := start(t, "")
			if code := h.Stop(); code != 0 { // which saves the state
				t.Fatalf("exit code %d\n%s", code, h.Output)
			}
			saved := h.check(h.State)
			if err := os.RemoveAll(h.State); err != nil {
				t.Fatal(err)
			}
			if how == "emptied" {
				if err := os.MkdirAll(h.State, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			h.Launch()
			if _, _, err := get(h.URL("/_creel/status")); err != nil { // whoever is first, skips nothing
				t.Log(err)
			}
			h.WaitFor("the gateway to be ready", harness.Ready)
			h.Stop()
			if n := h.check(h.State); n < saved {
				t.Errorf("the state is at %d, and was at %d", n, saved)
			}
		})
	}
}

// TestKilledAndDestroyed: creel dies without saving anything more; what was saved
// last is back.
//
// moltworker: "no backup for days, then nothing".
func TestKilledAndDestroyed(t *testing.T) {
	t.Parallel()
	h := start(t, "snapshots: {every: 2s, settle: 0s}\n")
	st := h.WaitFor("a snapshot that nobody asked for", func(st status) bool { return st.Snapshots != nil && st.Snapshots.Last != "" })
	saved := h.exported(st.Snapshots.Last)
	h.Kill()
	h.killGateway(st.PID)
	if err := os.RemoveAll(h.State); err != nil {
		t.Fatal(err)
	}
	h.Launch()
	h.WaitFor("the gateway to be ready", harness.Ready)
	h.Stop()
	if n := h.check(h.State); n < saved {
		t.Errorf("the state is at %d, the snapshot at %d", n, saved)
	}
}
