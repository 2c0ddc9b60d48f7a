package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/config"
	"creel/internal/gateway"
)

// TestReloadTakesOver: what is live is in force afterwards, and what waits for another
// creel is as it was, in all that asks for the configuration.
func TestReloadTakesOver(t *testing.T) {
	cfg := config.Defaults()
	cfg.DataDir, cfg.Listen = t.TempDir(), "127.0.0.1:0"
	cfg.Gateway.Name, cfg.Gateway.Command, cfg.Gateway.Start = "main", []string{"/bin/false"}, config.StartOnDemand
	cfg.Gateway.State = []string{filepath.Join(t.TempDir(), "state")}
	var read *config.Config
	var level string
	d := &daemon{
		opts: Options{Config: &cfg, Reload: func() (*config.Config, error) { return read, nil }, SetLogLevel: func(to string) { level = to }},
		log:  slog.New(slog.DiscardHandler), leases: newLeases(), outlived: t.Context(),
	}
	d.now.Store(&cfg)
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(d.listener.Close(), d.lock.close()); err != nil {
			t.Error(err)
		}
	}()
	if err := d.assemble(); err != nil {
		t.Fatal(err)
	}
	defer d.closeHealth()
	defer d.closeGate()
	defer d.proxy.Close()
	d.providers = providersOf(t, nil, "OPENAI_API_KEY="+testKey).providers // a gateway of this sort has none
	e := d.engine
	e.run(func(err error) { t.Error(err) })
	defer func() {
		if err := errors.Join(e.stop(t.Context()), e.close(context.Background())); err != nil {
			t.Error(err)
		}
		d.dropping.Wait()
	}()

	next := cfg
	next.DataDir, next.Gateway.Name, next.Listen = "/elsewhere", "other", "127.0.0.1:1" // another creel's
	next.TLS.Cert, next.Proxy.MaxHeaderBytes, next.Snapshots.FreezeMax = "/cert.pem", 1<<20, 7*cfg.Snapshots.FreezeMax
	next.Log.Level, next.Gateway.Stop.Drain, next.Proxy.Hold.Requests = "error", 7*cfg.Gateway.Stop.Drain, 7
	next.Providers.Budgets = []config.Budget{{Provider: "openai", Tokens: 5}}
	next.Gateway.Env = map[string]string{"A": "b"}
	read = &next
	result, err := d.reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := cfg
	want.Log, want.Gateway.Stop, want.Proxy.Hold, want.Providers, want.Gateway.Env = next.Log, next.Gateway.Stop, next.Proxy.Hold, next.Providers, next.Gateway.Env
	if wrong := config.Diff(&want, d.cfg()); len(wrong) > 0 {
		t.Errorf("in force is another configuration: %+v", wrong)
	}
	keys := func(list []config.Change) (keys []string) {
		for _, c := range list {
			keys = append(keys, c.Key)
		}
		slices.Sort(keys)
		return keys
	}
	if got, want := keys(result.Applied), []string{"gateway.env.A", "gateway.stop.drain", "log.level", "providers.budgets", "proxy.hold.requests"}; !slices.Equal(got, want) {
		t.Errorf("applied: %q, want %q", got, want)
	}
	if got, want := keys(result.Waiting), []string{"data_dir", "gateway.name", "listen", "proxy.max_header_bytes", "snapshots.freeze_max", "tls.cert"}; !slices.Equal(got, want) {
		t.Errorf("waiting: %q, want %q", got, want)
	}
	if b := d.providers.report().Budgets; level != "error" || len(b) != 1 || b[0].Tokens != 5 {
		t.Errorf("level %q, budgets %+v", level, b)
	}

	// One that the supervisor does not take changes nothing.
	before, asked := d.cfg(), e.prober.present()
	e.gateway.Leave()
	again := next
	again.Gateway.Ready.Path, again.Log.Level = "/other", "debug"
	read = &again
	if _, err := d.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a supervisor that has ended: %v", err)
	}
	if d.cfg() != before || e.prober.present() != asked || level != "error" {
		t.Errorf("something was changed: level %q, conditions %+v", level, e.prober.present())
	}
}

// TestPendingFor: what waits for the gateway's next start, in each of its states.
func TestPendingFor(t *testing.T) {
	was, now := config.Defaults(), config.Defaults()
	now.Gateway.Env = map[string]string{"SECRET": "hunter2"}
	now.Gateway.Stop.Drain++ // counts at once
	const (
		nothing = ""
		secret  = "gateway.env.SECRET"
		all     = unknownKey
	)
	running := func(hash string) gateway.Status {
		return gateway.Status{State: gateway.Ready, Generation: 3, PID: 7, ConfigHash: hash}
	}
	for _, tt := range []struct {
		name string
		st   gateway.Status
		plan *planned
		want string
	}{
		{"it runs with what was", running(""), &planned{3, was.Gateway}, secret},
		{"it runs with what is", running(""), &planned{3, now.Gateway}, nothing},
		{"it was taken over", running(config.Hash(was.Gateway)), nil, all},
		{"it was taken over and runs with what is", running(config.Hash(now.Gateway)), nil, nothing},
		{"it was taken over, and another was planned", running(config.Hash(was.Gateway)), &planned{2, now.Gateway}, all},
		{"it is stopped", gateway.Status{State: gateway.Stopped, Generation: 3}, &planned{3, was.Gateway}, nothing},
		{"it waits for its next start", gateway.Status{State: gateway.Backoff, Generation: 3}, &planned{3, was.Gateway}, nothing},
		{"its state is being restored", gateway.Status{State: gateway.Restoring, Generation: 4}, &planned{3, was.Gateway}, nothing},
		{"it is being launched", gateway.Status{State: gateway.Starting, Generation: 4}, &planned{4, was.Gateway}, secret},
		{"it is about to be planned", gateway.Status{State: gateway.Starting, Generation: 4}, &planned{3, was.Gateway}, nothing},
	} {
		var got string
		for _, c := range pendingFor(tt.st, tt.plan, &now) {
			got += c.Key
		}
		if got != tt.want {
			t.Errorf("%s: %q waits, want %q", tt.name, got, tt.want)
		}
	}
}
