package capture

import (
	"os"
	"path/filepath"
	"testing"
)

// A state is copied as it is, and a second capture copies nothing that is the same.
func TestCapture(t *testing.T) {
	c, root := newCapturer(t)
	put(t, filepath.Join(root, "a/b/c.txt"), "content")
	put(t, filepath.Join(root, "empty"), "")
	put(t, filepath.Join(root, "z"), "last")
	pastTick(t)
	cut := mustCapture(t, c)
	same(t, contents(t, cut), live(t, "home", root))
	if cut.Totals.Files != 3 || cut.Totals.Dirs != 3 || cut.Totals.Bytes != 11 {
		t.Errorf("totals %+v", cut.Totals)
	}
	first := keys(t, cut)
	if err := cut.Release(); err != nil {
		t.Fatal(err)
	}

	put(t, filepath.Join(root, "z"), "LAST") // same size
	if err := os.Remove(filepath.Join(root, "empty")); err != nil {
		t.Fatal(err)
	}
	pastTick(t)
	cut = mustCapture(t, c)
	same(t, contents(t, cut), live(t, "home", root))
	second := keys(t, cut)
	if first["home/a/b/c.txt"] == "" || first["home/a/b/c.txt"] != second["home/a/b/c.txt"] {
		t.Errorf("the key of an unchanged file was %q and is %q", first["home/a/b/c.txt"], second["home/a/b/c.txt"])
	}
	if first["home/z"] == second["home/z"] {
		t.Errorf("a changed file keeps its key %q", first["home/z"])
	}
	blobs, err := os.ReadDir(filepath.Join(c.opts.Dir, "blobs"))
	if err != nil || len(blobs) != 2 {
		t.Errorf("%d blobs, want 2 (%v)", len(blobs), err)
	}
}
