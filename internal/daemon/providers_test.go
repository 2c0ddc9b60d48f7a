package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/config"
	"creel/internal/telemetry"
)

// providersOf makes the providers of a daemon with that configuration and
// environment.
func providersOf(t *testing.T, change func(*config.Config), environ ...string) *daemon {
	t.Helper()
	cfg := config.Defaults()
	cfg.DataDir = t.TempDir()
	config.ApplyPreset(&cfg, config.PresetOpenClaw)
	if change != nil {
		change(&cfg)
	}
	d := &daemon{opts: Options{Environ: environ}, log: slog.New(slog.DiscardHandler), metrics: telemetry.NewMetrics(telemetry.MetricsOptions{})}
	d.now.Store(&cfg)
	var err error
	if d.providers, err = d.newProviders(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.endProviders(); err != nil {
			t.Error(err)
		}
	})
	return d
}

const testKey = "sk-real-0123456789abcdef"

// TestGatewayIsToldNoKey: with the proxy on, nothing that the gateway gets has a key
// in it, wherever the key was found; with the proxy off it gets them, by their names.
func TestGatewayIsToldNoKey(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"key": testKey + "-file", "vars": "OPENROUTER_API_KEY=" + testKey + "-vars\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change := func(proxy string) func(*config.Config) {
		return func(c *config.Config) {
			c.Providers.Proxy = proxy
			c.Providers.List = []config.Provider{{Name: "local", Kind: config.ProviderCompatible, BaseURL: "http://127.0.0.1:1/v1", KeyFile: filepath.Join(dir, "key"), Models: []string{"llama"}}}
			c.Gateway.Env = map[string]string{"OPENAI_API_KEY": testKey + "-env", "OTHER": "kept"}
			c.Gateway.OpenClaw.DevVars = filepath.Join(dir, "vars")
		}
	}
	whole := func(d *daemon) string {
		o, err := d.newOpenClaw()
		if err != nil {
			t.Fatal(err)
		}
		g := d.cfg().Gateway
		inherited, err := o.inherited(g)
		if err != nil {
			t.Fatal(err)
		}
		settings, err := json.Marshal(d.providers.settings())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(inherited, d.providers.withoutKeys(g), string(settings))
	}
	on := providersOf(t, change(config.ProvidersProxyOn), "ANTHROPIC_API_KEY="+testKey, "HOME=/h")
	told := whole(on)
	if strings.Contains(told, testKey) || !strings.Contains(told, "HOME=/h") || !strings.Contains(told, "OTHER:kept") {
		t.Errorf("the gateway is told %s", told)
	}
	for _, name := range []string{"local", "anthropic", "openai", "openrouter"} {
		if !strings.Contains(told, on.providers.place.URL(name)+`"`) {
			t.Errorf("the gateway is not told of %s: %s", name, told)
		}
	}
	google := providersOf(t, nil, "GOOGLE_API_KEY="+testKey, "GEMINI_API_KEY="+testKey+"-too")
	if told := whole(google); strings.Contains(told, testKey) || !strings.Contains(told, google.providers.place.URL("google")+`/v1beta"`) || !strings.Contains(told, `"google-generative-ai"`) || len(google.providers.reaching(google.opts.Environ)) != 0 {
		t.Errorf("of Google's API the gateway is told %s", told)
	}
	off := providersOf(t, change(config.ProvidersProxyOff), "ANTHROPIC_API_KEY="+testKey, "HOME=/h")
	told = whole(off)
	for _, want := range []string{"ANTHROPIC_API_KEY=" + testKey, "PROVIDER_KEY_LOCAL=" + testKey + "-file", "OPENAI_API_KEY:" + testKey + "-env", "OPENROUTER_API_KEY=" + testKey + "-vars", "${PROVIDER_KEY_LOCAL}", "http://127.0.0.1:1/v1"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %s in %s", want, told)
		}
	}
	if off.providers.server != nil {
		t.Error("something listens that is off")
	}
}

// TestProvidersStay: the next creel on the folder listens at the same port; another
// preset has no proxy; what may be live is.
func TestProvidersStay(t *testing.T) {
	d := providersOf(t, nil, "OPENAI_API_KEY="+testKey)
	port := d.providers.place.Port
	if err := d.endProviders(); err != nil {
		t.Fatal(err)
	}
	again := providersOf(t, func(c *config.Config) { c.DataDir = d.cfg().DataDir }, "OPENAI_API_KEY="+testKey)
	if again.providers.place.Port != port || len(again.providers.files()) != 1 {
		t.Errorf("the port was %d and is %d", port, again.providers.place.Port)
	}
	next := *again.cfg()
	next.Providers.Budgets = []config.Budget{{Provider: "openai", Tokens: 5}}
	again.providers.configure(&next)
	if b := again.providers.report().Budgets; len(b) != 1 || b[0].Tokens != 5 {
		t.Errorf("%+v", b)
	}
	none := providersOf(t, func(c *config.Config) { c.Gateway.Preset = config.PresetNone }, "OPENAI_API_KEY="+testKey)
	if none.providers.server != nil || !slices.Contains(none.gatewayEnviron(), "OPENAI_API_KEY="+testKey) {
		t.Error("a gateway that is not OpenClaw is treated as one")
	}
}

// TestForeignGateway: where the gateway is not OpenClaw, creel holds no key and says so;
// the gateway has what is in creel's environment.
func TestForeignGateway(t *testing.T) {
	environ := "ANTHROPIC_API_KEY=" + testKey
	other := providersOf(t, func(c *config.Config) { c.Gateway.Preset = config.PresetNone }, environ)
	if r := other.providers.report(); !r.Foreign || r.Proxy || len(r.Providers) != 0 {
		t.Errorf("%+v", r)
	}
	if got := other.gatewayEnviron(); !slices.Contains(got, environ) {
		t.Errorf("the gateway gets %v", got)
	}
	if providersOf(t, nil, environ).providers.report().Foreign {
		t.Error("OpenClaw is foreign")
	}
}
