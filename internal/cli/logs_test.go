package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/daemon"
	"creel/internal/openclaw"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
)

// write writes a file, and the folders that it is in.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLogsAtRest: without a creel the output comes from the files, the older ones too,
// with the same flags, and the secrets that the data folder holds are kept out of it.
// None of them has a look of its own.
func TestLogsAtRest(t *testing.T) {
	dir := t.TempDir()
	layout, err := openclaw.LayoutIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, _, err := store.MakeKey(daemon.SnapshotKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	key := keyFile.Reveal()[strings.LastIndex(strings.TrimSpace(keyFile.Reveal()), "\n")+1:]
	secrets := map[string]string{
		"gateway's token": "a plain word of token", "credential": "creel at its providers", "channel's token": "a word to a channel", "snapshot key": strings.TrimSpace(key),
	}
	write(t, layout.TokenFile(), secrets["gateway's token"]+"\n")
	write(t, filepath.Join(dir, "private", "providers", "place.json"), `{"port":1,"credential":"`+secrets["credential"]+`"}`)
	write(t, layout.Config(), "{channels: {telegram: {botToken: '"+secrets["channel's token"]+"', name: 'shown'}}, // kept\n}")
	log := filepath.Join(dir, "gateways", "openclaw", "gateway.log")
	write(t, log+".1", "2026-11-26T05:00:00Z INFO began, shown\n2026-11-26T05:00:01Z WARN is slow\n")
	text := "2026-11-26T05:00:02Z ERROR it broke\n    at x\n"
	for name, secret := range secrets {
		if telemetry.Redact(name+" is <"+secret+">") != name+" is <"+secret+">" && name != "snapshot key" { // which MakeKey has made known
			t.Fatalf("the %s has a look of its own", name)
		}
		text += name + " is <" + secret + ">\n"
	}
	write(t, log, text)

	code, stdout, stderr := creel("logs", "--data-dir", dir)
	if code != 0 || !strings.Contains(stderr, "creel is not running") || !strings.Contains(stderr, log) {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for name, secret := range secrets {
		if strings.Contains(stdout, secret) || !strings.Contains(stdout, name+" is <"+telemetry.Mask+">\n") {
			t.Errorf("the %s is shown: %s", name, stdout)
		}
	}
	if !strings.HasPrefix(stdout, "2026-11-26T05:00:00Z INFO began, shown\n") || strings.Count(stdout, "\n") != 8 {
		t.Errorf("not all that there is: %s", stdout)
	}

	// A creel that runs says the same, of what is not in older files.
	served := answering(t, api.Options{Journal: told(1), LogPath: log})
	for _, flags := range [][]string{{"-n", "3"}, {"-n", "5", "--json"}, {"--level", "error"}, {"--level", "error", "--json"}, {"--search", "IS <", "-n", "2"}, {"-n", "0"}} {
		_, want, _ := creel(append([]string{"logs", "--data-dir", served}, flags...)...)
		code, got, stderr := creel(append([]string{"logs", "--data-dir", dir}, flags...)...)
		if code != 0 || got != want || want == "" != (flags[1] == "0") {
			t.Errorf("%q: exit code %d: %s\n%s, want\n%s", flags, code, stderr, got, want)
		}
	}
	if _, got, _ := creel("logs", "--data-dir", dir, "--level", "warn", "-n", "2"); got != "2026-11-26T05:00:02Z ERROR it broke\n    at x\n" {
		t.Errorf("of the level: %s", got)
	}
	if _, got, _ := creel("logs", "--data-dir", dir, "--search", "SLOW"); got != "2026-11-26T05:00:01Z WARN is slow\n" {
		t.Errorf("with the word: %s", got)
	}
	if code, stdout, stderr := creel("logs", "-f", "-n", "1", "--data-dir", dir); code != 3 || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, "cannot follow") || !strings.Contains(stderr, "creel up") {
		t.Errorf("following: exit code %d, %s%s", code, stdout, stderr)
	}

	// What cannot be kept out is not shown at all.
	write(t, layout.Config(), "{ botToken: ")
	if code, stdout, stderr := creel("logs", "--data-dir", dir); code != 1 || stdout != "" || !strings.Contains(stderr, log) || !strings.Contains(stderr, "OpenClaw's configuration") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
