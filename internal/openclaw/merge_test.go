package openclaw

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata/config/*.json
var realConfigs embed.FS

// realConfig is a configuration that OpenClaw or moltworker has written; names and
// secrets in it are not the real ones.
func realConfig(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(realConfigs, "testdata/config/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestMerge merges what creel owns, and channels and providers of the environment,
// into configurations as they are found. Nothing else may change.
func TestMerge(t *testing.T) {
	environ := []string{"TELEGRAM_BOT_TOKEN=1:of-the-environment", "TELEGRAM_DM_POLICY=pairing", "TELEGRAM_DM_ALLOW_FROM=333"}
	owned := []string{
		"gateway.mode", "gateway.port", "gateway.bind", "gateway.auth.mode", "gateway.auth.token", "gateway.trustedProxies",
		"gateway.controlUi.allowedOrigins", "logging.file",
	}
	const (
		model    = "agents.defaults.model.primary"
		enabled  = "channels.telegram.enabled"
		botToken = "channels.telegram.botToken"
		policy   = "channels.telegram.dmPolicy"
		allow    = "channels.telegram.allowFrom"
	)
	tests := map[string]struct {
		text  string   // "": there is no file
		added []string // besides what creel owns
		token string   // "": a new one
		allow string   // channels.telegram.allowFrom
		keeps string   // a part of the text that must still be there
	}{
		"fresh":           {"", []string{model, enabled, botToken, policy, allow}, "", `["333"]`, ""},
		"onboarded":       {realConfig(t, "onboarded.json"), []string{enabled, botToken, policy, allow}, "token-of-onboarding", `["333"]`, `"primary": "anthropic/claude-opus-5"`},
		"edited in UI":    {realConfig(t, "edited-in-ui.json"), []string{botToken, allow}, "token-of-onboarding", `["222","333"]`, `"dmPolicy": "allowlist"`},
		"moltworker's":    {realConfig(t, "moltworker-2026.2.3.json"), []string{policy, allow}, "token-of-moltworker", `["11111","333"]`, `"allowInsecureAuth": true`},
		"with comments":   {"// mine\n{ // a\n  \"channels\": { /* b */ \"telegram\": {\n    \"allowFrom\": [1], // c\n  } },\n}\n", []string{model, enabled, botToken, policy, allow}, "", `[1,"333"]`, "// c\n"},
		"JSON5":           {"{agents: {defaults: {model: {primary: 'mine'}}}, channels: {telegram: {enabled: false, botToken: 'x'}}}", []string{policy, allow}, "", `["333"]`, `"botToken": "x"`},
		"unknown keys":    {`{"future": {"x": [1, 2.50, {"y": null}]}, "gateway": {"future": 1}, "channels": {"telegram": {"future": true}}}`, []string{model, enabled, botToken, policy, allow}, "", `["333"]`, `2.50, {"y": null}`},
		"byte order mark": {"\ufeff{\"a\": 1}\r\n", []string{model, enabled, botToken, policy, allow}, "", `["333"]`, `"a": 1`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			if test.text != "" {
				putConfig(t, l, test.text)
			}
			s := testSettings
			s.Extra = append(moltworker(t, environ...), ModelSettings(nil, "anthropic/claude-opus-5")...)
			got, err := Configure(l, s)
			if err != nil || test.token != "" && got.Token.Reveal() != test.token {
				t.Fatalf("Configure = %+v, %v", got, err)
			}
			text := getConfig(t, l)
			changes := DiffConfig([]byte(test.text), []byte(text))
			for _, c := range changes {
				if !slices.Contains(owned, c.Key) && !slices.Contains(test.added, c.Key) {
					t.Errorf("changed: %v", c)
				}
			}
			for _, key := range test.added {
				if !slices.ContainsFunc(changes, func(c ConfigChange) bool { return c.Key == key }) {
					t.Errorf("%s was not added", key)
				}
			}
			m := configured(t, l, s.Extra...)
			if allow := at(m, "channels", "telegram", "allowFrom"); allow != test.allow {
				t.Errorf("who may write: %s; want %s", allow, test.allow)
			}
			if !strings.Contains(text, test.keeps) {
				t.Errorf("%q is not in\n%s", test.keeps, text)
			}
			if getConfig(t, l) != text {
				t.Error("the second time it is changed again")
			}
			// Without the environment all that it has brought is gone again.
			configured(t, l)
			for _, c := range DiffConfig([]byte(test.text), []byte(getConfig(t, l))) {
				if !slices.Contains(owned, c.Key) {
					t.Errorf("left behind: %v", c)
				}
			}
		})
	}
}

// What is in the place of the file and no configuration stays as it is.
func TestMergeRefuses(t *testing.T) {
	tests := map[string]struct {
		put    func(path string) error
		reason ConfigReason
	}{
		"broken JSON":       {func(path string) error { return os.WriteFile(path, []byte(`{"channels": {`), 0o600) }, ConfigSyntax},
		"a folder":          {func(path string) error { return os.Mkdir(path, 0o700) }, ConfigUnreadable},
		"read-only":         {func(path string) error { return os.WriteFile(path, []byte(`{}`), 0o400) }, ConfigReadOnly},
		"a link to nothing": {func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "none"), path) }, ConfigUnreadable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			if err := os.MkdirAll(l.State(), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := test.put(l.Config()); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(l.Config())
			if err != nil {
				t.Fatal(err)
			}
			s := testSettings
			s.Extra = moltworker(t, "TELEGRAM_BOT_TOKEN=1:x")
			_, err = Configure(l, s)
			var refused *ConfigError
			if !errors.As(err, &refused) || refused.Reason != test.reason || refused.Next == "" {
				t.Errorf("Configure: %v", err)
			}
			if after, err := os.Lstat(l.Config()); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
				t.Errorf("it was changed (%v)", err)
			}
		})
	}
}

// A link to the configuration stays one, and what it leads to is merged.
func TestMergeThroughALink(t *testing.T) {
	l := newLayout(t)
	real := filepath.Join(t.TempDir(), "real.json")
	if err := os.WriteFile(real, []byte(realConfig(t, "onboarded.json")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.State(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, l.Config()); err != nil {
		t.Fatal(err)
	}
	m := configured(t, l, moltworker(t, "TELEGRAM_BOT_TOKEN=1:x")...)
	if info, err := os.Lstat(l.Config()); err != nil || info.Mode()&fs.ModeSymlink == 0 || at(m, "channels", "telegram", "botToken") != `"1:x"` {
		t.Errorf("the link: %v, %v", info, err)
	}
	if m := configured(t, l); at(m, "channels") != "" {
		t.Errorf("what creel has put there beside the real file was not known again: %s", at(m, "channels"))
	}
}
