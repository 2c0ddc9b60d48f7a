package provider

import "slices"

// State is how a provider is, for a person; no secret is in it.
type State struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	BaseURL string   `json:"base_url"`
	KeyFrom string   `json:"key_from,omitempty"` // where its key is; empty: it needs none
	Models  []string `json:"models,omitempty"`
	From    string   `json:"from"`              // where it was configured
	Problem string   `json:"problem,omitempty"` // why it cannot be used
}

// Report is all that is known of providers, for people and programs.
type Report struct {
	Proxy     bool         `json:"proxy"`             // requests go through creel
	Model     string       `json:"model,omitempty"`   // the default, as provider/model
	Foreign   bool         `json:"foreign,omitempty"` // the gateway is not OpenClaw: creel keeps no keys for it, and it has those of creel's environment
	Providers []State      `json:"providers"`
	Left      []string     `json:"left,omitempty"`     // variables with keys that providers.leave leaves to the gateway: what runs there can read them
	Problems  []string     `json:"problems,omitempty"` // what was found and cannot be used
	Budgets   []Spending   `json:"budgets,omitempty"`
	Usage     []ModelUsage `json:"usage,omitempty"` // newest day first
}

// States lists the providers.
func States(list []*Provider) []State {
	states := make([]State, len(list))
	for i, p := range list {
		s := State{Name: p.Name, Kind: p.Kind, BaseURL: p.Base.String(), Models: slices.Clone(p.Models), From: p.From}
		for _, k := range []*Key{p.Key, p.GatewayKey} {
			if k == nil {
				continue
			}
			if s.KeyFrom != "" {
				s.KeyFrom += ", "
			}
			s.KeyFrom += k.From()
			if err := k.Check(); err != nil {
				s.Problem = err.Error()
			}
		}
		states[i] = s
	}
	return states
}

// Providers lists the proxy's providers.
func (p *Proxy) Providers() []State { return States(p.opts.Providers) }

// Usage lists what was counted, newest day first.
func (p *Proxy) Usage() []ModelUsage { return p.opts.Ledger.Usage() }

// Budgets tells what was used of the budgets today.
func (p *Proxy) Budgets() []Spending { return p.opts.Ledger.Spending(*p.budgets.Load()) }
