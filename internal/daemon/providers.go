package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"creel/internal/config"
	"creel/internal/handover"
	"creel/internal/openclaw"
	"creel/internal/provider"
)

// fileProviders is the listener for the gateway's requests to model providers, in a
// hand-over.
const fileProviders = "providers"

// providers are the gateway's model providers: the proxy that holds their keys, or,
// where that is off, what the gateway is told. Like the front it outlives an
// engine: answers that are on their way go on while another creel takes over.
type providers struct {
	found  *provider.Found
	other  bool            // the gateway is not OpenClaw
	proxy  *provider.Proxy // nil: it is off, or there are no providers
	server *provider.Server
	place  *provider.Place
	ledger *provider.Ledger
}

func providersDir(dataDir string) string { return filepath.Join(privateDir(dataDir), "providers") }

// placePath is where a provider.Place is kept.
func placePath(dataDir string) string { return filepath.Join(providersDir(dataDir), "place.json") }

// newProviders finds the providers and makes their proxy.
func (d *daemon) newProviders() (_ *providers, err error) {
	inherited, err := d.inheritedProviders()
	if err != nil {
		return nil, err
	}
	defer func() {
		if inherited != nil && err != nil {
			err = errors.Join(err, inherited.Close())
		}
	}()
	cfg := d.cfg()
	p := &providers{found: &provider.Found{}, other: cfg.Gateway.Preset != config.PresetOpenClaw}
	if cfg.Gateway.Preset == config.PresetOpenClaw { // any other gateway is told nothing
		environ, err := d.providerEnviron()
		if err != nil {
			return nil, err
		}
		p.found = provider.Find(cfg.Providers, environ)
	}
	for _, problem := range p.found.Problems {
		d.log.Error("a model provider cannot be used", "error", problem)
	}
	if len(p.found.Providers) == 0 || cfg.Providers.Proxy == config.ProvidersProxyOff {
		if inherited != nil {
			err = inherited.Close()
			inherited = nil
		}
		return p, err
	}
	// Before the gateway can look.
	if err := provider.Seclude(p.found.Variables); err != nil {
		d.log.Warn("what runs as the same user may be able to read keys in creel's process", "error", err)
	}
	dir := providersDir(cfg.DataDir)
	if p.place, err = provider.OpenPlace(placePath(cfg.DataDir)); err != nil {
		return nil, err
	}
	if p.place.Lost != nil {
		d.log.Error("where the gateway finds its model providers was lost; a gateway that runs has to be restarted (`creel restart`)", "error", p.place.Lost)
	}
	listener := inherited
	if listener != nil {
		err = p.place.Took(listener)
	} else {
		var moved int
		listener, moved, err = p.place.Listen(cfg.Providers.Port)
		if moved != 0 {
			d.log.Error("another program listens where the gateway finds its model providers; a gateway that runs has to be restarted", "port", moved, "now", p.place.Port)
		}
	}
	if err != nil {
		return nil, err
	}
	if p.ledger, err = provider.OpenLedger(provider.LedgerOptions{Path: filepath.Join(dir, "usage.jsonl"), Now: time.Now, Logger: d.log}); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p.proxy = provider.New(provider.Options{
		Gateway: cfg.Gateway.Name, Providers: p.found.Providers, Budgets: budgetsOf(cfg), Credential: p.place.Credential, Ledger: p.ledger,
		FirstByte: cfg.Providers.FirstByte, Journal: &d.journal, Logger: d.log,
	})
	p.server = provider.NewServer(listener, p.proxy, d.log)
	return p, d.metrics.Register(p.proxy.Collectors()...)
}

// inheritedProviders is the predecessor's listener; nil: it has handed over none.
func (d *daemon) inheritedProviders() (net.Listener, error) {
	if d.opts.Predecessor == nil {
		return nil, nil
	}
	file := d.opts.Predecessor.File(fileProviders)
	if file == nil {
		return nil, nil
	}
	l, err := net.FileListener(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("cannot take over the listener for model providers: %w", err)
	}
	return l, nil
}

// providerEnviron are the variables that speak of providers: what the configuration
// gives the gateway, else creel's environment, else the file of
// gateway.openclaw.dev_vars as it is when creel starts.
func (d *daemon) providerEnviron() ([]string, error) {
	g := &d.cfg().Gateway
	return openclaw.WithDevVars(append(listOf(g.Env), d.opts.Environ...), g.OpenClaw.DevVars)
}

func budgetsOf(cfg *config.Config) []provider.Budget {
	list := make([]provider.Budget, len(cfg.Providers.Budgets))
	for i, b := range cfg.Providers.Budgets {
		list[i] = provider.Budget{Provider: b.Provider, Model: b.Model, Requests: b.Requests, Tokens: b.Tokens}
	}
	return list
}

// configure takes over what may change at any time.
func (p *providers) configure(cfg *config.Config) {
	if p.proxy != nil {
		p.proxy.SetBudgets(budgetsOf(cfg))
	}
}

// serve serves the gateway's requests until the end; stop is called if it cannot go
// on.
func (p *providers) serve(stop func(error)) {
	if p.server == nil {
		return
	}
	if err := p.server.Serve(); err != nil {
		stop(err)
	}
}

// files are what a successor needs.
func (p *providers) files() []handover.File {
	if p.server == nil {
		return nil
	}
	if socket, ok := p.server.Listener().(syscall.Conn); ok {
		return []handover.File{{Name: fileProviders, File: socket}}
	}
	return nil
}

// refuse takes no more connections; those that there are, are served until end.
func (p *providers) refuse() error {
	if p == nil || p.server == nil {
		return nil
	}
	return p.server.Refuse()
}

// end takes no more requests, and cuts answers that are still under way when ctx
// ends.
func (p *providers) end(ctx context.Context) error {
	if p == nil || p.server == nil {
		return nil
	}
	err := p.server.Shutdown(ctx)
	p.proxy.Close()
	p.ledger.Close()
	return err
}

// endProviders ends what is left of calls when the gateway has stopped.
func (d *daemon) endProviders() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return d.providers.end(ctx)
}

// gatewayEnviron is creel's environment as far as it is the gateway's, and npm's.
func (d *daemon) gatewayEnviron() []string {
	p := d.providers
	if p.proxy == nil {
		return append(slices.Clone(d.opts.Environ), p.keyVariables()...)
	}
	return p.without(d.opts.Environ)
}

// without is an environment without what is creel's.
func (p *providers) without(environ []string) []string {
	if p.proxy == nil {
		return environ
	}
	return p.found.Without(environ)
}

// withoutKeys takes from what the configuration gives the gateway what is creel's.
func (p *providers) withoutKeys(g config.Gateway) map[string]string {
	if p.proxy == nil {
		return g.Env
	}
	return p.found.WithoutIn(g.Env)
}

// reaching are variables that give the gateway keys which nobody keeps from it, though
// keys are to be kept from it.
func (p *providers) reaching(environ []string) []string {
	if p.proxy == nil && len(p.found.Providers) > 0 {
		return nil // the proxy is off: somebody wants it so
	}
	return p.found.Reaching(environ)
}

// keyVariables give a gateway the keys of its providers, where it is to hold them.
// What is in creel's environment already has its name there.
func (p *providers) keyVariables() []string {
	var list []string
	for _, one := range p.found.Providers {
		if key := one.RevealKey(); key != "" {
			list = append(list, one.KeyVariable()+"="+key.Reveal())
		}
	}
	return list
}

// apis are OpenClaw's words for what a provider speaks that it does not know itself.
var apis = map[provider.API]string{provider.OpenAI: "openai-completions", provider.Anthropic: "anthropic-messages", provider.Ollama: "ollama", provider.Google: "google-generative-ai"}

// settings are what the gateway is told of its providers.
func (p *providers) settings() []openclaw.Setting {
	var list []openclaw.ModelProvider
	for _, one := range p.found.Providers {
		m := openclaw.ModelProvider{Name: one.Name, BaseURL: one.Base.String() + one.Version(), Models: one.Models}
		// Of Ollama and of Google at an address that it does not know OpenClaw takes for
		// granted that they speak OpenAI's API there.
		if !one.Native() || one.API == provider.Ollama || one.API == provider.Google {
			m.API = apis[one.API]
		}
		switch {
		case p.proxy != nil:
			m.BaseURL, m.APIKey = p.place.URL(one.Name)+one.Version(), p.place.Credential.Reveal()
		case one.Native() && one.AtHome():
			continue // OpenClaw finds the key in its environment by itself
		case one.RevealKey() != "":
			m.APIKey = "${" + one.KeyVariable() + "}"
		}
		list = append(list, m)
	}
	return openclaw.ModelSettings(list, p.found.Model)
}

// missed says what OpenClaw cannot do any more when creel has put these keys into its
// configuration: that it holds a provider's key now. Empty: nothing that was not so before.
func (p *providers) missed(changes []openclaw.ConfigChange) string {
	if p.proxy == nil {
		return ""
	}
	for _, one := range p.found.Providers {
		told := "models.providers." + one.Name + ".baseUrl"
		added := slices.ContainsFunc(changes, func(c openclaw.ConfigChange) bool { return c.Key == told && c.Before == "" })
		if missed := provider.Missed(one.Kind, one.Name); missed != "" && added {
			return missed
		}
	}
	return ""
}

// report is what creel's own API shows.
func (p *providers) report() provider.Report {
	r := provider.Report{Proxy: p.proxy != nil, Foreign: p.other, Providers: provider.States(p.found.Providers), Left: p.found.Left, Model: p.found.Model}
	for _, problem := range p.found.Problems {
		r.Problems = append(r.Problems, problem.Error())
	}
	if p.proxy != nil {
		r.Usage, r.Budgets = p.proxy.Usage(), p.proxy.Budgets()
	}
	return r
}
