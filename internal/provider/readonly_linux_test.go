package provider

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"creel/test/mounttest"
)

// readOnlyFolder is a folder on a file system that is writable again when the function that
// it gives was called. Its files are there before.
func readOnlyFolder(t *testing.T, files map[string]string) (dir string, writable func()) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir, mounttest.ReadOnly(t, dir)
}

func TestReadOnly(t *testing.T) { mounttest.Run(t, "TestOnReadOnly", 7) }

// TestOnReadOnly is no test of its own: see TestReadOnly.
func TestOnReadOnly(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	t.Run("ledger", testLedgerReadOnly)
	t.Run("place", testPlaceReadOnly)
}

// testLedgerReadOnly: what was counted before counts on a read-only file system, too, and
// what is counted there is written as soon as it can be, once, whether there was a file or a
// lock before or not.
func testLedgerReadOnly(t *testing.T) {
	const before = `{"day":"2026-11-26","provider":"p","model":"m","requests":3}` + "\n"
	for name, test := range map[string]struct {
		files map[string]string
		known int64
	}{
		"used":        {map[string]string{"usage.jsonl": before, "usage.jsonl.lock": ""}, 3},
		"no lock":     {map[string]string{"usage.jsonl": before}, 3},
		"a torn line": {map[string]string{"usage.jsonl": before + `{"day":"2026-11-26","prov`, "usage.jsonl.lock": ""}, 3},
		"no file":     {map[string]string{"usage.jsonl.lock": ""}, 0},
		"empty":       {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, answerOK)
			dir, writable := readOnlyFolder(t, test.files)
			path := filepath.Join(dir, "usage.jsonl")
			l := openTestLedger(t, w, path)
			defer l.Close()
			requests := func(l *Ledger) (n int64) {
				for _, u := range l.Usage() {
					n += u.Requests
				}
				return n
			}
			if n := requests(l); n != test.known {
				t.Errorf("it knows of %d requests before, not %d", n, test.known)
			}
			l.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "m", Requests: 1})
			if err := l.save(); !errors.Is(err, syscall.EROFS) {
				t.Errorf("it was written, or not for that reason: %v", err)
			}
			writable()
			if err := l.save(); err != nil {
				t.Fatal(err)
			}
			l.Add(ModelUsage{Day: "2026-11-26", Provider: "p", Model: "m", Requests: 1})
			l.Close()
			if n := requests(l); n != test.known+2 {
				t.Errorf("it counts %d, not %d", n, test.known+2)
			}
			again := openTestLedger(t, w, path)
			defer again.Close()
			if n := requests(again); n != test.known+2 {
				t.Errorf("the file says %d, not %d", n, test.known+2)
			}
		})
	}
}

// testPlaceReadOnly: a place that cannot be kept is used all the same, and kept later.
func testPlaceReadOnly(t *testing.T) {
	dir, writable := readOnlyFolder(t, nil)
	path := filepath.Join(dir, "place.json")
	p, err := OpenPlace(path)
	if err != nil || !errors.Is(p.Lost, syscall.EROFS) {
		t.Fatal(p, err)
	}
	l, moved, err := p.Listen(0)
	if err != nil || moved != 0 {
		t.Fatal(moved, err)
	}
	defer l.Close()
	if err := p.Keep(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("it was kept, or not for that reason: %v", err)
	}
	writable()
	if err := p.Keep(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenPlace(path)
	if err != nil || again.Port != p.Port || again.Credential != p.Credential {
		t.Errorf("port %d, not %d, or another credential (%v)", again.Port, p.Port, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := p.Keep(); err != nil { // it has nothing to keep
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was kept again")
	}
}
