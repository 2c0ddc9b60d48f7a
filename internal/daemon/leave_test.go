package daemon

import (
	"os"
	"slices"
	"strings"
	"testing"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/openclaw"
	"creel/internal/provider"
)

// TestLeave: a key is taken into custody, with a word on what that costs; when it is left
// to the gateway it is there, what creel has written for it is not any more, and no alarm
// is raised. The other provider stays where it is.
func TestLeave(t *testing.T) {
	environ := []string{"GEMINI_API_KEY=" + testKey, "OPENAI_API_KEY=" + testKey + "-openai", "HOME=/h"}
	layout, err := openclaw.LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// start does to openclaw.json what a start of the gateway does, and tells what the
	// journal says of it.
	start := func(d *daemon) (file, said string) {
		var list notes
		o := &openClaw{layout: layout, providers: d.providers, journal: &list, cfg: func() config.Gateway { return d.cfg().Gateway }}
		before, err := os.ReadFile(layout.Config())
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if _, err := openclaw.Configure(layout, openclaw.Settings{Port: 18789, Extra: d.providers.settings()}); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(layout.Config())
		if err != nil {
			t.Fatal(err)
		}
		o.noteConfig(openclaw.ConfigNote{What: openclaw.ConfigChanged, By: openclaw.ByCreel, Message: "changed", Changes: openclaw.DiffConfig(before, after)}, 1)
		if len(list) != 1 || list[0].Kind != event.OpenClawConfigChanged {
			t.Fatalf("%+v", list)
		}
		return string(after), list[0].Message
	}
	missed := provider.Missed(config.ProviderGoogle, "google")
	if missed == "" || provider.Missed(config.ProviderGoogle, "other") != "" || provider.Missed(config.ProviderOpenAI, "openai") != "" {
		t.Fatal("of Google's key alone something is missed")
	}

	held := providersOf(t, nil, environ...)
	file, said := start(held)
	if !strings.Contains(file, `"google-generative-ai"`) || !strings.Contains(said, missed) {
		t.Errorf("held, the journal says %q of\n%s", said, file)
	}
	if _, said := start(held); strings.Contains(said, missed) {
		t.Errorf("said again: %s", said)
	}
	moved := []openclaw.ConfigChange{{Key: "models.providers.google.baseUrl", Before: `"http://127.0.0.1:1/google/v1beta"`, After: `"http://127.0.0.1:2/google/v1beta"`}}
	if said := held.providers.missed(moved); said != "" {
		t.Errorf("said of another port: %s", said)
	}

	left := providersOf(t, func(c *config.Config) { c.Providers.Leave = []string{config.ProviderGoogle} }, environ...)
	file, said = start(left)
	if strings.Contains(file, "google") || !strings.Contains(file, left.providers.place.URL("openai")+`"`) || strings.Contains(said, missed) {
		t.Errorf("left, the journal says %q of\n%s", said, file)
	}
	gets := left.gatewayEnviron()
	if !slices.Contains(gets, environ[0]) || slices.Contains(gets, environ[1]) {
		t.Errorf("the gateway gets %v", gets)
	}
	if r := left.providers.report(); !slices.Equal(r.Left, []string{"GEMINI_API_KEY"}) || len(r.Providers) != 1 || !r.Proxy {
		t.Errorf("%+v", r)
	}
	if names := left.providers.reaching(environ); len(names) != 0 {
		t.Errorf("alarm for %v", names)
	}

	// Nothing else is held: nothing listens.
	alone := providersOf(t, func(c *config.Config) { c.Providers.Leave = []string{config.ProviderGoogle} }, environ[0])
	if file, _ := start(alone); alone.providers.server != nil || strings.Contains(file, `"apiKey"`) || !strings.Contains(file, `"google/gemini-3.1-pro-preview"`) {
		t.Errorf("alone: %s", file)
	}
	if !slices.Contains(alone.gatewayEnviron(), environ[0]) || len(alone.providers.reaching(environ[:1])) != 0 {
		t.Error("alone, the key is not the gateway's")
	}
}
