package state

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/test/harness"
)

// TestAnyFolder: the data folder, the configuration and the gateway's state have
// names that mean something to a pattern, an address, a shell, a table of the kernel's
// or a terminal, and no part of creel takes them for that.
func TestAnyFolder(t *testing.T) {
	t.Parallel()
	h := prepareIn(t, filepath.Join(t.TempDir(), `[b]*: {c} %41ü#?&$A;'"\~`), "snapshots: {mode: manual}\n")
	h.Launch()
	first := h.WaitFor("the gateway to be ready", harness.Ready)
	saved := h.take()
	h.exported(saved.ID)
	later := filepath.Join(h.State, "later")
	if err := os.WriteFile(later, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	h.Crash()
	if code, body, err := get(h.URL("/readyz")); code != http.StatusOK {
		t.Errorf("a request in a crash: %d %s, %v", code, body, err)
	}
	h.WaitFor("the next instance", func(st api.Status) bool { return st.OK && st.Generation > first.Generation })
	if events := h.must("events", "--json"); !strings.Contains(events, `"exited"`) {
		t.Errorf("the journal does not tell of the crash: %s", events)
	}
	if said := h.must("logs"); said == "" {
		t.Error("the gateway's output is not shown")
	}

	h.must("upgrade")
	if st := h.WaitFor("the successor", harness.Ready); st.Creel.PID == first.Creel.PID {
		t.Error("creel was not replaced")
	}
	h.must("snapshot", "restore", string(saved.ID))
	h.WaitFor("ready on the restored state", harness.Ready)
	if _, err := os.Stat(later); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what came after the snapshot is still there: %v", err)
	}
}
