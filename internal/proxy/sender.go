package proxy

import (
	"net/http"
	"net/netip"
)

// Sender tells where a request came from: the client's address, as trusted proxies
// say; whether the client speaks TLS, with creel or with a trusted proxy; and
// whether somebody in between says that they speak for others, trusted or not.
func (p *Proxy) Sender(r *http.Request) (client netip.Addr, https, forwarded bool) {
	f := &p.present.Load().forwarding
	trusted := f.trusts(peerAddr(r))
	https = r.TLS != nil || trusted && r.Header.Get("X-Forwarded-Proto") == "https"
	for key := range r.Header {
		forwarded = forwarded || isForwardingField(key)
	}
	return f.client(r), https, forwarded
}
