package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/config"
	"creel/internal/runtime/process"
)

// TestCheckSame: a creel takes over for the gateway that runs, and for no other, in a
// data folder of any name.
func TestCheckSame(t *testing.T) {
	for _, name := range []string{"data", "data [*]"} {
		dir := filepath.Join(t.TempDir(), name)
		lock, err := lockDataDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = lock.close() })
		d := &daemon{}
		cfg := config.Defaults()
		cfg.DataDir, cfg.Gateway.Name = dir, "mine"
		d.now.Store(&cfg)
		if err := d.checkSame(lock.file); err != nil {
			t.Errorf("%s: nothing runs: %v", name, err)
		}
		for _, running := range []string{"mine", "another"} {
			folder := filepath.Join(dir, "gateways", running)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, process.RecordName), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := d.checkSame(lock.file)
			if running == "mine" && err != nil || running == "another" && (err == nil || !strings.Contains(err.Error(), "another is running")) {
				t.Errorf("%s: %s runs: %v", name, running, err)
			}
		}
	}
}
