package openclaw

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstallInAFolderWithAnAsterisk: what would be installed there could not be run, and
// would say so in words that name no cause.
func TestInstallInAFolderWithAnAsterisk(t *testing.T) {
	l, err := LayoutIn(filepath.Join(t.TempDir(), "bots*"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&Installer{Layout: l, platform: "linux/amd64"}).Install(t.Context())
	failure, ok := errors.AsType[*InstallError](err)
	if !ok || failure.Reason != ReasonFolder || !strings.Contains(err.Error(), "--data-dir") || failure.retryable() {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(l.Root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was begun: %v", err)
	}
}
