package cli

import (
	"strings"
	"testing"

	"creel/internal/api"
	"creel/internal/health"
	"creel/internal/provider"
)

// TestKeysFinding: a key that is left to the gateway on purpose is told of and no
// warning; one that nobody has meant to be there is one all the same; who misses what
// Google's key is good for learns why.
func TestKeysFinding(t *testing.T) {
	alarm := []health.Report{{Condition: health.Keys, Message: "the gateway itself has GROQ_API_KEY", Hint: "see docs"}}
	left := []string{"GEMINI_API_KEY"}
	held := provider.Report{Proxy: true, Providers: []provider.State{{Name: "google", Kind: "google"}}}
	for _, c := range []struct {
		degraded      []health.Report
		report        provider.Report
		verdict       string
		message, hint string
	}{
		{nil, provider.Report{}, "ok", "none that creel knows of", ""},
		{nil, provider.Report{Left: left}, "ok", "the gateway has GEMINI_API_KEY, as providers.leave says, and whatever runs in it can read that", ""},
		{alarm, provider.Report{Left: left}, "warning", "the gateway itself has GROQ_API_KEY; the gateway has GEMINI_API_KEY", "see docs"},
		{nil, provider.Report{Foreign: true}, "ok", "creel keeps keys of model providers for OpenClaw alone", ""},
		{nil, held, "ok", "none that creel knows of", "`providers.leave: [google]`"},
		{nil, provider.Report{Providers: held.Providers}, "ok", "none that creel knows of", ""}, // providers.proxy is off
	} {
		f := keysFinding(api.Status{Degraded: c.degraded}, c.report)
		if f.Verdict != c.verdict || !strings.HasPrefix(f.Message, c.message) || !strings.Contains(f.Hint, c.hint) || (c.hint == "") != (f.Hint == "") {
			t.Errorf("%+v %+v: %+v", c.degraded, c.report, f)
		}
	}
}
