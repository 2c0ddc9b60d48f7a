package daemon

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/openclaw"
)

// configured is an app whose OpenClaw was started with one configuration, and has
// another one by now.
func configured(t *testing.T) (o *openClaw, b beside, s *statuses, dir string) {
	t.Helper()
	layout, err := openclaw.LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(layout.Root, "config")
	for path, text := range map[string]string{layout.Config(): `{"gateway":{"port":2}}`, filepath.Join(dir, "trying.json"): `{"gateway":{"bind":"loopback"}}`} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s = newStatuses()
	s.set(gateway.Status{State: gateway.Ready, Generation: 1})
	return &openClaw{layout: layout, cfg: func() config.Gateway { return config.Defaults().Gateway }}, beside{gateway: s}, s, dir
}

// TestRanAndRefused: what is known of OpenClaw's configuration is one file. That one has
// run for a while and that one was refused may be told at the same time.
func TestRanAndRefused(t *testing.T) {
	o, b, _, dir := configured(t)
	for round := range 20 {
		if err := os.Remove(filepath.Join(dir, "record.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() {
			if err := o.ran(b, 1); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if !o.refused("no") {
				t.Error("nothing is to be tried")
			}
		})
		both.Wait()
		var record struct{ Ran, Refused map[string]any }
		text, err := os.ReadFile(filepath.Join(dir, "record.json"))
		if err := errors.Join(err, json.Unmarshal(text, &record)); err != nil {
			t.Fatal(err)
		}
		if record.Ran == nil || len(record.Refused) != 1 {
			t.Fatalf("in round %d one is forgotten: %s", round, text)
		}
	}
}

// TestRanTooLate: an instance that has ended meanwhile says nothing of the configuration
// that the next one is started with.
func TestRanTooLate(t *testing.T) {
	o, b, s, dir := configured(t)
	for _, st := range []gateway.Status{{State: gateway.Starting, Generation: 2}, {State: gateway.Ready, Generation: 2}, {State: gateway.Stopping, Generation: 1}} {
		s.set(st)
		if err := o.ran(b, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "ran.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s %d: it counts as one to fall back on: %v", st.State, st.Generation, err)
		}
	}
	s.set(gateway.Status{State: gateway.Ready, Generation: 1})
	if err := o.ran(b, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran.json")); err != nil {
		t.Errorf("what runs does not count: %v", err)
	}
}
