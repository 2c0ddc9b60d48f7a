package provider

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"creel/internal/config"
)

// Found is what a configuration and an environment say of providers.
type Found struct {
	// Providers in the order in which they are taken for the default model.
	Providers []*Provider
	// Variables are those of the environment that hold keys, or that belong to
	// them: they are creel's, and not for the gateway.
	Variables []string
	// Model is the default model, as provider/model; empty: none is known.
	Model string
	// Problems are for a person: providers that cannot be used, and why.
	Problems []error
}

// cloudflareHost is where Cloudflare's AI gateways are.
const cloudflareHost = "https://gateway.ai.cloudflare.com/v1"

// cloudflareModel is what OpenClaw's documentation names for Cloudflare's gateway.
const cloudflareModel = "claude-sonnet-4-6"

// customary are the variables that are looked at without being asked for. The
// second group is moltworker's.
var customary = []string{
	"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENROUTER_API_KEY",
	"OPENROUTER_BASE_URL", "CLOUDFLARE_AI_GATEWAY_API_KEY", "CF_AI_GATEWAY_ACCOUNT_ID", "CF_AI_GATEWAY_GATEWAY_ID", "CF_AI_GATEWAY_MODEL",
	"CLOUDFLARE_AI_GATEWAY_ACCOUNT_ID", "CLOUDFLARE_AI_GATEWAY_GATEWAY_ID",
	"AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL",
}

// Find makes the providers of a configuration and of an environment, the latter
// with the meaning that moltworker gave its variables:
//
//	CLOUDFLARE_AI_GATEWAY_API_KEY,           cf-ai-gw-PROVIDER, of CF_AI_GATEWAY_MODEL = PROVIDER/MODEL,
//	CF_AI_GATEWAY_ACCOUNT_ID, …_GATEWAY_ID   and the default model; without a model: cloudflare-ai-gateway, for Anthropic's
//	AI_GATEWAY_API_KEY, AI_GATEWAY_BASE_URL  anthropic, in the place of the next two
//	ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL    anthropic
//	OPENAI_API_KEY, OPENAI_BASE_URL          openai
//	OPENROUTER_API_KEY, OPENROUTER_BASE_URL  openrouter
//
// A provider of the configuration takes the place of one of the same name.
func Find(cfg config.Providers, lookup func(name string) (string, bool)) *Found {
	f := &finder{lookup: lookup, found: &Found{}}
	f.configured(cfg.List)
	f.cloudflare()
	f.anthropic()
	f.customary(config.ProviderOpenAI, f.get("OPENAI_BASE_URL"))
	f.customary(config.ProviderOpenRouter, f.get("OPENROUTER_BASE_URL"))
	for _, name := range customary {
		if _, ok := lookup(name); ok {
			f.take(name)
		}
	}
	slices.Sort(f.found.Variables)
	if f.found.Model = cfg.Model; f.found.Model == "" {
		f.found.Model = f.model()
	}
	return f.found
}

type finder struct {
	lookup func(string) (string, bool)
	found  *Found
	chosen string // that CF_AI_GATEWAY_MODEL names
}

func (f *finder) get(name string) string {
	v, _ := f.lookup(name)
	return strings.TrimSpace(v)
}

// take notes that a variable is creel's.
func (f *finder) take(name string) {
	if !slices.Contains(f.found.Variables, name) {
		f.found.Variables = append(f.found.Variables, name)
	}
}

func (f *finder) has(name string) bool {
	return slices.ContainsFunc(f.found.Providers, func(p *Provider) bool { return p.Name == name })
}

// add adds a provider unless there is one of that name.
func (f *finder) add(p *Provider, err error, from string, finish func(*Provider)) {
	switch {
	case err != nil:
		f.found.Problems = append(f.found.Problems, fmt.Errorf("%w (from %s)", err, from))
	case f.has(p.Name):
	default:
		p.From = from
		if finish != nil {
			finish(p)
		}
		f.found.Providers = append(f.found.Providers, p)
		for _, k := range []*Key{p.Key, p.GatewayKey} {
			if k == nil {
				continue
			}
			if err := k.Check(); err != nil {
				f.found.Problems = append(f.found.Problems, fmt.Errorf("provider %s: %w", p.Name, err))
			}
		}
	}
}

// configured makes those of providers.list.
func (f *finder) configured(list []config.Provider) {
	for _, c := range list {
		p, err := newProvider(c.ProviderName(), c.Kind, c.BaseURL)
		f.add(p, err, "the configuration", func(p *Provider) {
			p.Key, p.GatewayKey = f.key(c.KeyFile, c.KeyEnv), f.key(c.GatewayKeyFile, c.GatewayKeyEnv)
			if env := kinds[c.Kind].env; p.Key == nil && p.GatewayKey == nil && f.get(env) != "" {
				p.Key = f.variable(env)
			}
			if p.Models = c.Models; len(p.Models) > 0 {
				p.Default = p.Models[0]
			}
		})
	}
}

// key is where a configuration says that it is; nil: it says nothing.
func (f *finder) key(file, env string) *Key {
	switch {
	case file != "":
		return keyFromFile(file)
	case env != "":
		return f.variable(env)
	}
	return nil
}

// variable is a key in the environment.
func (f *finder) variable(name string) *Key {
	f.take(name)
	return keyFromVariable(name, f.get(name))
}

// customary makes a provider whose key is in the customary variable.
func (f *finder) customary(kindName, base string) {
	env := kinds[kindName].env
	if f.get(env) == "" {
		return
	}
	p, err := newProvider(kindName, kindName, base)
	f.add(p, err, "$"+env, func(p *Provider) { p.Key = f.variable(env) })
}

// anthropic makes that of AI_GATEWAY_… or of ANTHROPIC_….
func (f *finder) anthropic() {
	if f.get("AI_GATEWAY_API_KEY") == "" || f.get("AI_GATEWAY_BASE_URL") == "" {
		f.customary(config.ProviderAnthropic, f.get("ANTHROPIC_BASE_URL"))
		return
	}
	base := strings.TrimRight(f.get("AI_GATEWAY_BASE_URL"), "/")
	name := config.ProviderAnthropic
	if lastSegment(base) == config.ProviderOpenAI { // where nothing speaks Anthropic's API
		f.customary(config.ProviderAnthropic, f.get("ANTHROPIC_BASE_URL"))
		name = config.ProviderOpenAI
	}
	p, err := newProvider(name, name, base)
	f.add(p, err, "$AI_GATEWAY_API_KEY", func(p *Provider) { p.Key = f.variable("AI_GATEWAY_API_KEY") })
}

// cloudflare makes that of CLOUDFLARE_AI_GATEWAY_API_KEY, and of
// CF_AI_GATEWAY_MODEL.
func (f *finder) cloudflare() {
	const keyName = "CLOUDFLARE_AI_GATEWAY_API_KEY"
	account := cmp.Or(f.get("CF_AI_GATEWAY_ACCOUNT_ID"), f.get("CLOUDFLARE_AI_GATEWAY_ACCOUNT_ID"))
	gateway := cmp.Or(f.get("CF_AI_GATEWAY_GATEWAY_ID"), f.get("CLOUDFLARE_AI_GATEWAY_GATEWAY_ID"))
	model := f.get("CF_AI_GATEWAY_MODEL")
	if f.get(keyName) == "" || account == "" || gateway == "" {
		if f.get(keyName) != "" || model != "" {
			f.found.Problems = append(f.found.Problems, fmt.Errorf("the Cloudflare AI Gateway is not used: it takes %s, CF_AI_GATEWAY_ACCOUNT_ID and CF_AI_GATEWAY_GATEWAY_ID", keyName))
		}
		return
	}
	id := config.ProviderCloudflare
	upstream, name, ok := strings.Cut(model, "/")
	switch {
	case model == "":
		upstream, name = string(Anthropic), cloudflareModel
	case !ok || upstream == "" || name == "" || url.PathEscape(upstream) != upstream:
		f.found.Problems = append(f.found.Problems, fmt.Errorf("CF_AI_GATEWAY_MODEL is not provider/model, such as workers-ai/@cf/openai/gpt-oss-120b"))
		return
	default:
		id = "cf-ai-gw-" + upstream
	}
	base := cloudflareHost + "/" + url.PathEscape(account) + "/" + url.PathEscape(gateway) + "/" + upstream
	if upstream == "workers-ai" {
		base += "/v1" // where it speaks OpenAI's API
	}
	p, err := newProvider(id, config.ProviderCloudflare, base)
	f.add(p, err, "$"+keyName, func(p *Provider) { p.Key = f.variable(keyName) })
	f.chosen = id + "/" + name
	for _, p := range f.found.Providers {
		if p.Name == id && len(p.Models) == 0 { // that of the configuration, which says where it is, perhaps
			p.Models, p.Default = []string{name}, name
		}
	}
}

// model is the default model: that of CF_AI_GATEWAY_MODEL, else that of the first
// provider that has one.
func (f *finder) model() string {
	if f.chosen != "" {
		return f.chosen
	}
	for _, p := range f.found.Providers {
		if p.Default != "" {
			return p.Name + "/" + p.Default
		}
	}
	return ""
}
