package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"creel/internal/config"
)

const (
	accessHeader = "Cf-Access-Jwt-Assertion"
	accessCookie = "CF_Authorization"
	// accessSkew is how far this machine's clock may be off Cloudflare's.
	accessSkew = time.Minute
	// accessKept is how many tokens are remembered as good, and accessKeptFor how
	// long: checking a signature costs a hundred times as much as the rest of the
	// gate, and every request brings the same one.
	accessKept    = 1000
	accessKeptFor = 5 * time.Minute
)

// access lets those in whom Cloudflare Access has let through: it signs a token
// into each request. That whoever can reach creel past Cloudflare cannot make one
// is all that this rests on.
type access struct {
	verifier *oidc.IDTokenVerifier
	aud      []string
	people   people
	now      func() time.Time

	mu   sync.Mutex
	good map[sum]goodToken
}

type goodToken struct {
	principal Principal
	until     time.Time
}

// accessClaims are what Access says of a person, or of a service token, which has a
// common name in place of an address.
type accessClaims struct {
	Email      string `json:"email"`
	CommonName string `json:"common_name"`
	Type       string `json:"type"`
}

func newAccess(cfg config.AuthAccess, client *http.Client, now func() time.Time) *access {
	issuer := "https://" + cfg.Domain()
	keys := &keySet{url: issuer + "/cdn-cgi/access/certs", client: client, now: now}
	// go-oidc allows five minutes before a token's beginning, and nothing after its end.
	verifier := oidc.NewVerifier(issuer, keys, &oidc.Config{
		SkipClientIDCheck: true, Now: func() time.Time { return now().Add(-accessSkew) },
		SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256},
	})
	return &access{verifier: verifier, aud: cfg.AUD, people: people{readers: newList(cfg.Readers), others: OwnerScopes}, now: now, good: map[sum]goodToken{}}
}

// identify implements identity. Of several cookies the first that is good counts.
func (a *access) identify(r *http.Request, _ Sender) (p Principal, found bool, err error) {
	if token := r.Header.Get(accessHeader); token != "" {
		p, err = a.whose(r.Context(), token)
		return p, err == nil, err
	}
	for token := range cookieValues(r.Header, accessCookie) {
		if token == "" {
			continue
		}
		if p, err = a.whose(r.Context(), token); err == nil {
			return p, true, nil
		}
	}
	return Principal{}, false, err
}

// whose tells whose a token is, and remembers it.
func (a *access) whose(ctx context.Context, token string) (Principal, error) {
	key, now := sumOf(token), a.now()
	a.mu.Lock()
	known, ok := a.good[key]
	a.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.principal, nil
	}
	p, expires, err := a.check(ctx, token)
	if err != nil {
		return Principal{}, fmt.Errorf("the token of Cloudflare Access is not good: %w", err)
	}
	p.Until = expires.Add(accessSkew)
	until := now.Add(accessKeptFor)
	if expires.Before(until) {
		until = expires
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.good) >= accessKept {
		clear(a.good)
	}
	a.good[key] = goodToken{p, until}
	return p, nil
}

// check verifies a token.
func (a *access) check(ctx context.Context, token string) (p Principal, expires time.Time, err error) {
	if len(token) > 16<<10 {
		return p, expires, errors.New("it is too long")
	}
	verified, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return p, expires, err
	}
	if !slices.ContainsFunc(verified.Audience, func(aud string) bool { return slices.Contains(a.aud, aud) }) {
		return p, expires, errors.New("it is for another application (see auth.access.aud)")
	}
	var claims accessClaims
	if err := verified.Claims(&claims); err != nil {
		return p, expires, err
	}
	if claims.Type != "" && claims.Type != "app" { // the team's own token is good for no application
		return p, expires, errors.New("it is not for an application")
	}
	name := claims.Email
	if name == "" {
		name = claims.CommonName
	}
	if name == "" {
		return p, expires, errors.New("it names nobody")
	}
	return Principal{Name: name, Kind: KindAccess, Scopes: a.people.scopes(name, nil)}, verified.Expiry, nil
}
