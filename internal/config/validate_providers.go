package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var providerVariablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// providers checks the providers and their budgets.
func (v *validator) providers() {
	p := &v.cfg.Providers
	if p.Port < 0 || p.Port > 65535 {
		v.refuse("providers.port", "%d is not a port: 1 to 65535, or 0 for a free one", p.Port)
	}
	if p.Port != 0 && p.Port == v.cfg.Gateway.Port {
		v.refusePair("providers.port", "gateway.port", "%d is also the gateway's port", p.Port)
	}
	if p.FirstByte == 0 {
		v.refuse("providers.first_byte", "must be longer than 0: no wait is without an end")
	}
	if p.Model != "" && !strings.Contains(strings.Trim(p.Model, "/"), "/") {
		v.refuse("providers.model", "%q is not provider/model", clip(p.Model))
	}
	seen := map[string]int{}
	for i := range p.List {
		key := fmt.Sprintf("providers.list[%d]", i)
		name := p.List[i].ProviderName()
		if first, twice := seen[name]; twice {
			v.refuse(key+".name", "%q is the name of providers.list[%d] too", clip(name), first)
			continue
		}
		seen[name] = i
		v.provider(key, &p.List[i])
		if j := slices.IndexFunc(p.Leave, func(kind string) bool { return kind == p.List[i].Kind || kind == name }); j >= 0 {
			v.refuse(key, "%q is in providers.leave too: remove it there if creel is to hold the key, or remove this provider if the gateway is", p.Leave[j])
		}
	}
	for i, b := range p.Budgets {
		v.budget(fmt.Sprintf("providers.budgets[%d]", i), b)
	}
}

func (v *validator) provider(key string, p *Provider) {
	if !slices.Contains(ProviderKinds, p.Kind) {
		if p.Kind == "" {
			v.refuse(key+".kind", "is missing; it is one of %s", strings.Join(quoted(ProviderKinds), ", "))
		} else {
			v.refuse(key+".kind", "%q is not one of %s", clip(p.Kind), strings.Join(quoted(ProviderKinds), ", "))
		}
		return
	}
	if !namePattern.MatchString(p.ProviderName()) {
		v.refuse(key+".name", `%q is not a name: 1 to 40 of a-z, 0-9 and "-", not "-" at either end`, clip(p.Name))
	}
	if p.BaseURL == "" && (p.Kind == ProviderCompatible || p.Kind == ProviderCloudflare) {
		v.refuse(key+".base_url", "is missing; a provider of kind %q can be anywhere", p.Kind)
	}
	if problem := checkBaseURL(p.BaseURL); problem != "" {
		v.refuse(key+".base_url", "%s", problem)
	}
	for _, pair := range []struct{ name, file, env string }{{"key", p.KeyFile, p.KeyEnv}, {"gateway_key", p.GatewayKeyFile, p.GatewayKeyEnv}} {
		if pair.file != "" && pair.env != "" {
			v.refuse(key+"."+pair.name+"_file", "give %s_file or %s_env, not both", pair.name, pair.name)
		}
		// A key in the place of the name of its variable is not shown.
		if pair.env != "" && !providerVariablePattern.MatchString(pair.env) {
			v.refuse(key+"."+pair.name+"_env", "is not the name of an environment variable; the key itself does not belong into the configuration")
		}
	}
	if p.Kind != ProviderCloudflare && (p.GatewayKeyFile != "" || p.GatewayKeyEnv != "") {
		v.refuse(key+".gateway_key_file", "is only for kind %q", ProviderCloudflare)
	}
	for i, m := range p.Models {
		if m == "" || strings.ContainsFunc(m, func(r rune) bool { return r <= ' ' || r == 0x7F }) {
			v.refuse(fmt.Sprintf("%s.models[%d]", key, i), "%q is not a model", clip(m))
		}
	}
}

// checkBaseURL says what is wrong with a provider's address, or nothing. What may
// hold a password is not shown.
func checkBaseURL(base string) string {
	if base == "" {
		return ""
	}
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return "is not a URL, such as https://api.example.com/v1"
	case u.User != nil:
		return "must not hold a user or a password; the key belongs into key_file or key_env"
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return fmt.Sprintf("%q does not begin with https://HOST or http://HOST", clip(base))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(base, "#"):
		return `must not have "?" or "#"; the key belongs into key_file or key_env`
	case strings.Contains(u.Path, "//") || strings.Contains(u.Path, "\\") || slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return fmt.Sprintf("%q has an empty segment, \".\" or \"..\" in its path", clip(base))
	}
	return ""
}

func (v *validator) budget(key string, b Budget) {
	if b.Requests < 0 {
		v.refuse(key+".requests", "%d must not be negative", b.Requests)
	}
	if b.Tokens < 0 {
		v.refuse(key+".tokens", "%d must not be negative", b.Tokens)
	}
	if b.Requests == 0 && b.Tokens == 0 {
		v.refuse(key, "limits nothing; give requests, tokens or both")
	}
	if strings.Contains(strings.TrimSuffix(b.Model, "*"), "*") {
		v.refuse(key+".model", `%q has a "*" that is not at its end`, clip(b.Model))
	}
	if b.Provider != "" && !namePattern.MatchString(b.Provider) {
		v.refuse(key+".provider", "%q is not the name of a provider", clip(b.Provider))
	}
}
