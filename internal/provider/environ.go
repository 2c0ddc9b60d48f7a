package provider

import (
	"fmt"
	"slices"
	"strings"

	"creel/internal/config"
	"creel/internal/openclaw/moltenv"
)

// Found is what a configuration and an environment say of providers.
type Found struct {
	// Providers in the order in which they are taken for the default model.
	Providers []*Provider
	// Variables are those of the environment that hold keys, or that belong to
	// them: they are creel's, and not for the gateway.
	Variables []string
	// Left are the variables with keys that the gateway has because providers.leave
	// says so.
	Left []string
	// Model is the default model, as provider/model; empty: none is known.
	Model string
	// Problems are for a person: providers that cannot be used, and why.
	Problems []error

	keys []string // variables of keys that providers.leave leaves, whether they are set or not
}

// Without is an environment, NAME=value, without what is creel's.
func (f *Found) Without(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(f.Variables, name)
	})
}

// WithoutIn is the same for variables by name.
func (f *Found) WithoutIn(env map[string]string) map[string]string {
	kept := map[string]string{}
	for name, value := range env {
		if !slices.Contains(f.Variables, name) {
			kept[name] = value
		}
	}
	return kept
}

// customary are the variables that are looked at without being asked for. The
// second group is moltworker's.
var customary = []string{
	"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENROUTER_API_KEY",
	"OPENROUTER_BASE_URL", "CLOUDFLARE_AI_GATEWAY_API_KEY", "CF_AI_GATEWAY_ACCOUNT_ID", "CF_AI_GATEWAY_GATEWAY_ID", "CF_AI_GATEWAY_MODEL",
	"CLOUDFLARE_AI_GATEWAY_ACCOUNT_ID", "CLOUDFLARE_AI_GATEWAY_GATEWAY_ID",
	"AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL",
	"XAI_API_KEY", "TOGETHER_API_KEY", "NVIDIA_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY",
}

// Find makes the providers of a configuration and of an environment, NAME=value, the
// first of a name counting. What variables mean is told by moltenv.Providers. A
// provider of the configuration takes the place of one of the same name. What
// cfg.Leave names is the gateway's: of it there is the default model alone.
func Find(cfg config.Providers, environ []string) *Found {
	f := &finder{environ: map[string]string{}, found: &Found{}, leaving: cfg.Leave}
	for _, kv := range environ {
		name, value, ok := strings.Cut(kv, "=")
		if _, twice := f.environ[name]; ok && !twice {
			f.environ[name] = value
		}
	}
	f.configured(cfg.List)
	specs, err := moltenv.Providers(f.leave(environ))
	if err != nil {
		f.found.Problems = append(f.found.Problems, err)
	}
	for _, spec := range specs {
		f.variables(spec)
	}
	for _, name := range customary {
		if _, ok := f.environ[name]; ok && !slices.Contains(f.left, name) {
			f.take(name)
		}
	}
	slices.Sort(f.found.Variables)
	for name, value := range f.environ {
		if value != "" && f.found.leaves(name) && !slices.Contains(f.found.Variables, name) {
			f.found.Left = append(f.found.Left, name)
		}
	}
	slices.Sort(f.found.Left)
	if f.found.Model = cfg.Model; f.found.Model == "" {
		f.found.Model = f.model()
	}
	return f.found
}

type finder struct {
	environ map[string]string
	found   *Found
	chosen  string      // that CF_AI_GATEWAY_MODEL names
	leaving []string    // cfg.Leave
	left    []string    // the variables of its providers
	order   []*Provider // all, those that are left among them
}

func (f *finder) get(name string) string { return strings.TrimSpace(f.environ[name]) }

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
		f.found.Providers, f.order = append(f.found.Providers, p), append(f.order, p)
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
			for _, env := range kinds[c.Kind].env {
				if p.Key == nil && p.GatewayKey == nil && f.get(env) != "" {
					p.Key = f.variable(env)
				}
			}
			if len(c.Models) > 0 {
				p.Models, p.Default = c.Models, c.Models[0]
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

// variables makes a provider that variables speak of.
func (f *finder) variables(spec moltenv.ProviderSpec) {
	kindName := spec.Name
	if _, known := kinds[kindName]; !known {
		kindName = config.ProviderCloudflare
	}
	var models []string
	for _, m := range spec.Models {
		models = append(models, m.ID)
	}
	p, err := newProvider(spec.Name, kindName, spec.BaseURL)
	if slices.Contains(f.leaving, kindName) {
		if err == nil && !slices.Contains(f.found.Variables, spec.From[0]) {
			f.order = append(f.order, p)
		}
		return
	}
	f.add(p, err, "$"+spec.From[0], func(p *Provider) { p.Key = f.variable(spec.From[0]) })
	if f.chosen == "" && len(models) > 0 {
		f.chosen = spec.Default // a model that was named, or one behind a gateway
	}
	for _, p := range f.found.Providers {
		if p.Name == spec.Name && len(p.Models) == 0 && len(models) > 0 { // that of the configuration, which says where it is, perhaps
			p.Models, p.Default = models, models[0]
		}
	}
}

// model is the default model: that of CF_AI_GATEWAY_MODEL, else that of the first
// provider that has one, whoever holds its key.
func (f *finder) model() string {
	if f.chosen != "" {
		return f.chosen
	}
	for _, p := range f.order {
		if p.Default != "" {
			return p.Name + "/" + p.Default
		}
	}
	return ""
}
