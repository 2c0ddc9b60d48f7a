package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/event"
)

// told is a journal of n events; only the newest 100 are in memory.
type told int

func (n told) at(seq int) event.Event {
	return event.Event{Seq: uint64(seq), Time: time.Unix(int64(seq), 0), Kind: event.Ready, Message: "event " + strconv.Itoa(seq)}
}

func (n told) Recent(most int) []event.Event {
	var list []event.Event
	for seq := max(1, int(n)-min(most, 100)+1); seq <= int(n); seq++ {
		list = append(list, n.at(seq))
	}
	return list
}

func (n told) Subscribe(ctx context.Context, after uint64) iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		for seq := int(after) + 1; seq <= int(n); seq++ {
			if !yield(n.at(seq)) {
				return
			}
		}
		<-ctx.Done()
	}
}

// answering answers on the control socket of a data folder.
func answering(t *testing.T, o api.Options) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := api.ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.New(o).Control()}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return dir
}

// TestManyEvents: as many as are asked for are shown, in their order, though one answer
// of the daemon's has a thousand at most.
func TestManyEvents(t *testing.T) {
	dir := answering(t, api.Options{Journal: told(2500)})
	for _, row := range []struct{ asked, first, shown int }{{20, 2481, 20}, {1000, 1501, 1000}, {1001, 1500, 1001}, {2300, 201, 2300}, {100_000, 1, 2500}} {
		for _, form := range []string{"", "--json"} {
			args := []string{"events", "-n", strconv.Itoa(row.asked), "--data-dir", dir}
			if form != "" {
				args = append(args, form)
			}
			code, stdout, stderr := creel(args...)
			lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			if code != 0 || len(lines) != row.shown {
				t.Fatalf("-n %d %s: exit code %d, %d lines: %s", row.asked, form, code, len(lines), stderr)
			}
			for i, line := range lines {
				if want := fmt.Sprintf("event %d", row.first+i); !strings.HasSuffix(strings.TrimSuffix(line, `"}`), want) {
					t.Fatalf("-n %d %s: line %d is %s, want %s", row.asked, form, i, line, want)
				}
			}
		}
	}
}

// TestLogLines: a line of output is an object with --json, and itself without.
func TestLogLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("2026-11-26T05:00:00Z [gateway] error: it broke\n    at x\nplain \"words\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := answering(t, api.Options{Journal: told(1), LogPath: path})
	if code, stdout, stderr := creel("logs", "--data-dir", dir); code != 0 || stdout != "2026-11-26T05:00:00Z [gateway] error: it broke\n    at x\nplain \"words\"\n" {
		t.Errorf("exit code %d: %q %s", code, stdout, stderr)
	}
	code, stdout, stderr := creel("logs", "--json", "-n", "3", "--data-dir", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := []map[string]string{
		{"text": "2026-11-26T05:00:00Z [gateway] error: it broke", "level": "error", "time": "2026-11-26T05:00:00Z"},
		{"text": "    at x", "level": "error"}, {"text": `plain "words"`},
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), stdout)
	}
	for i, line := range lines {
		var got map[string]string
		if err := json.Unmarshal([]byte(line), &got); err != nil || len(got) != len(want[i]) {
			t.Fatalf("line %d: %s: %v", i, line, err)
		}
		for name, value := range want[i] {
			if got[name] != value {
				t.Errorf("line %d: %s is %q, want %q", i, name, got[name], value)
			}
		}
	}
}
