package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/openclaw"
)

// runs is a gateway in one state.
type runs gateway.State

func (r runs) Status() gateway.Status { return gateway.Status{State: gateway.State(r)} }
func (r runs) WaitFor(ctx context.Context, _ func(gateway.Status) bool) (gateway.Status, error) {
	<-ctx.Done()
	return r.Status(), ctx.Err()
}

// TestProviderHint: a creel that finds a gateway running says that OpenClaw knows no
// model provider, and no longer once one was chosen; of a gateway that does not run it
// says nothing.
func TestProviderHint(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		layout, err := openclaw.LayoutIn(dir)
		if err != nil {
			t.Fatal(err)
		}
		write := func(text string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(layout.Config()), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(layout.Config(), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(`{}`)
		o := &openClaw{layout: layout, providers: &providers{}, health: health.New(health.Options{}), cfg: func() config.Gateway { return config.Defaults().Gateway }}
		hinted := func() bool {
			time.Sleep(providerEvery + time.Second) // of the bubble
			synctest.Wait()
			list := o.health.Current()
			return len(list) == 1 && list[0].Condition == health.Provider && list[0].Severity == health.Info
		}
		watch := func(state gateway.State) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); o.watchProvider(ctx, beside{gateway: runs(state)}) }()
			return func() { cancel(); <-done }
		}
		stop := watch(gateway.Stopped)
		if hinted() {
			t.Error("there is a hint about a gateway that does not run")
		}
		stop()
		stop = watch(gateway.Ready)
		defer stop()
		if !hinted() {
			t.Error("there is no hint")
		}
		write(`{"models": {"providers": {"ollama": {}}}}`)
		if hinted() {
			t.Error("one was chosen, and the hint is there")
		}
		write(`{}`)
		if !hinted() {
			t.Error("it was taken away, and there is no hint")
		}
	})
}
