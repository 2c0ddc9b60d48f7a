package provider

import (
	"slices"
	"strings"

	"creel/internal/config"
	"creel/internal/openclaw/moltenv"
)

// besides are the variables that belong to the key of a kind and are none.
var besides = map[string][]string{
	config.ProviderAnthropic:  {"ANTHROPIC_BASE_URL"},
	config.ProviderOpenAI:     {"OPENAI_BASE_URL"},
	config.ProviderOpenRouter: {"OPENROUTER_BASE_URL"},
	config.ProviderCloudflare: {"CF_AI_GATEWAY_ACCOUNT_ID", "CF_AI_GATEWAY_GATEWAY_ID", "CF_AI_GATEWAY_MODEL", "CLOUDFLARE_AI_GATEWAY_ACCOUNT_ID", "CLOUDFLARE_AI_GATEWAY_GATEWAY_ID"},
}

// leave notes what providers.leave leaves to the gateway, as it is, and gives the
// environment back without it, but for the keys that OpenClaw finds by itself: who is
// told of such a provider counts it for the default model, and for nothing else.
func (f *finder) leave(environ []string) []string {
	legacy := moltenv.LegacyProvider(environ)
	var dropped []string
	for _, kind := range f.leaving {
		f.found.keys = append(f.found.keys, kinds[kind].env...)
		dropped = append(dropped, besides[kind]...)
		if kind == config.ProviderCloudflare { // OpenClaw finds the key, but no model behind it
			dropped = append(dropped, kinds[kind].env...)
		}
		if kind == legacy {
			f.found.keys = append(f.found.keys, "AI_GATEWAY_API_KEY")
			dropped = append(dropped, "AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL")
		}
	}
	f.left = append(slices.Clone(f.found.keys), dropped...)
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(dropped, name)
	})
}

// leaves tells whether a variable has a key, the first or a further one, that
// providers.leave leaves to the gateway.
func (f *Found) leaves(name string) bool {
	return slices.Contains(f.keys, name) || slices.Contains(f.keys, firstOf(name))
}

// Missed says, in a sentence, what OpenClaw cannot do while creel holds the key of a
// provider of that kind and name, and what gives it back; empty: nothing is missed.
func Missed(kind, name string) string {
	if kind != config.ProviderGoogle || name != kind {
		return ""
	}
	return "while creel holds Google's key, OpenClaw's pictures, speech, descriptions of media, web search and live voice do not work with it; " +
		"`providers.leave: [google]` leaves the key to OpenClaw, where whatever runs in it can read it (docs/providers.md)"
}
