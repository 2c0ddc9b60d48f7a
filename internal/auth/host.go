package auth

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// peer is the Sender of a request without trusted proxies.
func peer(r *http.Request) Sender {
	s := Sender{Host: r.Host, HTTPS: r.TLS != nil}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		s.Addr = ap.Addr().Unmap().WithZone("")
	}
	for _, field := range [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		s.Forwarded = s.Forwarded || len(r.Header[field]) > 0
	}
	return s
}

// hostsOf are the names that are this creel's.
func hostsOf(o Options) map[string]bool {
	hosts := map[string]bool{"localhost": true}
	for _, h := range o.Config.Hosts {
		hosts[strings.ToLower(h)] = true
	}
	if host, _, err := net.SplitHostPort(o.Listen); err == nil && host != "" {
		hosts[strings.ToLower(host)] = true
	}
	return hosts
}

// ownHost tells whether a Host field means this machine: an address, or a name
// that is known to. A page of another site whose name was pointed here (DNS
// rebinding) shares nothing with an address, but with its own name all.
func (g *Gate) ownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if g.hosts[host] || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// sameOrigin tells whether a WebSocket may be opened: browsers say in Origin whose
// page wants it (RFC 6455 §10.2), and what says nothing is no browser.
func (g *Gate) sameOrigin(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return true
	}
	return len(values) == 1 && (g.origins[values[0]] || g.ownOrigin(r, values[0]))
}

// ownOrigin tells whether an origin is where the client has this creel from.
func (g *Gate) ownOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && (strings.EqualFold(u.Host, r.Host) || strings.EqualFold(u.Host, g.opts.Sender(r).Host))
}

// upgrades tells whether a request wants to become something else than HTTP.
func upgrades(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect
}

// asksForPage tells a person's browser that opens a page from everything else.
// Browsers say what they want (Fetch Metadata), but over http only of localhost.
func asksForPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || upgrades(r) {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
