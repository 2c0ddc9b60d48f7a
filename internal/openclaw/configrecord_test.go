package openclaw

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A person's configuration that OpenClaw refuses is somewhere, whatever goes wrong: its
// copy is removed only where it is back in its place.
func TestRefusedIsNeverLost(t *testing.T) {
	b := newBench(t)
	b.cli.bad = []string{"nonsense"}
	doctored := b.Run
	b.Run = func(ctx context.Context, args ...string) (string, error) {
		if args[0] == "doctor" { // the place cannot be written to any more
			if err := os.Remove(b.Layout.Config()); err != nil {
				return "", err
			}
			return "", os.MkdirAll(b.Layout.Config(), 0o700)
		}
		return doctored(ctx, args...)
	}
	putConfig(t, b.Layout, `{"nonsense": 1} // mine`)
	if _, err := b.Prepare(t.Context()); err == nil {
		t.Fatal("an instance is started")
	}
	for _, kept := range b.refused() {
		if text, err := os.ReadFile(kept); err == nil && strings.Contains(string(text), "// mine") {
			return
		}
	}
	t.Error("what a person has written is gone")
}

// A clock that was set back does not make the latest copy the first one to go.
func TestSetAsideKeepsTheLatest(t *testing.T) {
	l := newLayout(t)
	putConfig(t, l, `{}`)
	later := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range keepRefused {
		if _, err := setAside(l.Config(), fmt.Appendf(nil, "%d", n), later.Add(time.Duration(n)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := setAside(l.Config(), []byte("mine"), later.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(kept); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}
