package config

import (
	"net"
	"net/netip"
	"strings"
	"time"
)

// How people sign in to creel.
const (
	AuthAuto = "auto" // AuthNone for `creel run` on loopback without any other method, else AuthLink
	AuthLink = "link" // links that `creel login` prints
	AuthNone = "none" // nobody is asked
)

// Defaults of auth, each with its reason.
const (
	// DefaultAuth asks wherever somebody else could be asking, and keeps a server
	// that one tries out on one's own machine as open as it would be without creel.
	DefaultAuth = AuthAuto

	// DefaultSessionIdle spares people who look in every few days a new link, and
	// ends what was forgotten on a borrowed machine within two weeks.
	DefaultSessionIdle = 14 * 24 * time.Hour

	// DefaultSessionLife ends every session some day, so that a cookie that was
	// stolen is not good for ever.
	DefaultSessionLife = 90 * 24 * time.Hour
)

// Auth is who may come in. Methods beside links are added by setting them up.
type Auth struct {
	// Mode says how people show who they are: "link" (a link that `creel login` prints, and the methods that are set up below), "none" (nobody is asked; on loopback alone) or "auto" ("none" for `creel run` that listens on loopback and has no other method, else "link").
	Mode string `yaml:"mode" json:"mode" enum:"auto,link,none" needs:"creel upgrade"`
	// Hosts are the names, without a port, under which browsers reach this creel, beside localhost, IP addresses and the host in listen.
	Hosts []string `yaml:"hosts" json:"hosts" needs:"creel upgrade"`
	// Origins are web sites, as https://host:port, whose pages may use this creel with the session of the person in front of them, beside creel's own.
	Origins []string `yaml:"origins" json:"origins" needs:"creel upgrade"`
	// GatewayToken says whether a request to the gateway that carries the gateway's own token as Authorization: Bearer passes without a session: "on" or "off". It is for programs that know the gateway and not creel.
	GatewayToken string `yaml:"gateway_token" json:"gateway_token" enum:"off,on" needs:"creel upgrade"`
	// Session says how long a person stays signed in.
	Session AuthSession `yaml:"session" json:"session"`
	// Password lets the owner sign in with a password.
	Password AuthPassword `yaml:"password" json:"password"`
	// Passkeys lets owners sign in with passkeys that they have registered.
	Passkeys AuthPasskeys `yaml:"passkeys" json:"passkeys"`
	// OIDC lets people sign in with an OpenID Connect provider.
	OIDC AuthOIDC `yaml:"oidc" json:"oidc"`
	// Access lets people and programs in that Cloudflare Access has let through.
	Access AuthAccess `yaml:"access" json:"access"`
	// Header believes a reverse proxy that says who a person is.
	Header AuthHeader `yaml:"header" json:"header"`
}

// AuthSession is how long a person stays signed in.
type AuthSession struct {
	// Idle is how long a session may go unused.
	Idle time.Duration `yaml:"idle" json:"idle" needs:"creel upgrade"`
	// Life is how long a session lasts at most, however much it is used.
	Life time.Duration `yaml:"life" json:"life" needs:"creel upgrade"`
}

// AuthPassword is the owner's password.
type AuthPassword struct {
	// File is a file with the line that `creel auth hash-password` prints: the password's hash (argon2id, RFC 9106). Empty: no password.
	File string `yaml:"file" json:"file" kind:"path" needs:"creel upgrade"`
}

// AuthPasskeys is signing in with passkeys (W3C Web Authentication).
type AuthPasskeys struct {
	// Host is the host name that passkeys are bound to, which browsers must reach creel by, over https or as localhost. Empty: no passkeys.
	Host string `yaml:"host" json:"host" needs:"creel upgrade"`
}

// AuthOIDC is an OpenID Connect provider. Of emails, domains and groups one that
// fits is enough; the provider must have verified the e-mail address.
type AuthOIDC struct {
	// Issuer is the provider's issuer URL. Empty: no provider.
	Issuer string `yaml:"issuer" json:"issuer" needs:"creel upgrade"`
	// ClientID is the id that the provider knows this creel by.
	ClientID string `yaml:"client_id" json:"client_id" needs:"creel upgrade"`
	// ClientSecretFile is a file with the secret that goes with it. Only its owner may be able to read it.
	ClientSecretFile string `yaml:"client_secret_file" json:"client_secret_file" kind:"path" needs:"creel upgrade"`
	// URL is creel's own address as browsers see it, such as https://creel.example.org; the provider sends them back to it. Empty: as the browser asks.
	URL string `yaml:"url" json:"url" needs:"creel upgrade"`
	// Scopes are asked for beside openid.
	Scopes []string `yaml:"scopes" json:"scopes" needs:"creel upgrade"`
	// Emails are the e-mail addresses of owners.
	Emails []string `yaml:"emails" json:"emails" needs:"creel upgrade"`
	// Domains are what the e-mail addresses of owners end with, without the @.
	Domains []string `yaml:"domains" json:"domains" needs:"creel upgrade"`
	// Groups are groups of owners, as the claim in groups_claim names them.
	Groups []string `yaml:"groups" json:"groups" needs:"creel upgrade"`
	// GroupsClaim is the claim that holds the groups of a person.
	GroupsClaim string `yaml:"groups_claim" json:"groups_claim" needs:"creel upgrade"`
	// Readers are e-mail addresses, domains as @example.org, and groups of people who may look and change nothing.
	Readers []string `yaml:"readers" json:"readers" needs:"creel upgrade"`
}

// AuthAccess is Cloudflare Access.
type AuthAccess struct {
	// TeamDomain is the team's domain, such as example.cloudflareaccess.com, or its name alone. Empty: no Access.
	TeamDomain string `yaml:"team_domain" json:"team_domain" needs:"creel upgrade"`
	// AUD is the Application Audience tag, or several of them.
	AUD []string `yaml:"aud" json:"aud" needs:"creel upgrade"`
	// Readers are e-mail addresses, domains as @example.org, and client ids of service tokens that may look and change nothing; all others that Access lets through are owners.
	Readers []string `yaml:"readers" json:"readers" needs:"creel upgrade"`
}

// AuthHeader is a reverse proxy that has people sign in.
type AuthHeader struct {
	// Name is the header that names the person, such as X-Forwarded-User. Empty: none is believed.
	Name string `yaml:"name" json:"name" needs:"creel upgrade"`
	// From lists the addresses (CIDR or single) of the reverse proxies that are believed.
	From []string `yaml:"from" json:"from" needs:"creel upgrade"`
	// Owners are the names that are owners. Empty: all but the readers.
	Owners []string `yaml:"owners" json:"owners" needs:"creel upgrade"`
	// Readers are the names that may look and change nothing.
	Readers []string `yaml:"readers" json:"readers" needs:"creel upgrade"`
}

func defaultAuth() Auth {
	return Auth{
		Mode: DefaultAuth, GatewayToken: "off",
		Session: AuthSession{Idle: DefaultSessionIdle, Life: DefaultSessionLife},
		OIDC:    AuthOIDC{Scopes: []string{"email", "profile"}, GroupsClaim: "groups"},
	}
}

// Methods lists the ways to sign in that are set up beside links, by their keys.
func (a *Auth) Methods() []string {
	var list []string
	for _, m := range []struct {
		key string
		set bool
	}{
		{"password", a.Password.File != ""},
		{"passkeys", a.Passkeys.Host != ""},
		{"oidc", a.OIDC.Issuer != ""},
		{"access", a.Access.TeamDomain != ""},
		{"header", a.Header.Name != ""},
	} {
		if m.set {
			list = append(list, m.key)
		}
	}
	return list
}

// AuthMode is AuthLink or AuthNone: what the mode comes to for a listener at an
// address, which may be another than Listen if a service manager has opened it.
func (c *Config) AuthMode(listener string) string {
	switch {
	case c.Auth.Mode != AuthAuto:
		return c.Auth.Mode
	case c.Gateway.Preset == PresetNone && IsLoopback(listener) && len(c.Auth.Methods()) == 0:
		return AuthNone
	}
	return AuthLink
}

// NoAuthRefusal is the sentence for a listener that anyone can reach and that
// asks nobody.
func NoAuthRefusal(listener string) string {
	return `"none" would let everybody in who reaches ` + clip(listener) + `: remove auth.mode, so that people sign in with a link (creel login), or listen on 127.0.0.1`
}

// IsLoopback tells whether a listener takes connections from this machine alone.
// A name other than localhost may stand for any address, so it does not count.
func IsLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
