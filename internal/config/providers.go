package config

import "time"

// Whether requests to model providers go through creel.
const (
	ProvidersProxyOn  = "on"
	ProvidersProxyOff = "off"
)

// Kinds of model providers.
const (
	ProviderAnthropic  = "anthropic"
	ProviderOpenAI     = "openai"
	ProviderOpenRouter = "openrouter"
	ProviderXAI        = "xai"
	ProviderTogether   = "together"
	ProviderNVIDIA     = "nvidia"
	ProviderGoogle     = "google"
	ProviderCloudflare = "cloudflare-ai-gateway"
	ProviderCompatible = "openai-compatible"
	ProviderOllama     = "ollama"
)

// ProviderKinds lists the kinds of providers.
var ProviderKinds = []string{ProviderAnthropic, ProviderOpenAI, ProviderOpenRouter, ProviderXAI, ProviderTogether, ProviderNVIDIA, ProviderGoogle, ProviderCloudflare, ProviderCompatible, ProviderOllama}

// Providers says which model providers the gateway uses (with the preset
// openclaw), and keeps their keys out of its reach: see docs/providers.md. Keys
// that creel finds in its environment need no entry here.
type Providers struct {
	// Proxy says whether the gateway's requests to model providers go through creel, which adds the keys to them: "on"; or "off": the gateway is given the keys, and whatever runs in it can read them.
	Proxy string `yaml:"proxy" json:"proxy" enum:"on,off" needs:"creel upgrade"`
	// Port is the TCP port on 127.0.0.1 at which creel takes these requests; 0: creel chooses a free one and keeps it.
	Port int `yaml:"port" json:"port" needs:"creel upgrade"`
	// Model is the model that the gateway uses unless told otherwise there, as provider/model; empty: the first provider's.
	Model string `yaml:"model" json:"model" needs:"creel upgrade"`
	// FirstByte is the longest that a provider may take from the last byte of a request to the first of its answer. What it takes from there on is not bounded.
	FirstByte time.Duration `yaml:"first_byte" json:"first_byte" needs:"creel upgrade"`
	// Leave are kinds of providers whose keys, where creel's environment has them, it leaves to the gateway with all of their variables: whatever runs in the gateway can read these keys. As a variable: google,nvidia.
	Leave []string `yaml:"leave" json:"leave" enum:"anthropic,openai,openrouter,xai,together,nvidia,google,cloudflare-ai-gateway,ollama" needs:"creel upgrade"`
	// List are the providers, beside those whose keys are in the environment; of the same name, the one here counts.
	List []Provider `yaml:"list" json:"list" needs:"creel upgrade"`
	// Budgets are limits for each day, from midnight to midnight in the time zone of creel's process. What is over one is refused.
	Budgets []Budget `yaml:"budgets" json:"budgets" needs:"live"`
}

// Provider is one model provider.
type Provider struct {
	// Name is what the gateway calls it, as in name/model: a-z, 0-9 and inner "-", at most 40 characters. Empty: its kind.
	Name string `yaml:"name" json:"name" optional:"true"`
	// Kind says how to talk to it: "anthropic", "openai", "openrouter", "xai", "together", "nvidia", "google" (the Gemini API), "cloudflare-ai-gateway", "openai-compatible" (anything else that speaks OpenAI's API) or "ollama".
	Kind string `yaml:"kind" json:"kind" enum:"anthropic,openai,openrouter,xai,together,nvidia,google,cloudflare-ai-gateway,openai-compatible,ollama"`
	// BaseURL is where it is; empty: where providers of that kind are. Of kind cloudflare-ai-gateway it is https://gateway.ai.cloudflare.com/v1/ACCOUNT/GATEWAY/PROVIDER, with "/v1" behind it for workers-ai.
	BaseURL string `yaml:"base_url" json:"base_url" optional:"true"`
	// KeyFile is a file that holds the key and nothing else. It is read again when it changes.
	KeyFile string `yaml:"key_file" json:"key_file" kind:"path" optional:"true"`
	// KeyEnv is the variable of creel's environment that holds the key. The gateway does not get it.
	KeyEnv string `yaml:"key_env" json:"key_env" optional:"true"`
	// GatewayKeyFile is a file with the token of an authenticated Cloudflare AI Gateway (cf-aig-authorization), which is beside the key or in its place.
	GatewayKeyFile string `yaml:"gateway_key_file" json:"gateway_key_file" kind:"path" optional:"true"`
	// GatewayKeyEnv is the variable that holds that token.
	GatewayKeyEnv string `yaml:"gateway_key_env" json:"gateway_key_env" optional:"true"`
	// Models are the models that the gateway is told of, for providers whose models it does not know by itself: kinds openai-compatible and cloudflare-ai-gateway.
	Models []string `yaml:"models" json:"models" optional:"true"`
}

// Budget is a limit for each day.
type Budget struct {
	// Provider is the name of the provider that it is for; empty: all of them together.
	Provider string `yaml:"provider" json:"provider" optional:"true"`
	// Model is the model that it is for, as requests name it, with a "*" at its end all models whose names begin like that ("gpt-6*"); empty: all of them together.
	Model string `yaml:"model" json:"model" optional:"true"`
	// Requests is how many requests may be made in a day; 0: no limit.
	Requests int64 `yaml:"requests" json:"requests" optional:"true"`
	// Tokens is how many tokens, read and written, may be used in a day; 0: no limit. A request that is under way when the limit is reached goes on.
	Tokens int64 `yaml:"tokens" json:"tokens" optional:"true"`
}

// ProviderName is the provider's name.
func (p Provider) ProviderName() string {
	if p.Name == "" {
		return p.Kind
	}
	return p.Name
}
