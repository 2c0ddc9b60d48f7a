package tree_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"creel/internal/snapshot/tree"
)

// TestWriteAsSomebody writes owners as a user who may not give files away: all
// else is as it should be, what could not be had is reported, and nobody's
// setuid bit becomes somebody's.
func TestWriteAsSomebody(t *testing.T) {
	list := listed{
		{Path: "home", Kind: tree.Dir, Mode: 0o500, UID: nobody, GID: nobody},
		{Path: "home/mine", Kind: tree.File, Size: 4, Mode: 0o400, UID: nobody, GID: nobody},
		{Path: "home/setuid", Kind: tree.File, Size: 4, Mode: 0o755 | fs.ModeSetuid},
		{Path: "home/yours", Kind: tree.Dir, Mode: 0o555, UID: 12, GID: 13},
		{Path: "home/yours/f", Kind: tree.File, Size: 4, Mode: 0, UID: 12, GID: 13},
		{Path: "home/yours/l", Kind: tree.Symlink, Target: "f", UID: 12, GID: 13},
	}
	if dir := os.Getenv("CREEL_TEST_SOMEBODY"); dir != "" {
		got, err := tree.Write(t.Context(), list, map[string]string{"home": dir}, tree.WriteOptions{Sync: true})
		must(t, err)
		must(t, json.NewEncoder(os.Stdout).Encode(got.Losses))
		os.Exit(0)
	}
	// The test binary lies where only its owner may look.
	top, err := os.MkdirTemp("", "creel-somebody-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	must(t, os.Chmod(top, 0o777))
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	bin := filepath.Join(top, "test")
	must(t, os.WriteFile(bin, self, 0o755))
	dir := filepath.Join(top, "target")
	cmd := exec.CommandContext(t.Context(), bin, "-test.run=^TestWriteAsSomebody$")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CREEL_TEST_SOMEBODY="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var losses []tree.Loss
	if err := json.Unmarshal(out, &losses); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []string
	for _, l := range losses {
		got = append(got, l.Path+" "+l.What)
	}
	slices.Sort(got)
	if want := []string{"home/setuid owner", "home/setuid setuid", "home/yours owner", "home/yours/f owner", "home/yours/l owner"}; !slices.Equal(got, want) {
		t.Errorf("losses %q, want %q", got, want)
	}
	diffs, err := tree.Compare(t.Context(), list, tree.OfDir("home", dir), tree.CompareOptions{Ignore: []tree.Aspect{tree.AspectOwner, tree.AspectTime}})
	must(t, err)
	if len(diffs) != 1 || diffs[0].Path != "home/setuid" || !slices.Equal(diffs[0].Aspects, []tree.Aspect{tree.AspectMode}) {
		t.Errorf("differences: %v", diffs)
	}
}

const nobody = 65534
