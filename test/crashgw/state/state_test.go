package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/test/crashgw"
)

func TestMain(m *testing.M) {
	crashgw.RunIfAsked()
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// run makes transactions until n are complete.
func run(t *testing.T, dir string, n int64) {
	t.Helper()
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, 0) }()
	for deadline := time.Now().Add(time.Minute); w.Done() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("only %d transactions", w.Done())
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := errors.Join(<-ended, w.Close()); err != nil {
		t.Fatal(err)
	}
}

// A state goes on where it was, and journals are begun anew on the way.
func TestGoesOn(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, 0)
	run(t, dir, keptRows+20)
	n, err := Check(dir)
	if err != nil || n < keptRows+20 {
		t.Fatalf("at %d: %v", n, err)
	}
	run(t, dir, n+3)
}

// Each place that is put back by more than a transaction is found.
func TestCheckFindsOldPlaces(t *testing.T) {
	old, dir := t.TempDir(), t.TempDir()
	run(t, old, 5)
	run(t, dir, 50)
	for _, name := range []string{"devices.sqlite", "sessions.sqlite", "quarantine.sqlite", "state.json", "blocks.bin", "mapped.bin", "cursor", "journal.jsonl"} {
		copied := t.TempDir()
		if err := os.CopyFS(filepath.Join(copied, "s"), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(old, name))
		if err == nil {
			_ = os.Remove(filepath.Join(copied, "s", name+"-wal"))
			err = os.WriteFile(filepath.Join(copied, "s", name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := Check(filepath.Join(copied, "s")); err == nil {
			t.Errorf("an old %s passes at %d", name, n)
		}
	}
}

// Killed at any moment, a state is as after a crash: of one instant.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	last := int64(0)
	for range 10 {
		p := crashgw.Start(t, crashgw.Options{State: dir})
		for p.StateDone() <= last {
		}
		p.Kill()
		n, err := Check(dir)
		if err != nil {
			t.Fatal(err)
		}
		last = n
	}
}
