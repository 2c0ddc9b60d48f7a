package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/test/crashgw"
)

// TestDataFolderFromABackup: a data folder, or a part of it, is put back as it was
// some generations ago. The gateway starts, and no number is given twice as long
// as anything in the folder knows of it.
func TestDataFolderFromABackup(t *testing.T) {
	for _, part := range []string{"all of it", "all but the journal"} {
		t.Run(part, func(t *testing.T) {
			c := start(t, crashgw.Options{})
			first := c.WaitFor("ready", ready)
			backup := filepath.Join(c.Dir, "backup")
			copyFolder(t, c.DataDir(), backup)
			for range 3 {
				before := c.Crash()
				c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation > before.Generation })
			}
			last := c.WaitFor("ready", ready)
			c.Stop()
			if part == "all but the journal" {
				if err := os.RemoveAll(filepath.Join(backup, "journal")); err != nil {
					t.Fatal(err)
				}
				copyFolder(t, filepath.Join(c.DataDir(), "journal"), filepath.Join(backup, "journal"))
			}
			if err := os.RemoveAll(c.DataDir()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(backup, c.DataDir()); err != nil {
				t.Fatal(err)
			}
			c.Launch()
			st := c.WaitFor("ready with the folder from the backup", ready)
			switch {
			case part == "all of it" && st.Generation != first.Generation+1:
				t.Errorf("generation %d, and %d in the backup", st.Generation, first.Generation)
			case part != "all of it" && st.Generation != last.Generation+1:
				t.Errorf("generation %d, and the journal knows of %d", st.Generation, last.Generation)
			case part != "all of it" && !strings.Contains(c.Events(), "is a copy from before"):
				t.Errorf("nothing is said of it: %s", c.Events())
			}
		})
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
