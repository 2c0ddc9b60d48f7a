package openclaw

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWithDevVars(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".dev.vars")
	if err := os.WriteFile(path, []byte("A=file\nB=file\nB=again\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := WithDevVars([]string{"A=creel"}, path)
	if want := []string{"A=creel", "B=file"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("WithDevVars = %q, %v; want %q", got, err, want)
	}
	if err := os.WriteFile(path, []byte("A='top-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WithDevVars(nil, path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "line 1") || strings.Contains(err.Error(), "top-secret") {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := WithDevVars(nil, path+"x"); err == nil || !strings.Contains(err.Error(), "dev_vars") {
		t.Errorf("no file: %v", err)
	}
}
