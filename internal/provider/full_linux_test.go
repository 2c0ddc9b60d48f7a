package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"creel/test/mounttest"
)

func TestFull(t *testing.T) { mounttest.Run(t, "TestOnFull", 3) }

// TestOnFull is no test of its own: see TestFull.
func TestOnFull(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	const line = `{"day":"2026-11-26","provider":"p","model":"m","requests":1}` + "\n"
	for name, text := range map[string]string{
		"many lines":  strings.Repeat(line, 100),
		"a torn line": strings.Repeat(line, 100) + `{"day":"2026-11-26","prov`,
		"too many":    strings.Repeat(line, compactAt/len(line)+100),
	} {
		t.Run(name, func(t *testing.T) { testLedgerFull(t, text, int64(strings.Count(text, "\n"))) })
	}
}

// testLedgerFull: where there is no room for another file, the one that is there is read,
// and written to: what is counted is in it once, however often it cannot be written anew.
func testLedgerFull(t *testing.T, text string, known int64) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,nr_inodes=20"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // the namespace ends, too
	path := filepath.Join(dir, "usage.jsonl")
	write(t, path, text)
	write(t, path+".lock", "")
	for n := 0; ; n++ {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint("full-", n)), nil, 0o600)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, answerOK)
	requests := func(l *Ledger) (n int64) {
		for _, u := range l.Usage() {
			n += u.Requests
		}
		return n
	}
	for range 3 {
		l := openTestLedger(t, w, path)
		if n := requests(l); n != known {
			t.Errorf("%d requests are known, %d were counted", n, known)
		}
		for range 2 {
			known++
			l.Begin("p", "m", nil, func(string) bool { return true })
			if err := l.save(); err != nil {
				t.Error(err)
			}
		}
		l.Close()
	}
}
