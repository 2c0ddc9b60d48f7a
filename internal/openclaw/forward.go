package openclaw

import "net/netip"

// Forwarding says what the gateway is told of a client.
type Forwarding string

// The answers of ForwardingFor. Set and Strip are the words of creel's setting
// proxy.forwarded_headers.
const (
	// Set: X-Forwarded-For is the client's address alone; X-Forwarded-Proto
	// and X-Forwarded-Host may be set as well. What the client sent is dropped.
	Set Forwarding = "set"
	// Strip: Forwarded, X-Real-IP and every X-Forwarded-* are removed.
	Strip Forwarding = "strip"
	// Refuse: answer 403. The next step for a person is to list the proxy in
	// proxy.trusted_proxies.
	Refuse Forwarding = "refuse"
)

// ForwardingFor decides by the table in the package comment.
//
// client is the address that the request is attributed to: that of the peer,
// or, if the peer is a trusted proxy, the one it vouches for. claimed is true
// if the peer is not a trusted proxy and sent Forwarded, X-Real-IP or an
// X-Forwarded-* header nevertheless.
func ForwardingFor(client netip.Addr, claimed bool) Forwarding {
	// An IPv4 address inside IPv6 (::ffff:127.0.0.1) counts as what it is.
	switch local := client.IsLoopback(); {
	case !client.IsValid():
		return Refuse
	case local && claimed:
		return Refuse
	case local:
		return Strip
	default:
		return Set
	}
}
