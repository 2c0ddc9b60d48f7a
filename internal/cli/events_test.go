package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/event"
)

// TestEventsOfNoDaemon: the journal of a daemon that does not run is shown as far as it
// can be read, and what cannot be is said.
func TestEventsOfNoDaemon(t *testing.T) {
	dir := t.TempDir()
	if code, stdout, _ := creel("events", "--data-dir", dir); code != exitUnreachable || stdout != "" {
		t.Errorf("without a journal: exit code %d, %q", code, stdout)
	}
	j, err := event.Open(event.Options{Dir: filepath.Join(dir, "journal"), MaxBytes: 500})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		j.Record(event.Event{Kind: event.Ready, Message: "it answers"})
		j.Settle(t.Context())
	}
	if err := j.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	shown := func() (lines int, stderr string) {
		t.Helper()
		code, stdout, stderr := creel("events", "--json", "--data-dir", dir)
		if code != 0 || !strings.Contains(stderr, "these are the events up to its end") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
		return strings.Count(stdout, "\n"), stderr
	}
	if n, stderr := shown(); n != 20 || strings.Contains(stderr, "cannot read") {
		t.Errorf("%d events: %s", n, stderr)
	}
	rotated, err := filepath.Glob(filepath.Join(dir, "journal", "events-*.jsonl"))
	if err != nil || len(rotated) < 2 {
		t.Fatalf("rotated are %v, %v", rotated, err)
	}
	if err := os.WriteFile(rotated[1], []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, stderr := shown(); n == 0 || n >= 20 || !strings.Contains(stderr, filepath.Base(rotated[1])) {
		t.Errorf("%d events: %s", n, stderr)
	}
}
