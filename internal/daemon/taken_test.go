package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"creel/internal/gateway"
	"creel/internal/probe"
	"creel/internal/runtime"
)

// recordedInstance is an instance of which nothing but its record is asked.
type recordedInstance struct {
	runtime.Instance
	record runtime.Record
}

func (i recordedInstance) Record() runtime.Record { return i.record }
func (recordedInstance) Addr() string             { return "127.0.0.1:1" }
func (recordedInstance) Done() <-chan struct{}    { return nil }

// TestTarget: of which instance it is known what it was given and what it has written.
func TestTarget(t *testing.T) {
	log := filepath.Join(t.TempDir(), "gateway.log")
	asked := 0
	p := &prober{logPath: log, conditions: &conditions{}, environ: func(runtime.Record) []string {
		asked++
		return []string{"TAKEN=1"}
	}}
	started := time.Now()
	rotated := func(at time.Time) {
		t.Helper()
		if err := os.WriteFile(log+".1", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(log+".1", at, at); err != nil {
			t.Fatal(err)
		}
	}
	instance := func(generation uint64) recordedInstance {
		return recordedInstance{record: runtime.Record{Generation: generation, StartedAt: started}}
	}
	want := func(what string, generation uint64, env string, cut bool) {
		t.Helper()
		_, got := p.target(instance(generation))
		if len(got.Env) != 1 || got.Env[0] != env || got.LogCut != cut {
			t.Errorf("%s: environment %v, cut %v; want %v, %v", what, got.Env, got.LogCut, env, cut)
		}
	}
	want("taken over", 4, "TAKEN=1", false)
	rotated(started.Add(-time.Hour))
	want("taken over, of another instance is the log that was rotated", 4, "TAKEN=1", false)
	rotated(started.Add(time.Hour))
	want("taken over, and its log was rotated", 4, "TAKEN=1", true)
	if asked != 1 {
		t.Errorf("its environment was asked for %d times", asked)
	}
	p.set(&conditions{})
	want("taken over, and asked for by other conditions", 4, "TAKEN=1", true)
	if asked != 2 {
		t.Errorf("for other conditions its environment was asked for %d times", asked-1)
	}
	p.launching(runtime.Spec{Generation: 5, Env: []string{"OURS=1"}})
	want("launched, and not ready yet", 5, "OURS=1", false)
	p.wasReady(instance(5))
	want("launched, and was ready", 5, "OURS=1", true)
	p.launching(runtime.Spec{Generation: 6, Env: []string{"OURS=2"}})
	want("the next one", 6, "OURS=2", false)
}

// TestPulse: what creel cannot ask says nothing of an instance; one that does not take the
// connection was asked.
func TestPulse(t *testing.T) {
	for _, tt := range []struct {
		path  string
		asked bool
	}{{"no path", false}, {"/healthz", true}, {"", true}} {
		p := &prober{conditions: &conditions{pulse: probe.Pulse{Path: tt.path}}, environ: func(runtime.Record) []string { return nil }}
		if _, err := p.Pulse(t.Context(), recordedInstance{}); err == nil || errors.Is(err, gateway.ErrNotAsked) == tt.asked {
			t.Errorf("%q: %v", tt.path, err)
		}
	}
}
