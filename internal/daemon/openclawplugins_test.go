package daemon

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/health"
	"creel/internal/openclaw"
)

// plugged is an app whose OpenClaw cannot install anything, with tokens of the two
// channels that are plugins.
func plugged(t *testing.T) (o *openClaw, g config.Gateway, said *notes, runs *int) {
	t.Helper()
	layout, err := openclaw.LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(layout.State(), 0o700), os.WriteFile(layout.Config(), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	registry := health.New(health.Options{})
	t.Cleanup(registry.Close)
	g = config.Defaults().Gateway
	said, runs = &notes{}, new(int)
	return &openClaw{
		layout: layout, providers: &providers{}, health: registry, journal: said, cfg: func() config.Gateway { return g },
		environ: []string{"DISCORD_BOT_TOKEN=d", "SLACK_BOT_TOKEN=s", "SLACK_APP_TOKEN=a", "HOME=/h"},
		exec:    func(*exec.Cmd) error { *runs++; return errors.New("no network") },
	}, g, said, runs
}

// TestPluginsThatCannotBeHad: each is told of, the gateway starts, and the starts of the
// next ten minutes do not wait for them again.
func TestPluginsThatCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, g, _, runs := plugged(t)
		in := openclaw.Installation{Version: "2026.9.6"}
		start := func(want int) {
			t.Helper()
			before := *runs
			if err := o.ensurePlugins(t.Context(), g, 1, in); err != nil {
				t.Fatal(err)
			}
			if got := *runs - before; got != want {
				t.Errorf("OpenClaw was run %d times, want %d", got, want)
			}
			report := o.health.Current()
			if len(report) != 1 || report[0].Condition != health.Plugins {
				t.Fatalf("%+v", report)
			}
			for _, plugin := range []string{"@openclaw/discord", "@openclaw/slack"} {
				if !strings.Contains(report[0].Message, plugin) || !strings.Contains(report[0].Hint, plugin+"@2026.9.6") {
					t.Errorf("nothing is said of %s: %s", plugin, report[0])
				}
			}
		}
		start(5) // four attempts, and one of the other plugin's
		start(0)
		time.Sleep(pluginsAgain) // synctest's clock
		start(2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(pluginsAgain)
		if err := o.ensurePlugins(ctx, g, 1, in); !errors.Is(err, context.Canceled) {
			t.Errorf("called off: %v", err)
		}
	})
}

// TestPluginsOfAnotherVersion: after an upgrade of OpenClaw the journal says which
// plugins are of before.
func TestPluginsOfAnotherVersion(t *testing.T) {
	o, g, said, runs := plugged(t)
	for plugin, version := range map[string]string{"discord": "2026.8.1", "slack": "2026.9.6"} {
		dir := filepath.Join(o.layout.State(), "npm", "projects", plugin, "node_modules", "@openclaw", plugin)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"version":"`+version+`"}`), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.ensurePlugins(t.Context(), g, 7, openclaw.Installation{Version: "2026.9.6"}); err != nil {
		t.Fatal(err)
	}
	if *runs != 0 || len(o.health.Current()) != 0 {
		t.Errorf("OpenClaw was run %d times; %v", *runs, o.health.Current())
	}
	if len(*said) != 1 || (*said)[0].Kind != event.OpenClawConfigWarning || (*said)[0].Generation != 7 ||
		!strings.Contains((*said)[0].Message, "creel openclaw exec -- plugins update @openclaw/discord@2026.9.6") {
		t.Errorf("the journal says %+v", *said)
	}
}
