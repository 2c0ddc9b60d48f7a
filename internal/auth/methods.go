package auth

import (
	"net/http"
	"time"

	"creel/internal/config"
)

// Check finds out what is wrong with how people are to sign in: files that cannot be
// read, or do not hold what they are to.
func Check(c config.Auth) error {
	g := &Gate{opts: Options{Config: c}}
	return g.addMethods()
}

// addMethods sets up the ways to sign in that the configuration names. None of them
// waits for anybody: a provider that does not answer now keeps creel from nothing.
func (g *Gate) addMethods() error {
	c := &g.opts.Config
	client := g.opts.HTTP
	if client == nil {
		client = &http.Client{Timeout: keysTime}
	}
	var err error
	if g.password, err = newPassword(c.Password, g.keptPassword); err != nil {
		return err
	}
	g.methods = append(g.methods, g.password) // one may be set later
	if c.Passkeys.Host != "" {
		g.methods = append(g.methods, newPasskeys(c.Passkeys))
	}
	if c.OIDC.Issuer != "" {
		o, err := newOIDC(c.OIDC, client)
		if err != nil {
			return err
		}
		g.methods = append(g.methods, o)
	}
	if c.Access.TeamDomain != "" {
		g.access = true
		g.identify = append(g.identify, newAccess(c.Access, client, time.Now))
	}
	if c.Header.Name != "" {
		if g.header, err = newHeader(c.Header); err != nil {
			return err
		}
		g.identify = append(g.identify, g.header)
	}
	return nil
}
