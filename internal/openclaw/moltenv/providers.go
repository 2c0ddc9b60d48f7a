package moltenv

import (
	"fmt"
	"net/url"
	"strings"

	"creel/internal/telemetry"
)

// The dialects that providers speak, in OpenClaw's words (models.providers.*.api).
const (
	AnthropicMessages = "anthropic-messages"
	OpenAICompletions = "openai-completions"
	OpenAIResponses   = "openai-responses"
	GoogleGenerative  = "google-generative-ai"
)

// ProviderSpec is a model provider that variables speak of.
type ProviderSpec struct {
	Name    string           // its name in OpenClaw's models.providers
	BaseURL string           // without a slash at its end
	API     string           // its dialect
	Key     telemetry.Secret // never empty
	Models  []Model          // none: OpenClaw knows the provider's models itself
	Default string           // a model of it to be used by default, as provider/model
	From    []string         // the variables that say so
}

// Model is a model that OpenClaw does not know by itself.
type Model struct {
	ID            string
	Name          string
	ContextWindow int // tokens
	MaxTokens     int // of an answer
}

// What moltworker said of each model behind Cloudflare AI Gateway.
const (
	gatewayContext   = 131072
	gatewayMaxTokens = 8192
)

// cloudflareBase is Cloudflare AI Gateway.
const cloudflareBase = "https://gateway.ai.cloudflare.com/v1/"

// Providers are the providers that the variables speak of, the preferred one
// first. The error is a *VariableError.
func Providers(environ []string) ([]ProviderSpec, error) {
	v := variablesOf(environ)
	var list []ProviderSpec
	for _, one := range []func(variables) (*ProviderSpec, error){cloudflare, anthropic, openai, openrouter} {
		p, err := one(v)
		if err != nil {
			return nil, err
		}
		if p != nil {
			list = append(list, *p)
		}
	}
	for _, u := range usual {
		if key, name := v.first(u.variables...); key != "" {
			list = append(list, ProviderSpec{
				Name: u.name, API: u.api, BaseURL: u.base, Key: telemetry.Secret(key), Default: u.name + "/" + u.model, From: []string{name},
			})
		}
	}
	return list, nil
}

// usual are the providers that one variable is all about, the first that is set. Names, addresses and models
// are those of OpenClaw's documentation (docs/providers). Only those are here that come
// with OpenClaw: of others (groq, mistral, deepseek) it takes the name in its
// configuration for a reason to install their plugin at each start until that
// succeeds, which takes minutes where the network is away.
var usual = []struct {
	name, api   string
	variables   []string
	base, model string
}{
	{"xai", OpenAICompletions, []string{"XAI_API_KEY"}, "https://api.x.ai/v1", "grok-4.7"},
	{"together", OpenAICompletions, []string{"TOGETHER_API_KEY"}, "https://api.together.xyz/v1", "moonshotai/Kimi-K2.6"},
	{"nvidia", OpenAICompletions, []string{"NVIDIA_API_KEY"}, "https://integrate.api.nvidia.com/v1", "nvidia/nemotron-3-ultra-550b-a55b"},
	{"google", GoogleGenerative, []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}, "https://generativelanguage.googleapis.com/v1beta", "gemini-3.1-pro-preview"},
}

// The three that name a gateway of Cloudflare's, the older name of each last.
var (
	cloudflareKey     = []string{"CLOUDFLARE_AI_GATEWAY_API_KEY"}
	cloudflareAccount = []string{"CF_AI_GATEWAY_ACCOUNT_ID", "CLOUDFLARE_AI_GATEWAY_ACCOUNT_ID"}
	cloudflareGateway = []string{"CF_AI_GATEWAY_GATEWAY_ID", "CLOUDFLARE_AI_GATEWAY_GATEWAY_ID"}
)

// cloudflare is a provider behind Cloudflare AI Gateway. All three of key, account
// and gateway are needed.
func cloudflare(v variables) (*ProviderSpec, error) {
	key, keyName := v.first(cloudflareKey...)
	account, accountName := v.first(cloudflareAccount...)
	gateway, gatewayName := v.first(cloudflareGateway...)
	if key == "" || account == "" || gateway == "" {
		return nil, nil
	}
	p := &ProviderSpec{Key: telemetry.Secret(key), From: []string{keyName, accountName, gatewayName}}
	base := cloudflareBase + url.PathEscape(account) + "/" + url.PathEscape(gateway) + "/"
	const modelName = "CF_AI_GATEWAY_MODEL"
	if v[modelName] == "" {
		p.Name, p.API, p.BaseURL = "cloudflare-ai-gateway", AnthropicMessages, base+"anthropic"
		p.Models = []Model{gatewayModel("claude-sonnet-4-6")}
	} else {
		provider, model, ok := strings.Cut(v[modelName], "/")
		if !ok || provider == "" || model == "" || url.PathEscape(provider) != provider {
			return nil, &VariableError{modelName, "it is not of the form provider/model, such as workers-ai/@cf/openai/gpt-oss-120b"}
		}
		p.From = append(p.From, modelName)
		p.Name, p.API, p.BaseURL = "cf-ai-gw-"+provider, OpenAICompletions, base+provider
		switch provider {
		case "anthropic":
			p.API = AnthropicMessages
		case "workers-ai": // its OpenAI-compatible endpoint is one level further down
			p.BaseURL += "/v1"
		}
		p.Models = []Model{gatewayModel(model)}
	}
	p.Default = p.Name + "/" + p.Models[0].ID
	return p, nil
}

func gatewayModel(id string) Model {
	return Model{ID: id, Name: id, ContextWindow: gatewayContext, MaxTokens: gatewayMaxTokens}
}

// legacy are AI_GATEWAY_API_KEY and AI_GATEWAY_BASE_URL, which count together.
// They stand for OpenAI if openai is true and the address is that of OpenAI's
// endpoint, and for Anthropic otherwise.
func legacy(v variables, openai bool) (key, base string, from []string) {
	key, base = v["AI_GATEWAY_API_KEY"], strings.TrimRight(v["AI_GATEWAY_BASE_URL"], "/")
	if key == "" || base == "" || strings.HasSuffix(base, "/openai") != openai {
		return "", "", nil
	}
	return key, base, []string{"AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL"}
}

// LegacyProvider is the provider that AI_GATEWAY_API_KEY and AI_GATEWAY_BASE_URL stand
// for; empty: none.
func LegacyProvider(environ []string) string {
	v := variablesOf(environ)
	if key, _, _ := legacy(v, false); key != "" {
		return "anthropic"
	}
	if key, _, _ := legacy(v, true); key != "" {
		return "openai"
	}
	return ""
}

func anthropic(v variables) (*ProviderSpec, error) {
	key, base, from := legacy(v, false)
	if key == "" {
		key, base, from = own(v, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com")
	}
	return named("anthropic", AnthropicMessages, "claude-opus-5", key, base, from)
}

func openai(v variables) (*ProviderSpec, error) {
	key, base, from := legacy(v, true)
	if key == "" {
		key, base, from = own(v, "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1")
	}
	return named("openai", OpenAIResponses, "gpt-6-astra", key, base, from)
}

func openrouter(v variables) (*ProviderSpec, error) {
	key, base, from := own(v, "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1")
	return named("openrouter", OpenAICompletions, "auto", key, base, from)
}

// own are the two variables of a provider; usual is its address without one.
func own(v variables, keyName, baseName, usual string) (key, base string, from []string) {
	if v[keyName] == "" {
		return "", "", nil
	}
	from = []string{keyName}
	if base = strings.TrimRight(v[baseName], "/"); base == "" {
		return v[keyName], usual, from
	}
	return v[keyName], base, append(from, baseName)
}

// named is a provider that OpenClaw knows; nil: there is no key.
func named(name, api, model, key, base string, from []string) (*ProviderSpec, error) {
	if key == "" {
		return nil, nil
	}
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &VariableError{from[len(from)-1], "it is not an address such as https://api.example.com/v1"}
	}
	return &ProviderSpec{
		Name: name, API: api, BaseURL: base, Key: telemetry.Secret(key), Default: name + "/" + model, From: from,
	}, nil
}

// String names the provider and the variables it comes from.
func (p ProviderSpec) String() string {
	return fmt.Sprintf("%s (%s)", p.Name, strings.Join(p.From, ", "))
}
