package provider

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"creel/internal/config"
)

// TestFind: what variables mean, moltworker's among them, and what the configuration
// puts in their place.
func TestFind(t *testing.T) {
	const key = "sk-0123456789"
	cloudflare := "CLOUDFLARE_AI_GATEWAY_API_KEY=" + key + " CF_AI_GATEWAY_ACCOUNT_ID=acc CF_AI_GATEWAY_GATEWAY_ID=gw "
	local := config.Provider{Name: "local", Kind: config.ProviderCompatible, BaseURL: "http://127.0.0.1:1/v1/", KeyEnv: "LOCAL", Models: []string{"llama"}}
	for _, c := range []struct {
		environ   string
		list      []config.Provider
		want      string // name api base fields, …
		model     string
		variables string
		problems  int
	}{
		{"HOME=/h", nil, "", "", "", 0},
		{"ANTHROPIC_API_KEY=" + key, nil, "anthropic anthropic https://api.anthropic.com [X-Api-Key]", "anthropic/claude-opus-5", "ANTHROPIC_API_KEY", 0},
		{"OPENAI_API_KEY=" + key + " ANTHROPIC_API_KEY=" + key + " ANTHROPIC_BASE_URL=https://a.example/x/", nil,
			"anthropic anthropic https://a.example/x [X-Api-Key]; openai openai https://api.openai.com/v1 [Authorization]", "anthropic/claude-opus-5", "ANTHROPIC_API_KEY ANTHROPIC_BASE_URL OPENAI_API_KEY", 0},
		{"OPENROUTER_API_KEY=" + key, nil, "openrouter openai https://openrouter.ai/api/v1 [Authorization]", "openrouter/auto", "OPENROUTER_API_KEY", 0},
		{cloudflare + "CF_AI_GATEWAY_MODEL=workers-ai/@cf/openai/gpt-oss-120b ANTHROPIC_API_KEY=" + key, nil,
			"cf-ai-gw-workers-ai openai https://gateway.ai.cloudflare.com/v1/acc/gw/workers-ai/v1 [Authorization]; anthropic anthropic https://api.anthropic.com [X-Api-Key]",
			"cf-ai-gw-workers-ai/@cf/openai/gpt-oss-120b", "ANTHROPIC_API_KEY CF_AI_GATEWAY_ACCOUNT_ID CF_AI_GATEWAY_GATEWAY_ID CF_AI_GATEWAY_MODEL CLOUDFLARE_AI_GATEWAY_API_KEY", 0},
		{cloudflare + "CF_AI_GATEWAY_MODEL=anthropic/claude-x", nil, "cf-ai-gw-anthropic anthropic https://gateway.ai.cloudflare.com/v1/acc/gw/anthropic [X-Api-Key]", "cf-ai-gw-anthropic/claude-x", "*", 0},
		{cloudflare, nil, "cloudflare-ai-gateway anthropic https://gateway.ai.cloudflare.com/v1/acc/gw/anthropic [X-Api-Key]", "cloudflare-ai-gateway/claude-sonnet-4-6", "*", 0},
		{cloudflare + "CF_AI_GATEWAY_MODEL=nonsense", nil, "", "", "*", 1},
		{"CLOUDFLARE_AI_GATEWAY_API_KEY=" + key, nil, "", "", "CLOUDFLARE_AI_GATEWAY_API_KEY", 0}, // moltenv.Hints tells of it
		{"AI_GATEWAY_API_KEY=" + key + " AI_GATEWAY_BASE_URL=https://gateway.ai.cloudflare.com/v1/a/g/anthropic/ ANTHROPIC_API_KEY=sk-another-one", nil,
			"anthropic anthropic https://gateway.ai.cloudflare.com/v1/a/g/anthropic [X-Api-Key]", "anthropic/claude-opus-5", "AI_GATEWAY_API_KEY AI_GATEWAY_BASE_URL ANTHROPIC_API_KEY", 0},
		{"AI_GATEWAY_API_KEY=" + key + " AI_GATEWAY_BASE_URL=https://x.example/openai", nil, "openai openai https://x.example/openai [Authorization]", "openai/gpt-6-astra", "*", 0},
		{"ANTHROPIC_API_KEY=short", nil, "anthropic anthropic https://api.anthropic.com [X-Api-Key]", "anthropic/claude-opus-5", "*", 1},
		{"OPENAI_API_KEY=" + key + " OPENAI_BASE_URL=https://user:pw@h/v1", nil, "", "", "*", 1},
		{"LOCAL=" + key + " OPENAI_API_KEY=" + key, []config.Provider{local, {Kind: config.ProviderOllama}, {Kind: config.ProviderOpenAI, BaseURL: "https://o.example"}},
			"local openai http://127.0.0.1:1/v1 [Authorization]; ollama ollama http://127.0.0.1:11434 []; openai openai https://o.example [Authorization]", "local/llama", "LOCAL OPENAI_API_KEY", 0},
		{cloudflare + "CF_AI_GATEWAY_MODEL=workers-ai/m AIG=" + key, []config.Provider{{Name: "cf-ai-gw-workers-ai", Kind: config.ProviderCloudflare, BaseURL: "http://127.0.0.1:1/v1/a/g/workers-ai/v1", KeyEnv: "CLOUDFLARE_AI_GATEWAY_API_KEY", GatewayKeyEnv: "AIG"}},
			"cf-ai-gw-workers-ai openai http://127.0.0.1:1/v1/a/g/workers-ai/v1 [Authorization Cf-Aig-Authorization]", "cf-ai-gw-workers-ai/m", "*", 0},
		{"TOGETHER_API_KEY=" + key + " GROQ_API_KEY=" + key + " XAI_API_KEY=" + key, nil,
			"xai openai https://api.x.ai/v1 [Authorization]; together openai https://api.together.xyz/v1 [Authorization]", "xai/grok-4.7", "TOGETHER_API_KEY XAI_API_KEY", 0},
		{"GOOGLE_API_KEY=AIza-another GEMINI_API_KEY=" + key, nil, "google google https://generativelanguage.googleapis.com [X-Goog-Api-Key]", "google/gemini-3.1-pro-preview", "GEMINI_API_KEY GOOGLE_API_KEY", 0},
		{"NVIDIA_API_KEY=" + key, nil, "nvidia openai https://integrate.api.nvidia.com/v1 [Authorization]", "nvidia/nvidia/nemotron-3-ultra-550b-a55b", "NVIDIA_API_KEY", 0},
		{"GOOGLE_API_KEY=" + key + " TOGETHER_API_KEY=" + key, nil,
			"together openai https://api.together.xyz/v1 [Authorization]; google google https://generativelanguage.googleapis.com [X-Goog-Api-Key]", "together/moonshotai/Kimi-K2.6", "GOOGLE_API_KEY TOGETHER_API_KEY", 0},
		{"GOOGLE_API_KEY=" + key, []config.Provider{{Kind: config.ProviderGoogle, BaseURL: "https://g.example/x/v1beta/"}}, "google google https://g.example/x [X-Goog-Api-Key]", "google/gemini-3.1-pro-preview", "GOOGLE_API_KEY", 0},
		{"", []config.Provider{{Kind: config.ProviderAnthropic, KeyFile: "/nowhere/key"}}, "anthropic anthropic https://api.anthropic.com [X-Api-Key]", "anthropic/claude-opus-5", "", 1},
	} {
		f := Find(config.Providers{List: c.list}, strings.Fields(c.environ))
		var got []string
		for _, p := range f.Providers {
			got = append(got, fmt.Sprint(p.Name, " ", p.API, " ", p.Base, " ", p.Fields()))
		}
		if text := strings.Join(got, "; "); text != c.want || f.Model != c.model {
			t.Errorf("%s:\n got %s, model %s\nwant %s, model %s", c.environ, text, f.Model, c.want, c.model)
		}
		if vars := strings.Join(f.Variables, " "); c.variables != "*" && vars != c.variables {
			t.Errorf("%s: variables %s, want %s", c.environ, vars, c.variables)
		}
		if len(f.Problems) != c.problems || strings.Contains(fmt.Sprint(f.Problems), key) || strings.Contains(fmt.Sprint(f.Problems), "user:pw") {
			t.Errorf("%s: problems %v", c.environ, f.Problems)
		}
		if !slices.IsSorted(f.Variables) {
			t.Errorf("%v", f.Variables)
		}
	}
}

// TestReaching: keys that creel does not hold are named, without their values.
func TestReaching(t *testing.T) {
	environ := []string{"GROQ_API_KEY=g", "GEMINI_API_KEY=AIza-0123456789", "CEREBRAS_API_KEY=c", "MOONSHOT_API_KEY=", "OPENAI_API_KEY=sk-0123456789", "BRAVE_API_KEY=b", "HOME=/h", "GROQ_API_KEY=again",
		"OPENAI_API_KEYS=sk-a,sk-b", "GEMINI_API_KEY_2=x", "OPENCLAW_LIVE_ANTHROPIC_KEY=x", "GEMINI_API_KEY_AUTH_MECHANISM=bearer", "OPENAI_API_KEY2=x", "OTHER_API_KEYS=x", "GROQ_API_KEY_=x", "OPENCLAW_LIVE_TEST=1"}
	f := Find(config.Providers{List: []config.Provider{{Name: "cerebras", Kind: config.ProviderCompatible, BaseURL: "https://api.cerebras.ai/v1", KeyEnv: "CEREBRAS_API_KEY"}}}, environ)
	if got := f.Reaching(environ); !slices.Equal(got, []string{"GEMINI_API_KEY_2", "GROQ_API_KEY", "OPENAI_API_KEYS", "OPENCLAW_LIVE_ANTHROPIC_KEY"}) {
		t.Errorf("%v", got)
	}
}

// TestLeave: what providers.leave names stays in the gateway's environment with all that
// belongs to it, gives no provider and no alarm, and no other default model than before.
func TestLeave(t *testing.T) {
	const key = "sk-0123456789"
	for _, c := range []struct {
		leave     string
		environ   string
		list      []config.Provider
		providers string
		model     string
		variables string
		left      string
		reaching  string
	}{
		{"google", "GEMINI_API_KEY=" + key + " GOOGLE_API_KEY=x GEMINI_API_KEY_2=x OPENCLAW_LIVE_GEMINI_KEY=x OPENAI_API_KEYS=x", nil,
			"", "google/gemini-3.1-pro-preview", "", "GEMINI_API_KEY GEMINI_API_KEY_2 GOOGLE_API_KEY OPENCLAW_LIVE_GEMINI_KEY", "OPENAI_API_KEYS"},
		{"google,nvidia", "GEMINI_API_KEY=" + key + " NVIDIA_API_KEY=" + key + " OPENAI_API_KEY=" + key, nil, "openai", "openai/gpt-6-astra", "OPENAI_API_KEY", "GEMINI_API_KEY NVIDIA_API_KEY", ""},
		{"anthropic", "ANTHROPIC_API_KEY=" + key + " ANTHROPIC_BASE_URL=nonsense GEMINI_API_KEY=" + key + " ANTHROPIC_OAUTH_TOKEN=x", nil,
			"google", "anthropic/claude-opus-5", "GEMINI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_OAUTH_TOKEN"},
		{"google", "OPENAI_API_KEY=" + key, nil, "openai", "openai/gpt-6-astra", "OPENAI_API_KEY", "", ""},
		{"google", "OPENAI_API_KEY=" + key + " GEMINI_API_KEY=", nil, "openai", "openai/gpt-6-astra", "OPENAI_API_KEY", "", ""},
		{"cloudflare-ai-gateway", "CLOUDFLARE_AI_GATEWAY_API_KEY=" + key + " CF_AI_GATEWAY_ACCOUNT_ID=a CLOUDFLARE_AI_GATEWAY_GATEWAY_ID=g CF_AI_GATEWAY_MODEL=nonsense XAI_API_KEY=" + key, nil,
			"xai", "xai/grok-4.7", "XAI_API_KEY", "CLOUDFLARE_AI_GATEWAY_API_KEY", ""},
		{"anthropic", "AI_GATEWAY_API_KEY=" + key + " AI_GATEWAY_BASE_URL=https://x.example/anthropic OPENAI_API_KEY=" + key, nil, "openai", "openai/gpt-6-astra", "OPENAI_API_KEY", "AI_GATEWAY_API_KEY", ""},
		{"anthropic", "AI_GATEWAY_API_KEY=" + key + " AI_GATEWAY_BASE_URL=https://x.example/openai", nil, "openai", "openai/gpt-6-astra", "AI_GATEWAY_API_KEY AI_GATEWAY_BASE_URL", "", ""},
		{"ollama", "OLLAMA_API_KEY=x GROQ_API_KEY=x", nil, "", "", "", "OLLAMA_API_KEY", "GROQ_API_KEY"},
		// What the configuration names is creel's.
		{"google", "GEMINI_API_KEY=" + key + " GOOGLE_API_KEY=x", []config.Provider{{Name: "mine", Kind: config.ProviderCompatible, BaseURL: "https://g.example/v1", KeyEnv: "GEMINI_API_KEY"}},
			"mine", "", "GEMINI_API_KEY", "GOOGLE_API_KEY", ""},
	} {
		environ := append(strings.Fields(c.environ), "HOME=/h")
		f := Find(config.Providers{Leave: strings.Split(c.leave, ","), List: c.list}, environ)
		var names []string
		for _, p := range f.Providers {
			names = append(names, p.Name)
		}
		for what, pair := range map[string][2]string{
			"providers": {strings.Join(names, " "), c.providers}, "model": {f.Model, c.model}, "variables": {strings.Join(f.Variables, " "), c.variables},
			"left": {strings.Join(f.Left, " "), c.left}, "reaching": {strings.Join(f.Reaching(environ), " "), c.reaching},
		} {
			if pair[0] != pair[1] {
				t.Errorf("leave %s of %s: %s %q, want %q", c.leave, c.environ, what, pair[0], pair[1])
			}
		}
		kept := f.Without(environ)
		for _, kv := range environ {
			if name, _, _ := strings.Cut(kv, "="); slices.Contains(kept, kv) == slices.Contains(strings.Fields(c.variables), name) {
				t.Errorf("leave %s of %s: the gateway gets %v", c.leave, c.environ, kept)
			}
		}
		if len(f.Problems) != 0 {
			t.Errorf("%s: %v", c.environ, f.Problems)
		}
	}
}
