package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// auth checks auth.
func (v *validator) auth() {
	a := &v.cfg.Auth
	if a.Mode == AuthNone && !IsLoopback(v.cfg.Listen) {
		v.refusePair("auth.mode", "listen", "%s", NoAuthRefusal(v.cfg.Listen))
	}
	if methods := a.Methods(); a.Mode == AuthNone && len(methods) > 0 {
		v.refusePair("auth.mode", "auth."+methods[0], `"none" asks nobody, and auth.%s is set up to; remove one of them`, methods[0])
	}
	if a.Session.Life > 0 && a.Session.Idle > a.Session.Life {
		v.refusePair("auth.session.idle", "auth.session.life", "%s is longer than auth.session.life (%s)", formatDuration(a.Session.Idle), formatDuration(a.Session.Life))
	}
	for i, host := range a.Hosts {
		if !isHostName(host) {
			v.refuse(fmt.Sprintf("auth.hosts[%d]", i), "%q is not the name of a host, without a port", clip(host))
		}
	}
	for i, origin := range a.Origins {
		if !isOrigin(origin) {
			v.refuse(fmt.Sprintf("auth.origins[%d]", i), "%q is not an origin, such as https://example.org or http://localhost:3000", clip(origin))
		}
	}
	if a.Passkeys.Host != "" && !isHostName(a.Passkeys.Host) {
		v.refuse("auth.passkeys.host", "%q is not the name of a host, without a port", clip(a.Passkeys.Host))
	}
	v.oidc(&a.OIDC)
	v.access(&a.Access)
	v.header(&a.Header)
}

func isHostName(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && hostPattern.MatchString(host)
}

func isOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && origin == u.Scheme+"://"+u.Host
}

func (v *validator) oidc(o *AuthOIDC) {
	if o.Issuer == "" {
		for key, set := range map[string]bool{"client_id": o.ClientID != "", "client_secret_file": o.ClientSecretFile != ""} {
			if set {
				v.refuse("auth.oidc."+key, "needs auth.oidc.issuer, too")
			}
		}
		return
	}
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && IsLoopback(withPort(u.Host))) {
		v.refuse("auth.oidc.issuer", "%q is not an https:// address", clip(o.Issuer))
	}
	if o.URL != "" && !isOrigin(strings.TrimSuffix(o.URL, "/")) {
		v.refuse("auth.oidc.url", "%q is not an address without a path, such as https://creel.example.org", clip(o.URL))
	}
	if o.ClientID == "" {
		v.refuse("auth.oidc.client_id", "is missing")
	}
	if len(o.Emails)+len(o.Domains)+len(o.Groups)+len(o.Readers) == 0 {
		v.refuse("auth.oidc.emails", "nobody could sign in: name emails, domains, groups or readers")
	}
}

func withPort(host string) string {
	if strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') {
		return host
	}
	return host + ":80"
}

func (v *validator) access(a *AuthAccess) {
	if a.TeamDomain == "" {
		if len(a.AUD) > 0 {
			v.refuse("auth.access.aud", "needs auth.access.team_domain, too")
		}
		return
	}
	if domain := a.Domain(); !hostPattern.MatchString(domain) {
		v.refuse("auth.access.team_domain", "%q is not a domain such as example.cloudflareaccess.com", clip(a.TeamDomain))
	}
	if len(a.AUD) == 0 {
		v.refuse("auth.access.aud", "is missing: without it every application of the team could sign people in here")
	}
}

// Domain is TeamDomain as a host name, whichever way it was written.
func (a *AuthAccess) Domain() string {
	d := strings.ToLower(strings.TrimSpace(a.TeamDomain))
	if _, rest, found := strings.Cut(d, "://"); found {
		d = rest
	}
	d, _, _ = strings.Cut(d, "/")
	d = strings.TrimSuffix(d, ".")
	if d != "" && !strings.Contains(d, ".") {
		d += ".cloudflareaccess.com"
	}
	return d
}

func (v *validator) header(h *AuthHeader) {
	if h.Name == "" {
		if len(h.From) > 0 {
			v.refuse("auth.header.from", "needs auth.header.name, too")
		}
		return
	}
	if !headerPattern.MatchString(h.Name) {
		v.refuse("auth.header.name", "%q is not the name of a header", clip(h.Name))
	}
	if len(h.From) == 0 {
		v.refuse("auth.header.from", "is missing: anyone could send that header")
	}
	for i, from := range h.From {
		if problem := checkNetwork(from); problem != "" {
			v.refuse(fmt.Sprintf("auth.header.from[%d]", i), "%s", problem)
		}
	}
}
