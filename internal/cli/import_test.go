package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/daemon"
	"creel/internal/moltworker"
)

// TestImport brings a folder in, twice: the second time there is state already.
func TestImport(t *testing.T) {
	bucket := t.TempDir()
	for name, content := range map[string]string{"openclaw/openclaw.json": `{"agents":{"defaults":{"workspace":"/root/clawd"}}}`, "workspace/MEMORY.md": "remember"} {
		path := filepath.Join(bucket, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(t.TempDir(), "data")
	args := []string{"import", "moltworker", "--dir", bucket, "--data-dir", data}
	code, stdout, stderr := creel(append(args, "--dry-run")...)
	if code != 0 || !strings.Contains(stdout, "clawd/MEMORY.md") || !strings.Contains(stdout, "Would bring 2 files") {
		t.Fatalf("%d\n%s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("a dry run has made the data folder (%v)", err)
	}

	release, err := daemon.Occupy(data)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := creel(args...); code != 2 || !strings.Contains(stderr, "while a creel runs") {
		t.Errorf("beside a creel: %d, %s", code, stderr)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}

	code, stdout, stderr = creel(append(args, "--json")...)
	var report moltworker.Report
	if err := json.Unmarshal([]byte(stdout), &report); code != 0 || err != nil || report.Layout != moltworker.Rclone || report.Totals.Files != 2 {
		t.Fatalf("%d, %v\n%s%s", code, err, stdout, stderr)
	}
	b, err := os.ReadFile(filepath.Join(data, "openclaw/home/.openclaw/openclaw.json"))
	if err != nil || !strings.Contains(string(b), data+"/openclaw/home/clawd") {
		t.Errorf("%s (%v)", b, err)
	}
	if code, _, stderr := creel(args...); code != 2 || !strings.Contains(stderr, "holds state already") {
		t.Errorf("a second time: %d, %s", code, stderr)
	}
}

func TestImportMistakes(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "--bucket"},
		{[]string{"--bucket", "b", "--dir", dir}, "--bucket"},
		{[]string{"--bucket", "b"}, "--account"},
		{[]string{"--bucket", "b", "--account", "a"}, "R2_ACCESS_KEY_ID"},
		{[]string{"--dir", dir, "--layout", "newest"}, "none of flat"},
		{[]string{"--dir", dir}, "nothing of moltworker's"},
	} {
		code, stdout, stderr := creel(append([]string{"import", "moltworker", "--data-dir", filepath.Join(dir, "data")}, c.args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d, %s%s", c.args, code, stdout, stderr)
		}
	}
}
