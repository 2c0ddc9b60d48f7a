package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creel/internal/event"
)

// kept is a journal on disk.
func kept(t *testing.T, list ...event.Event) (dataDir string) {
	t.Helper()
	dir := t.TempDir()
	j, err := event.Open(event.Options{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range list {
		j.Record(ev)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

var happened = []event.Event{
	{Time: time.Date(2026, 11, 26, 5, 0, 0, 123456789, time.UTC), Kind: event.Starting, Generation: 9, Message: "starting"},
	{Time: time.Date(2026, 11, 26, 5, 0, 27, 0, time.UTC), Kind: event.Ready, Generation: 10, Message: "ready after 27.783456789s"},
	{Time: time.Date(2026, 11, 26, 5, 1, 0, 0, time.UTC), Kind: event.OpenClawConfigChanged, Message: "moved \x1b[2J since 2026-11-26T04:00:00Z"},
	{Time: time.Date(2026, 11, 26, 5, 2, 0, 0, time.UTC), Kind: event.SnapshotFailed, Message: "12 files with 59768832 bytes, 48213 added to the store; held still for 8.1234ms\nand more",
		Fields: map[string]any{"hint": "see `creel events -n 100000 bytes`", "seconds": 2.18}},
}

// TestEventsForPeople: in columns, by the clock here, with sizes and durations rounded;
// commands stay as they are, and nothing moves the cursor. --json is as it is kept.
func TestEventsForPeople(t *testing.T) {
	dir := kept(t, happened...)
	at := func(i int) string { return happened[i].Time.Local().Format(time.DateTime) }
	want := at(0) + "  starting                 #9   starting\n" +
		at(1) + "  ready                    #10  ready after 28 s\n" +
		at(2) + "  openclaw_config_changed       moved ?[2J since " + time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC).Local().Format("2 Jan 2006, 15:04:05") + "\n" +
		at(3) + "  snapshot_failed               12 files with 57.0 MiB, 47.1 KiB added to the store; held still for 8.1 ms\n" +
		strings.Repeat(" ", 51) + "and more\n" +
		strings.Repeat(" ", 51) + "see `creel events -n 100000 bytes`\n"
	code, stdout, stderr := creel("events", "--data-dir", dir)
	if code != 0 || stdout != want {
		t.Errorf("exit code %d, %s\n%s, want\n%s", code, stderr, stdout, want)
	}
	if !strings.HasPrefix(stderr, "creel is not running") {
		t.Errorf("on standard error: %s", stderr)
	}

	list, err := event.Tail(filepath.Join(dir, "journal"), 10)
	if err != nil || len(list) != len(happened) {
		t.Fatal(err, len(list))
	}
	raw := ""
	for _, ev := range list {
		b, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		raw += string(b) + "\n"
	}
	if _, stdout, _ := creel("events", "--json", "--data-dir", dir); stdout != raw || !strings.Contains(raw, "59768832 bytes") {
		t.Errorf("--json prints\n%s, want\n%s", stdout, raw)
	}
}

// TestColourOfEvents: the kind of an event has the colour of its tone, on a terminal
// whose owner does not object.
func TestColourOfEvents(t *testing.T) {
	dir := kept(t, event.Event{Kind: event.Exited, Message: "it ended"})
	for _, row := range []struct {
		name     string
		terminal bool
		environ  []string
		colours  bool
	}{
		{"a terminal", true, nil, true},
		{"NO_COLOR", true, []string{"NO_COLOR=1"}, false},
		{"TERM=dumb", true, []string{"TERM=dumb"}, false},
		{"a file", false, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			file, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			read := func() (string, error) {
				b, err := os.ReadFile(file.Name())
				return string(b), err
			}
			out := file
			if row.terminal {
				person, program := newTerminal(t)
				out = program
				read = func() (string, error) {
					b := make([]byte, 4096)
					n, err := person.Read(b)
					return string(b[:n]), err
				}
			}
			var errs strings.Builder
			if code := Main([]string{"events", "--data-dir", dir}, row.environ, out, &errs); code != 0 {
				t.Fatalf("exit code %d: %s", code, errs.String())
			}
			text, err := read()
			if err != nil || !strings.Contains(text, "it ended") {
				t.Fatalf("%q, %v", text, err)
			}
			if got := strings.Contains(text, "\x1b[31mexited\x1b[0m"); got != row.colours || got != strings.Contains(text, "\x1b") {
				t.Errorf("%q", text)
			}
		})
	}
}
