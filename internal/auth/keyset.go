package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms are those of providers' signatures; no symmetric ones, whose key would
// be anyone's who has it.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA}

const (
	// keysFresh is how long keys are used without asking again: a key that was
	// withdrawn is good here for as long at most.
	keysFresh = time.Hour
	// keysStale is how long they are used if nobody answers.
	keysStale = 24 * time.Hour
	// keysPause is between two questions, whoever sends which tokens.
	keysPause = 10 * time.Second
	keysTime  = 5 * time.Second
	keysSize  = 1 << 20
)

// keySet is the keys (JWK Set, RFC 7517) that a provider publishes. It implements
// oidc.KeySet. go-oidc's own asks the provider for each token with a key that it
// does not know, which strangers choose, and never for one that was withdrawn.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex // held while asking: all who need the answer wait for it
	keys  []jose.JSONWebKey
	asked time.Time // when it was last asked
	heard time.Time // when there was last an answer
	err   error     // what went wrong last
}

// VerifySignature checks a token's signature, and gives what it says.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, fmt.Errorf("cannot understand the token: %w", err)
	}
	if len(jws.Signatures) != 1 {
		return nil, errors.New("the token has not one signature")
	}
	id := jws.Signatures[0].Header.KeyID
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.heard.IsZero() || now.Sub(s.heard) > keysFresh {
		s.ask(ctx, now)
	}
	if now.Sub(s.heard) > keysStale {
		return nil, fmt.Errorf("the keys of %s cannot be had: %w", s.url, s.err)
	}
	payload, known := s.verify(jws, id)
	if payload == nil && !known {
		s.ask(ctx, now) // a new key, perhaps
		payload, _ = s.verify(jws, id)
	}
	if payload == nil {
		return nil, errors.New("the token's signature is not by a key of " + s.url)
	}
	return payload, nil
}

// verify tries the keys with an id; known tells whether there is one.
func (s *keySet) verify(jws *jose.JSONWebSignature, id string) (payload []byte, known bool) {
	for _, k := range s.keys {
		if id != "" && k.KeyID != id {
			continue
		}
		known = true
		if payload, err := jws.Verify(&k); err == nil {
			return payload, true
		}
	}
	return nil, known && id != ""
}

// ask asks for the keys, unless that was done a moment ago.
func (s *keySet) ask(ctx context.Context, now time.Time) {
	if !s.asked.IsZero() && now.Sub(s.asked) < keysPause {
		return
	}
	s.asked = now
	// The client's going away is no reason to leave the others who wait without.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTime)
	defer cancel()
	var keys []jose.JSONWebKey
	if keys, s.err = s.fetch(ctx); s.err == nil {
		s.keys, s.heard = keys, now
	}
}

func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, keysSize))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("cannot understand its answer: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		// A key of a sort that is not known is no reason to use none (RFC 7517 §5).
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() && k.Use != "enc" {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("its answer has no keys")
	}
	return keys, nil
}
