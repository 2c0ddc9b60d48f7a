package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// The header fields that carry keys.
const (
	fieldAuthorization = "Authorization"
	fieldAPIKey        = "X-Api-Key"
	fieldGateway       = "Cf-Aig-Authorization"
	fieldGoogle        = "X-Goog-Api-Key"
)

// credentialFields are those that clients put a credential in. None is passed on.
var credentialFields = []string{fieldAuthorization, fieldAPIKey, "Api-Key", fieldGoogle, fieldGateway, "Cookie", "Proxy-Authorization"}

// dropped are the others that do not go out: what speaks of the client's side of
// creel, what would have creel itself do something, and what an answer must not be
// encoded with, since it is searched for the key.
var dropped = []string{"Accept-Encoding", "Expect", "Forwarded", "Via", "X-Real-Ip", "True-Client-Ip", "Http2-Settings", "Origin", "Referer"}

// knows tells whether a request carries the gateway's credential, in a field or in what
// it has said besides. It takes the same time whatever is wrong with one.
func (p *Proxy) knows(h http.Header, said []string) bool {
	ok := 0
	for _, value := range said {
		got := sha256.Sum256([]byte(value))
		ok |= subtle.ConstantTimeCompare(got[:], p.credential[:])
	}
	for _, field := range credentialFields {
		for _, value := range h[field] {
			if scheme, rest, found := strings.Cut(value, " "); found && strings.EqualFold(scheme, "Bearer") {
				value = strings.TrimSpace(rest)
			}
			got := sha256.Sum256([]byte(value))
			ok |= subtle.ConstantTimeCompare(got[:], p.credential[:])
		}
	}
	return ok == 1
}

// cleanFields removes from a request what is not for the provider. Fields that are
// for one connection only are gone already (RFC 9110 section 7.6.1).
func (p *Proxy) cleanFields(h http.Header) {
	for _, list := range [][]string{credentialFields, dropped} {
		for _, field := range list {
			delete(h, field)
		}
	}
	for field, values := range h {
		if strings.HasPrefix(field, "X-Forwarded-") || p.holdsCredential(strings.Join(values, "\n")) {
			delete(h, field)
		}
	}
}

// holdsCredential tells whether a text has the gateway's credential in it.
func (p *Proxy) holdsCredential(text string) bool {
	return strings.Contains(text, p.opts.Credential.Reveal())
}

// setKeys adds the keys.
func (c *call) setKeys(h http.Header) {
	if c.key != "" {
		value := c.key.Reveal()
		if field := c.to.keyField(); field == fieldAuthorization {
			h.Set(field, "Bearer "+value)
		} else {
			h.Set(field, value)
		}
	}
	if c.gatewayKey != "" {
		h.Set(fieldGateway, "Bearer "+c.gatewayKey.Reveal())
	}
	// Answers are searched for the key as they are. "identity" is the absence of
	// an encoding (RFC 9110 section 12.5.3); without the field any would do.
	h.Set("Accept-Encoding", "identity")
}
