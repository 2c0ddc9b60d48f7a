package provider

import (
	"fmt"
	"net/url"
	"strings"

	"creel/internal/config"
	"creel/internal/telemetry"
)

// API is the language that a provider speaks: the form of its errors, and where
// it tells how many tokens were used.
type API string

// The APIs.
const (
	OpenAI    API = "openai"    // chat completions, responses, and what is compatible
	Anthropic API = "anthropic" // messages
	Ollama    API = "ollama"    // /api/chat
	Google    API = "google"    // generateContent
)

// Provider is one place with models.
type Provider struct {
	Name string
	Kind string // one of config.ProviderKinds
	API  API
	Base *url.URL // http or https, a host, and a path without a slash at its end
	// Key goes into the field that the API reads; nil: none is needed.
	Key *Key
	// GatewayKey goes into cf-aig-authorization; nil: none.
	GatewayKey *Key
	// Models are those that the gateway has to be told of.
	Models []string
	// Default is the model that is used unless told otherwise; empty: not known.
	Default string
	// From says where it was configured, for a person.
	From string
}

// kind is what is known of a kind of provider.
type kind struct {
	api   API
	base  string
	model string // what its users use, without the provider's name
	// env are the variables that its key is in, by custom, the usual one first.
	env []string
}

// kinds are the defaults. Their models are those that OpenClaw's documentation
// names for each.
var kinds = map[string]kind{
	config.ProviderAnthropic:  {api: Anthropic, base: "https://api.anthropic.com", model: "claude-opus-5", env: []string{"ANTHROPIC_API_KEY"}},
	config.ProviderOpenAI:     {api: OpenAI, base: "https://api.openai.com/v1", model: "gpt-6-astra", env: []string{"OPENAI_API_KEY"}},
	config.ProviderOpenRouter: {api: OpenAI, base: "https://openrouter.ai/api/v1", model: "auto", env: []string{"OPENROUTER_API_KEY"}},
	config.ProviderXAI:        {api: OpenAI, base: "https://api.x.ai/v1", model: "grok-4.7", env: []string{"XAI_API_KEY"}},
	config.ProviderTogether:   {api: OpenAI, base: "https://api.together.xyz/v1", model: "moonshotai/Kimi-K2.6", env: []string{"TOGETHER_API_KEY"}},
	config.ProviderNVIDIA:     {api: OpenAI, base: "https://integrate.api.nvidia.com/v1", model: "nvidia/nemotron-3-ultra-550b-a55b", env: []string{"NVIDIA_API_KEY"}},
	config.ProviderGoogle:     {api: Google, base: "https://generativelanguage.googleapis.com", model: "gemini-3.1-pro-preview", env: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}},
	config.ProviderCloudflare: {api: OpenAI, env: []string{"CLOUDFLARE_AI_GATEWAY_API_KEY"}},
	config.ProviderCompatible: {api: OpenAI},
	config.ProviderOllama:     {api: Ollama, base: "http://127.0.0.1:11434", env: []string{"OLLAMA_API_KEY"}},
}

// newProvider makes a provider of that kind; base may be empty where kinds has one.
func newProvider(name, kindName, base string) (*Provider, error) {
	k, ok := kinds[kindName]
	if !ok {
		return nil, fmt.Errorf("provider %s: there is no kind %q", name, kindName)
	}
	if base == "" {
		base = k.base
	}
	u, err := parseBase(base)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", name, err)
	}
	if k.api == Google { // the gateway has the version in its address
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, googleVersion), strings.TrimSuffix(u.RawPath, googleVersion)
	}
	p := &Provider{Name: name, Kind: kindName, API: k.api, Base: u, Default: k.model}
	if kindName == config.ProviderCloudflare && lastSegment(u.Path) == string(Anthropic) {
		p.API = Anthropic
	}
	return p, nil
}

// parseBase reads a base URL. It is never shown in an error: it may hold a
// password.
func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its base URL cannot be read; write one such as https://api.example.com/v1")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("its base URL does not begin with https://HOST or http://HOST")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("its base URL has a user, a query or a fragment; the key belongs into key_file or key_env")
	case checkPath(u.EscapedPath()) != "":
		return nil, fmt.Errorf("its base URL has %s in its path", checkPath(u.EscapedPath()))
	}
	return u, nil
}

func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Fields are the header fields that carry keys to the provider, without keys.
func (p *Provider) Fields() []string {
	var list []string
	if p.Key != nil {
		list = append(list, p.keyField())
	}
	if p.GatewayKey != nil {
		list = append(list, fieldGateway)
	}
	return list
}

// keyField is the field that the provider's API reads the key from.
func (p *Provider) keyField() string {
	switch p.API {
	case Anthropic:
		return fieldAPIKey
	case Google:
		return fieldGoogle
	}
	return fieldAuthorization
}

// Native tells whether OpenClaw knows the provider, and what it speaks, by its name.
func (p *Provider) Native() bool {
	return p.Name == p.Kind && p.Kind != config.ProviderCompatible && p.Kind != config.ProviderCloudflare
}

// AtHome tells whether the provider is where providers of its kind are.
func (p *Provider) AtHome() bool { return p.Base.String() == kinds[p.Kind].base }

// KeyVariable is the variable that a gateway which is to hold its keys itself has
// this one in: the customary one where there is one.
func (p *Provider) KeyVariable() string {
	if p.Native() && p.AtHome() {
		return kinds[p.Kind].env[0]
	}
	return "PROVIDER_KEY_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
}

// RevealKey is the key itself, for a gateway that is to hold it; empty: there is none
// to be had.
func (p *Provider) RevealKey() telemetry.Secret {
	if p.Key == nil {
		return ""
	}
	key, _, err := p.Key.get()
	if err != nil {
		return ""
	}
	return key
}
