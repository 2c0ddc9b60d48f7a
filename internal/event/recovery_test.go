package event

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// troubles lists the JournalTrouble events.
func troubles(events []Event) []Event {
	var out []Event
	for _, e := range events {
		if e.Kind == JournalTrouble {
			out = append(out, e)
		}
	}
	return out
}

func lineOf(seq uint64) string { return string(appendLine(nil, clean(Event{Seq: seq, Kind: Ready}))) }

func TestOpenRepairsWhatItFinds(t *testing.T) {
	three := lineOf(1) + lineOf(2) + lineOf(3)
	newer := strings.Replace(lineOf(4), `"v":1`, `"v":2`, 1)
	tests := []struct {
		name    string
		content string
		cause   string // of the JournalTrouble; empty: none
		aside   string // name of the file set aside; empty: none
		kept    uint64 // events still to be read
	}{
		{"sound", three, "", "", 3},
		{"empty", "", "", "", 0},
		{"torn", three + lineOf(4)[:30], "torn", "", 3},
		{"torn at the first byte", three + "{", "torn", "", 3},
		{"torn, nothing else", "{\"v\":1,", "torn", "", 0},
		{"zeros at the end", three + strings.Repeat("\x00", 4096), "torn", "", 3},
		{"no line feed", three + strings.TrimSuffix(lineOf(4), "\n"), "", "", 4},
		{"garbage in the middle", lineOf(1) + "garbage\n" + lineOf(3), "set_aside", "events.jsonl.damaged-1", 0},
		{"an empty line", three + "\n" + lineOf(4), "set_aside", "events.jsonl.damaged-1", 0},
		{"binary", strings.Repeat("\x00\x01\n\x02", 100), "set_aside", "events.jsonl.damaged-1", 0},
		{"head sound, rest not", lineOf(1) + `{"v":1,"seq":2,"time":}` + "\n", "set_aside", "events.jsonl.damaged-1", 0},
		{"numbers going back", lineOf(2) + lineOf(1), "set_aside", "events.jsonl.damaged-1", 0},
		{"a line without end", lineOf(1) + strings.Repeat("x", maxLine+1), "set_aside", "events.jsonl.damaged-1", 0},
		{"a newer version", three + newer + lineOf(5), "set_aside", "events.jsonl.newer-1", 0},
		{"keys in another order", `{"seq":1,"kind":"ready","time":"2026-01-01T00:00:00Z","message":"","v":1}` + "\n", "", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, active), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, Options{Dir: dir})
			record(t, j, 1)
			closeNow(t, j)
			got := all(t, ReadDir(dir, 0, 0))
			found := troubles(got)
			switch {
			case tt.cause == "" && len(found) > 0, tt.cause != "" && (len(found) != 1 || found[0].Cause != tt.cause):
				t.Errorf("troubles %v, want %q", found, tt.cause)
			}
			if want := int(tt.kept) + 1 + len(found); len(got) != want {
				t.Errorf("%d events can be read, want %d: %v", len(got), want, got)
			}
			if tt.aside == "" {
				wantSeqs(t, "numbers", got, span(1, uint64(len(got))))
				return
			}
			kept, err := os.ReadFile(filepath.Join(dir, tt.aside))
			if err != nil || string(kept) != tt.content {
				t.Errorf("set aside: %d bytes, %v", len(kept), err)
			}
			if !strings.Contains(found[0].Message, tt.aside) {
				t.Errorf("message %q", found[0].Message)
			}
			if highest := uint64(strings.Count(tt.content, `"seq"`)); got[0].Seq <= highest {
				t.Errorf("number %d may be given out twice: the file set aside has %d events", got[0].Seq, highest)
			}
		})
	}
}

func TestSetAsideNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	for n := 1; n <= 3; n++ {
		if err := os.WriteFile(filepath.Join(dir, active), fmt.Appendf(nil, "garbage %d\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
		closeNow(t, open(t, Options{Dir: dir}))
	}
	for n := 1; n <= 3; n++ {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("events.jsonl.damaged-%d", n)))
		if err != nil || string(text) != fmt.Sprintf("garbage %d\n", n) {
			t.Errorf("%q, %v", text, err)
		}
	}
}

func TestSomethingElseInPlaceOfTheFile(t *testing.T) {
	for name, put := range map[string]func(string) error{
		"folder": func(p string) error { return os.Mkdir(p, 0o700) },
		"pipe":   func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"device": func(p string) error { return os.Symlink("/dev/full", p) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := put(filepath.Join(dir, active)); err != nil {
				t.Fatal(err)
			}
			j := open(t, Options{Dir: dir})
			record(t, j, 1)
			if got := j.Recent(10); len(troubles(got)) != 1 {
				t.Errorf("got %v", got)
			}
			closeNow(t, j)
		})
	}
}

func TestOpenSaysWhatCannotBeRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := Open(Options{Dir: dir}) // degraded: no folder can be there
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(j.Health(), syscall.ENOTDIR) {
		t.Errorf("health %v", j.Health())
	}
	for _, err := range ReadDir(dir, 0, 0) {
		if !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("ReadDir: %v", err)
		}
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	await(t, "the journal is well", func() bool { return j.Health() == nil })
	closeNow(t, j)
	for range ReadDir(filepath.Join(t.TempDir(), "missing"), 0, 0) {
		t.Error("a missing folder has events")
	}
}

// kill -9 in the midst of writing loses nothing that was written and breaks
// nothing.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	var last uint64
	for range 3 {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "CREEL_TEST_RECORD_INTO="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var written uint64
		lines := bufio.NewScanner(out)
		for n := 0; n < 10 && lines.Scan(); n++ {
			if written, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Error(lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the process was not killed")
		}
		if written <= last {
			t.Fatalf("%d events were written, %d before", written, last)
		}
		last = written
	}
	j := open(t, Options{Dir: dir, MaxBytes: 16 << 10, Keep: 1000})
	if j.LastSeq() < last {
		t.Errorf("goes on after %d, and %d was written", j.LastSeq(), last)
	}
	end := j.LastSeq()
	record(t, j, 1)
	closeNow(t, j)
	wantSeqs(t, "files", all(t, ReadDir(dir, 0, 0)), span(1, end+1))
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(strings.TrimSuffix(lineOf(7), "\n")))
	f.Add([]byte(`{"v":1,"seq":2,"time":"2026-01-01T00:00:00Z","kind":"x","message":"\u0000","fields":{"a":[1e400]}}`))
	f.Add([]byte(`{"v":1,"seq":18446744073709551615,}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, seq, headErr := head(append([]byte(" "), text...)[1:])
		e, err := decodeLine(text)
		if err != nil {
			return
		}
		if headErr != nil || v != version || seq != e.Seq {
			t.Errorf("head gives %d, %d, %v for event %d", v, seq, headErr, e.Seq)
		}
		again := appendLine(nil, e)
		e2, err := decodeLine(again[:len(again)-1])
		if err != nil {
			t.Fatalf("%q does not come back: %v", again, err)
		}
		if b := appendLine(nil, e2); string(b) != string(again) {
			t.Errorf("%q becomes %q", again, b)
		}
	})
}
