package proxy

import (
	"net/http"
	"net/netip"
)

// Trusts tells whether a request comes from one of the proxies that are believed.
func (p *Proxy) Trusts(r *http.Request) bool { return p.present.Load().forwarding.trusts(peerAddr(r)) }

// Sender tells where a request came from: the client's address, and the host that it
// asks for, as trusted proxies say; whether the client speaks TLS, with creel or with a trusted proxy; and
// whether somebody in between says that they speak for others, trusted or not.
func (p *Proxy) Sender(r *http.Request) (client netip.Addr, host string, https, forwarded bool) {
	f := &p.present.Load().forwarding
	trusted := f.trusts(peerAddr(r))
	https = r.TLS != nil || trusted && r.Header.Get("X-Forwarded-Proto") == "https"
	host = r.Host
	if h := r.Header.Get("X-Forwarded-Host"); trusted && h != "" {
		host = h
	}
	for key := range r.Header {
		forwarded = forwarded || isForwardingField(key)
	}
	return f.client(r), host, https, forwarded
}
