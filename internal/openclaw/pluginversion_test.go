package openclaw

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOtherPluginVersion: after an upgrade of OpenClaw its plugins are those of before.
func TestOtherPluginVersion(t *testing.T) {
	const plugin = "@openclaw/discord"
	for name, tt := range map[string]struct {
		packages []string // package.json, one for each project that has the plugin
		want     string
	}{
		"not there":       {},
		"the same":        {[]string{`{"version":"2026.9.6"}`}, ""},
		"older":           {[]string{`{"version":"2026.8.1"}`}, "2026.8.1"},
		"newer":           {[]string{`{"version":"2026.10.2"}`}, "2026.10.2"},
		"one left behind": {[]string{`{"version":"2026.9.6"}`, `{"version":"2026.8.1"}`}, ""},
		"it does not say": {[]string{`{}`}, ""},
		"nonsense":        {[]string{`nonsense`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			for i, text := range tt.packages {
				dir := filepath.Join(l.State(), "npm", "projects", "discord-"+string(rune('a'+i)), "node_modules", plugin)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := OtherPluginVersion(l, plugin, "2026.9.6"); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
