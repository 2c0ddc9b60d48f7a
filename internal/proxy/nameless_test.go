package proxy

import (
	"os"
	"testing"
)

// TestNamelessFile: either way leaves no name in the folder, and a file that can
// be written and read.
func TestNamelessFile(t *testing.T) {
	for name, open := range map[string]func(string) (*os.File, error){"nameless": namelessFile, "removed": removedFile} {
		dir := t.TempDir()
		f, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2)
		if _, err := f.WriteAt([]byte("ab"), 0); err != nil {
			t.Error(err)
		}
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != "ab" {
			t.Errorf("%s: read %q, %v", name, b, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left are %v, %v", name, left, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
