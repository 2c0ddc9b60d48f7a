package openclaw

import "creel/internal/openclaw/moltenv"

// TokenPath is the key of the gateway's shared token, for Lock.
const TokenPath = "gateway.auth.token"

// ChannelSettings are what channels that the environment speaks of put into the
// configuration. A channel's object is a person's: keys are added to it, nothing in
// it is replaced that is not creel's, and who may write is a union.
func ChannelSettings(channels []moltenv.Channel) []Setting {
	var list []Setting
	for _, c := range channels {
		at := func(key string) []string { return []string{"channels", c.Name, key} }
		list = append(list, Setting{Path: at("enabled"), Value: true, Mode: Default})
		for _, t := range c.Tokens {
			list = append(list, Setting{Path: at(t.Key), Value: t.Value.Reveal(), Mode: Default})
		}
		if c.Policy != "" {
			list = append(list, Setting{Path: at("dmPolicy"), Value: c.Policy, Mode: Default})
		}
		allow := Setting{Path: at("allowFrom"), Mode: Items}
		if len(c.AllowFrom) > 0 {
			allow.Value, allow.Else = c.AllowFrom, c.AllowFrom
		}
		if c.Policy == moltenv.PolicyOpen {
			// OpenClaw answers everybody only where the list says so too. A person
			// who has closed the channel in the Control UI meant it.
			allow.Value = append([]string{"*"}, c.AllowFrom...)
			allow.If = &Setting{Path: at("dmPolicy"), Value: moltenv.PolicyOpen}
		}
		list = append(list, allow)
	}
	return list
}

// ProviderSettings are what a provider puts into the configuration. baseURL and
// apiKey are the address and the key that the gateway is to know, which need not be
// the real ones.
func ProviderSettings(p moltenv.ProviderSpec, baseURL, apiKey string) []Setting {
	at := func(key string) []string { return []string{"models", "providers", p.Name, key} }
	list := []Setting{
		{Path: at("baseUrl"), Value: baseURL, Mode: Default},
		{Path: at("apiKey"), Value: apiKey, Mode: Default},
	}
	if len(p.Models) > 0 {
		var models []any
		for _, m := range p.Models {
			models = append(models, map[string]any{"id": m.ID, "name": m.Name, "contextWindow": m.ContextWindow, "maxTokens": m.MaxTokens})
		}
		list = append(list, Setting{Path: at("api"), Value: p.API, Mode: Default}, Setting{Path: at("models"), Value: models, Mode: Default})
	}
	return list
}

// ModelSetting is the model that agents use unless they are told otherwise, as
// provider/model.
func ModelSetting(ref string) Setting {
	return Setting{Path: []string{"agents", "defaults", "model", "primary"}, Value: ref, Mode: Default}
}

// PlainProviderSettings are ProviderSettings where the gateway itself has the keys,
// in its environment: the configuration refers to the variables, so that no key is
// written to it. The first provider's model becomes the default.
func PlainProviderSettings(providers []moltenv.ProviderSpec) []Setting {
	var list []Setting
	for i, p := range providers {
		if len(p.Models) > 0 || len(p.From) > 1 { // else OpenClaw finds its key by itself
			list = append(list, ProviderSettings(p, p.BaseURL, "${"+p.From[0]+"}")...)
		}
		if i == 0 {
			list = append(list, ModelSetting(p.Default))
		}
	}
	return list
}
