package auth

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"creel/internal/config"
)

// header believes a reverse proxy that says who a person is.
type header struct {
	name   string // canonical
	from   []netip.Prefix
	people people
}

func newHeader(cfg config.AuthHeader) (*header, error) {
	h := &header{name: fieldName(cfg.Name), people: people{owners: newList(cfg.Owners), readers: newList(cfg.Readers)}}
	if len(cfg.Owners) == 0 { // whom the proxy lets through is its policy
		h.people.others = OwnerScopes
	}
	for _, s := range cfg.From {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, invalid("auth.header.from: %q is neither an address nor a network", s)
			}
			p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
		h.from = append(h.from, p)
	}
	return h, nil
}

// identify implements identity. The peer of the connection counts, whatever is said
// of those before it.
func (h *header) identify(r *http.Request, _ Sender) (Principal, bool, error) {
	values := r.Header[h.name]
	if len(values) == 0 || !h.believes(r) {
		return Principal{}, false, nil
	}
	if len(values) > 1 || values[0] == "" {
		return Principal{}, false, fmt.Errorf("the field %s names not one person", h.name)
	}
	return Principal{Name: cut(printable(values[0]), 200), Kind: KindHeader, Scopes: h.people.scopes(values[0], nil)}, true, nil
}

// believes tells whether a request comes from one of the proxies.
func (h *header) believes(r *http.Request) bool {
	addr := peer(r).Addr
	for _, p := range h.from {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// strip takes the field away from everybody else, so that the gateway cannot be
// taken in by it either; in each of its spellings, for apps that cannot tell an
// underscore from a hyphen (RFC 3875 §4.1.18).
func (h *header) strip(r *http.Request) {
	if h != nil {
		h.stripFrom(r.Header, h.believes(r))
	}
}

func (h *header) stripFrom(fields http.Header, believed bool) {
	for key := range fields {
		if (key != h.name || !believed) && fieldName(key) == h.name {
			delete(fields, key)
		}
	}
}

// fieldName is the canonical name of a field, with hyphens.
func fieldName(name string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// Forward prepares a request that goes on to another creel's gate, whose peer is then
// this creel: out loses what that gate would believe of this machine and not of the
// sender of in.
func (g *Gate) Forward(in *http.Request, out http.Header) {
	if g.header != nil {
		g.header.stripFrom(out, g.header.believes(in))
	}
}
