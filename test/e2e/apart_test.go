//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/test/fake"
)

// hiddenFolders are creel's own in the data folder, which the gateway must not
// see.
var hiddenFolders = []string{"private", "snapshots", "gateways", "journal"}

// wantApart looks from inside, with the agent's own tool: creel's folders are
// empty, and its secrets are nowhere. secret is one of the store's; "": it has
// none.
func (f *folder) wantApart(t *testing.T, llm *fake.LLM, token, secret string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("only a creel that runs as root can hide its files from the gateway; run the tests as root")
	}
	f.snapshot(t) // the first one makes the key
	exported := strings.Fields(f.mustCommand(t, "snapshot", "key", "export"))
	key := exported[len(exported)-1] // behind a comment
	var script strings.Builder
	var want []string
	for _, name := range hiddenFolders {
		dir := filepath.Join(f.data, name)
		if f.remote && name == "snapshots" {
			continue
		}
		if len(list(t, dir, "*")) == 0 {
			t.Fatalf("%s is empty: that it looks so from inside would show nothing", dir)
		}
		fmt.Fprintf(&script, "echo %s $(find %s -mindepth 1 | wc -l); ", name, dir)
		want = append(want, name+" 0")
	}
	// What is looked for is not in the command, which OpenClaw keeps.
	for what, text := range map[string]string{"key": key, "secret": secret} {
		if text == "" {
			continue
		}
		half := len(text) / 2
		fmt.Fprintf(&script, `echo %s $(grep -rlsF '%s''%s' %s /proc/self/environ | wc -l); `, what, text[:half], text[half:], f.root)
		want = append(want, what+" 0")
	}
	fmt.Fprintf(&script, "cat /proc/%d/root%s 2>&1; echo the end", f.creels[len(f.creels)-1].cmd.Process.Pid, filepath.Join(f.data, "private", "snapshot.key"))
	seen := f.agentRuns(t, llm, token, "Look around.", script.String())
	for _, line := range append(want, "the end") {
		if !strings.Contains(seen, line) {
			t.Errorf("the agent sees what it must not, or could not look: no %q in\n%s", line, seen)
		}
	}
	if strings.Contains(seen, key) {
		t.Errorf("the agent sees the key:\n%s", seen)
	}
	for _, p := range f.processes(t) {
		for what, text := range map[string]string{"key": key, "store's secret": secret} {
			if text != "" && strings.Contains(p.command+p.environ, text) {
				t.Errorf("the %s is in the command line or the environment of %v", what, p)
			}
		}
	}
}
