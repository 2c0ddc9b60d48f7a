package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/daemon"
	"creel/internal/snapshot/store"
)

// TestKeyExport: before the first snapshot the key is made, once; never where
// snapshots want another, and not in a folder that is none of creel's.
func TestKeyExport(t *testing.T) {
	dir := t.TempDir()
	export := []string{"snapshot", "key", "export", "--data-dir", dir}
	code, first, complaint := creel(export...)
	if code != 0 || !strings.Contains(first, "creel-key-1-") || !strings.Contains(complaint, "was made") || strings.Contains(complaint, "creel-key-1-") {
		t.Fatalf("%d %s", code, complaint)
	}
	file := daemon.SnapshotKeyPath(dir)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Error(info, err)
	}
	if code, again, complaint := creel(export...); code != 0 || again != first || complaint != "" {
		t.Errorf("the second time: %d %s", code, complaint)
	}
	// The repository that comes later is of this key.
	s, err := store.Open(t.Context(), store.Options{Folder: filepath.Join(dir, "snapshots"), KeyFile: file, CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if code, out, complaint := creel(export...); code != 1 || out != "" || !strings.Contains(complaint, "key import") {
		t.Errorf("without the key of the snapshots: %d %s%s", code, out, complaint)
	}
	missing := filepath.Join(dir, "mistyped")
	if code, out, complaint := creel("snapshot", "key", "export", "--data-dir", missing); code != 1 || out != "" || !strings.Contains(complaint, "--data-dir") {
		t.Errorf("a data folder that is none: %d %s%s", code, out, complaint)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("it was made")
	}
}
