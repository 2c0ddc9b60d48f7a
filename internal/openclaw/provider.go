package openclaw

import (
	"strings"
)

// HasProvider reports whether there is a sign of a model provider that OpenClaw
// could use: in its configuration, or a key in its environment. It may be wrong
// (a login that is kept in the state shows in the configuration as well, a key may
// be of something else); it is for a hint.
func HasProvider(l Layout, environ []string) bool {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if value != "" && (strings.HasSuffix(name, "_API_KEY") || strings.HasSuffix(name, "_OAUTH_TOKEN")) {
			return true
		}
	}
	b, _ := l.present()
	config, _ := decoded(b).(map[string]any)
	for _, path := range [][]string{{"models", "providers"}, {"auth", "profiles"}} {
		inner := config
		for _, name := range path {
			inner, _ = inner[name].(map[string]any)
		}
		if len(inner) > 0 {
			return true
		}
	}
	return false
}
