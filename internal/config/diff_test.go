package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

// other gives a value that differs from v.
func other(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case string:
		return v + "x"
	case int:
		return v + 1
	case int64:
		return v + 1
	case time.Duration:
		return v + time.Second
	case []string:
		return append(append([]string{}, v...), "x")
	case []int:
		return append(append([]int{}, v...), 1)
	case map[string]string:
		return map[string]string{"TOKEN": "hunter2"}
	case []IdempotentRoute:
		return append(append([]IdempotentRoute{}, v...), IdempotentRoute{"/x", "X"})
	case []Provider:
		return append(append([]Provider{}, v...), Provider{Kind: ProviderOllama})
	case []Budget:
		return append(append([]Budget{}, v...), Budget{Requests: 1})
	}
	t.Fatalf("no other value for %T", v)
	return nil
}

// TestDiffAndHash: each key alone makes one change, and the hash changes exactly
// if that change needs a restart of the gateway, or is one of its state folders.
func TestDiffAndHash(t *testing.T) {
	before := Defaults()
	for _, k := range ordered() {
		after := Defaults()
		k.set(&after, other(t, k.value(&before)))
		changes := Diff(&before, &after)
		if len(changes) != 1 || !strings.HasPrefix(changes[0].Key, k.Path) || changes[0].Needs != k.Needs || changes[0].Old == changes[0].New {
			t.Errorf("%s: got %+v", k.Path, changes)
		}
		changed := Hash(before.Gateway) != Hash(after.Gateway)
		if changed != (k.Needs == NeedsGatewayRestart || k.Path == "gateway.state") {
			t.Errorf("%s: hash changed: %v, but it needs %q", k.Path, changed, k.Needs)
		}
		if strings.Contains(fmt.Sprint(changes), "hunter2") {
			t.Errorf("%s: a secret is shown: %v", k.Path, changes)
		}
	}
}

// TestKeep: what needs something that has not happened is as it was, the rest as it is.
func TestKeep(t *testing.T) {
	before, after := Defaults(), Defaults()
	for _, k := range ordered() {
		k.set(&after, other(t, k.value(&before)))
	}
	kept := Keep(&after, &before, NeedsCreelUpgrade, NeedsCreelRestart)
	for _, k := range ordered() {
		want := k.value(&after)
		if k.Needs == NeedsCreelUpgrade || k.Needs == NeedsCreelRestart {
			want = k.value(&before)
		}
		if got := k.value(kept); !equal(got, want) {
			t.Errorf("%s, which needs %q, is %v, want %v", k.Path, k.Needs, got, want)
		}
	}
}

func TestDiff(t *testing.T) {
	a, b := Defaults(), Defaults()
	if changes := Diff(&a, &b); changes != nil {
		t.Errorf("got %v", changes)
	}
	a.Gateway.Env = map[string]string{"SAME": "1", "GONE": "1", "CHANGED": "1"}
	b.Gateway.Env = map[string]string{"SAME": "1", "NEW": "", "CHANGED": "2"}
	b.Gateway.State = []string{} // the same as none
	b.Listen = ":1"
	b.Proxy.Replay.Budget = 1 << 30
	want := []Change{
		{"listen", "127.0.0.1:8080", ":1", NeedsCreelRestart},
		{"gateway.env.CHANGED", "[redacted]", "[redacted]", NeedsGatewayRestart},
		{"gateway.env.GONE", "[redacted]", "", NeedsGatewayRestart},
		{"gateway.env.NEW", "", "[redacted]", NeedsGatewayRestart},
		{"proxy.replay.budget", "512MiB", "1GiB", NeedsNothing},
	}
	if got := Diff(&a, &b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestHashIsStable: a running instance is adopted by a later creel only if the
// later one computes the same hash. If this fails, the change restarts every
// gateway at the next upgrade; mean it.
func TestHashIsStable(t *testing.T) {
	g := Gateway{Name: "x", Command: []string{"app", "<&>"}, Dir: "/d", Env: map[string]string{"B": "2", "A": "1"}, Port: 80, State: []string{"/s"}, Preset: "p", Version: "1"}
	const want = "c5eee2f95d17b217bdde799af02314770951d4114c571dd18bef53e05d8caafa"
	if got := Hash(g); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if Hash(Gateway{State: []string{}}) != Hash(Gateway{}) {
		t.Error("an empty list and none have different hashes")
	}
}

// TestLogsShowNoSecrets: a configuration may be logged.
func TestLogsShowNoSecrets(t *testing.T) {
	cfg := Defaults()
	cfg.Gateway.Env = map[string]string{"TOKEN": "hunter2"}
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("x", "config", cfg, "pointer", &cfg, "gateway", cfg.Gateway)
	}
	if strings.Contains(b.String(), "hunter2") || strings.Count(b.String(), "[redacted]") != 6 {
		t.Error(b.String())
	}
}

func TestWarnings(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:80": false, "127.8.8.8:80": false, "[::1]:80": false, "localhost:80": false, "[::ffff:127.0.0.1]:80": false,
		":80": true, "0.0.0.0:80": true, "[::]:80": true, "192.168.0.1:80": true, "example.org:80": true,
	} {
		cfg := Defaults()
		cfg.Listen = listen
		if got := len(cfg.Warnings()) == 1; got != want {
			t.Errorf("%s: warned: %v, want %v", listen, got, want)
		}
	}
	cfg := Defaults()
	cfg.Gateway.Version = "1"
	cfg.Proxy.ForwardedHeaders = ForwardedStrip
	cfg.Proxy.TrustedProxies = []string{"::1"}
	cfg.Proxy.Timeouts.Response = 0
	var keys []string
	for _, w := range cfg.Warnings() {
		keys = append(keys, w.Key)
	}
	if want := []string{"gateway.version", "proxy.trusted_proxies", "proxy.timeouts.response"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}
