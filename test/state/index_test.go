package state

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/test/harness"
)

// TestIndexLost: blobs of the store's index are removed by hand, or by a rule of the
// bucket's, while creel runs, and then the state is lost. What is restored is the newest
// snapshot all the same, though the store lists only the older one.
func TestIndexLost(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			settings, dir := "", ""
			if kind == "s3" {
				srv, s := bucket(t)
				settings, dir = strings.Replace(s, "  owner:", "  mode: manual\n  owner:", 1), srv.Dir
			} else {
				settings = "snapshots: {mode: manual}\n"
			}
			h := start(t, settings)
			if dir == "" {
				dir = filepath.Join(h.DataDir(), "snapshots")
			}
			h.take()
			before := indexBlobs(t, dir)
			last := h.take()
			saved := h.exported(last.ID)
			h.must("stop")
			if err := os.RemoveAll(h.State); err != nil {
				t.Fatal(err)
			}
			gone := slices.DeleteFunc(indexBlobs(t, dir), func(f string) bool { return slices.Contains(before, f) })
			if len(gone) == 0 {
				t.Fatal("a snapshot has added nothing to the index: this proves nothing")
			}
			for _, f := range gone {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			if list := h.must("snapshot", "list"); strings.Contains(list, string(last.ID)) {
				t.Fatalf("its index is gone, and it is listed: this proves nothing\n%s", list)
			}
			h.must("start")
			h.WaitFor("the gateway to be ready", harness.Ready)
			h.Stop()
			if n := h.check(h.State); n < saved {
				t.Errorf("the state is at %d, and was saved at %d", n, saved)
			}
		})
	}
}

// indexBlobs are the files in a repository that hold its index: their blobs begin with xn.
func indexBlobs(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if strings.HasPrefix(strings.ReplaceAll(rel, "/", ""), "xn") || strings.HasPrefix(filepath.Base(path), "xn") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
