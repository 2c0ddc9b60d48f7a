package provider

import (
	"slices"
	"strings"
)

// others are the variables of keys that OpenClaw 2026.9.6 takes model providers' keys
// from (its plugins' manifests, its catalogue of further plugins, its core), and that
// creel does not hold unasked: what they are for speaks no API that it carries, is more
// than a model, can be anywhere, or is a plugin that OpenClaw would install at each start.
// They pass to the gateway. Keys for speech, pictures and search alone are not here.
var others = []string{
	// Another API, or a sign-in.
	"ANTHROPIC_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "COPILOT_GITHUB_TOKEN", "CODEX_API_KEY", "GOOGLE_CLOUD_API_KEY", "AZURE_OPENAI_API_KEY",
	"AWS_SECRET_ACCESS_KEY", "AWS_BEARER_TOKEN_BEDROCK", "MINIMAX_OAUTH_TOKEN", "CHUTES_OAUTH_TOKEN",
	// With OpenClaw, but more than one API, or anywhere.
	"CLAWROUTER_API_KEY", "DASHSCOPE_API_KEY", "HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "LITELLM_API_KEY", "LM_API_TOKEN", "MINIMAX_API_KEY", "MINIMAX_CODE_PLAN_KEY",
	"MINIMAX_CODING_API_KEY", "MODELSTUDIO_API_KEY", "OLLAMA_API_KEY", "OPENCODE_API_KEY", "OPENCODE_ZEN_API_KEY", "QWEN_API_KEY", "SGLANG_API_KEY", "VLLM_API_KEY",
	// Plugins of their own.
	"ARCEEAI_API_KEY", "BASETEN_API_KEY", "BYTEPLUS_API_KEY", "CEREBRAS_API_KEY", "CHUTES_API_KEY", "COHERE_API_KEY", "DEEPINFRA_API_KEY", "DEEPSEEK_API_KEY",
	"FEATHERLESS_API_KEY", "FIREWORKS_API_KEY", "GMI_API_KEY", "GROQ_API_KEY", "KILOCODE_API_KEY", "KIMICODE_API_KEY", "KIMI_API_KEY", "LONGCAT_API_KEY",
	"MISTRAL_API_KEY", "MODEL_API_KEY", "MOONSHOT_API_KEY", "NOVITA_API_KEY", "PERPLEXITY_API_KEY", "QIANFAN_API_KEY", "QWEN_TOKEN_PLAN_API_KEY", "RADIUS_API_KEY",
	"STEPFUN_API_KEY", "SYNTHETIC_API_KEY", "TOKENHUB_API_KEY", "TOKENPLAN_API_KEY", "VENICE_API_KEY", "VOLCANO_ENGINE_API_KEY", "VOYAGE_API_KEY",
	"XIAOMI_API_KEY", "XIAOMI_TOKEN_PLAN_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY",
}

const livePrefix = "OPENCLAW_LIVE_"

// firstOf is the variable of a provider's first key for one of its further ones, which
// OpenClaw goes through in turn: OPENAI_API_KEY for OPENAI_API_KEYS, OPENAI_API_KEY_2 and
// OPENCLAW_LIVE_OPENAI_KEY; empty: it has not the name of one.
func firstOf(name string) string {
	if live, ok := strings.CutPrefix(name, livePrefix); ok {
		provider, ok := strings.CutSuffix(strings.TrimSuffix(live, "S"), "_KEY")
		if !ok {
			return ""
		}
		return provider + "_API_KEY"
	}
	first := strings.TrimSuffix(name, "S")
	if first == name {
		first = strings.TrimRight(name, "0123456789")
		if first == name || !strings.HasSuffix(first, "_") {
			return ""
		}
		first = strings.TrimSuffix(first, "_")
	}
	if !strings.HasSuffix(first, "_API_KEY") {
		return ""
	}
	return first
}

// further tells whether a variable holds further keys of a provider. Those with
// livePrefix may be any's.
func further(name string) bool {
	first := firstOf(name)
	return first != "" && (strings.HasPrefix(name, livePrefix) || slices.Contains(others, first) || slices.Contains(customary, first))
}

// Reaching are the variables of an environment, NAME=value, that hold keys of model
// providers which creel does not keep from the gateway, though nobody has asked it to
// leave them there (providers.leave), in the order of their names.
func (f *Found) Reaching(environ []string) []string {
	var names []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if value != "" && (slices.Contains(others, name) || further(name)) && !f.leaves(name) && !slices.Contains(f.Variables, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
