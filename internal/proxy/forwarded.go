package proxy

import (
	"bufio"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// forwarding says what the gateway is told of its clients.
type forwarding struct {
	trusted []netip.Prefix
	// attribute tells whether the fields are set for a client; where not, none
	// at all is sent. A gateway may refuse fields that speak of a loopback client.
	attribute func(client netip.Addr) bool
}

// parsePrefixes reads addresses, single or as CIDR.
func parsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("cannot read %q as an address or a CIDR range", s)
		}
		out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	}
	return out, nil
}

func (f *forwarding) trusts(a netip.Addr) bool {
	for _, p := range f.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// isForwardingField tells whether a field speaks of the client on behalf of a
// proxy. Such fields are dropped unless the sender is trusted: otherwise anyone
// could claim to be anyone. An underscore counts as a hyphen, since many apps
// cannot tell the two apart (RFC 3875 §4.1.18).
func isForwardingField(key string) bool {
	if key == "" || key[0] != 'F' && key[0] != 'X' {
		return false
	}
	if strings.IndexByte(key, '_') >= 0 {
		key = http.CanonicalHeaderKey(strings.ReplaceAll(key, "_", "-"))
	}
	return key == "Forwarded" || key == "X-Real-Ip" || strings.HasPrefix(key, "X-Forwarded-")
}

// client is the address that a request came from: its sender's, or what trusted
// senders say of theirs, the right-most that is not trusted.
func (f *forwarding) client(r *http.Request) netip.Addr {
	sender := peerAddr(r)
	if !f.trusts(sender) {
		return sender
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	client := sender
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = a.Unmap()
		if !f.trusts(client) {
			break
		}
	}
	return client
}

// claimed tells whether a sender who is not trusted speaks for others.
func (f *forwarding) claimed(r *http.Request) bool {
	if f.trusts(peerAddr(r)) {
		return false
	}
	for key := range r.Header {
		if isForwardingField(key) {
			return true
		}
	}
	return false
}

func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// attribution is what the gateway is told of one request's client.
type attribution struct {
	sender  netip.Addr // invalid: nothing is told
	trusted bool       // the sender may speak for others
}

func (f *forwarding) about(r *http.Request) attribution {
	if f.attribute != nil && !f.attribute(f.client(r)) {
		return attribution{}
	}
	sender := peerAddr(r)
	return attribution{sender: sender, trusted: f.trusts(sender)}
}

// passes tells whether a forwarding field of the client's is passed on as it
// is: what a trusted sender says, but for the fields that write continues.
func (a attribution) passes(key string) bool {
	switch key {
	case "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded":
		return false
	}
	return a.trusted && a.sender.IsValid()
}

// write writes the forwarding fields for a request: X-Forwarded-* as is usual,
// and Forwarded (RFC 7239). What a trusted sender said is continued.
func (a attribution) write(bw *bufio.Writer, r *http.Request) {
	if !a.sender.IsValid() {
		return
	}
	proto, host := "http", r.Host
	if r.TLS != nil {
		proto = "https"
	}
	addr := a.sender.String()
	bw.WriteString("X-Forwarded-For: ")
	if a.trusted {
		writePrior(bw, r.Header["X-Forwarded-For"])
		if p := r.Header.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
			proto = p
		}
		if h := r.Header.Get("X-Forwarded-Host"); h != "" {
			host = h
		}
	}
	bw.WriteString(addr)
	bw.WriteString("\r\n")
	writeField(bw, "X-Forwarded-Host", host)
	writeField(bw, "X-Forwarded-Proto", proto)
	bw.WriteString("Forwarded: ")
	if a.trusted {
		writePrior(bw, r.Header["Forwarded"])
	}
	bw.WriteString("for=")
	if a.sender.Is6() { // RFC 7239 §6: in brackets, and quoted for the colons
		bw.WriteString("\"[")
		bw.WriteString(addr)
		bw.WriteString("]\"")
	} else {
		bw.WriteString(addr)
	}
	bw.WriteString(";host=\"")
	bw.WriteString(escapeQuoted.Replace(host)) // a host may have a colon, which a token may not
	bw.WriteString("\";proto=")
	bw.WriteString(proto)
	bw.WriteString("\r\n")
}

// writePrior writes what earlier proxies said, for more to be added behind it.
func writePrior(bw *bufio.Writer, values []string) {
	for _, v := range values {
		if v != "" {
			bw.WriteString(v)
			bw.WriteString(", ")
		}
	}
}

// escapeQuoted escapes what a quoted-string must not have as it is (RFC 9110 §5.6.4).
var escapeQuoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func writeField(bw *bufio.Writer, name, value string) {
	bw.WriteString(name)
	bw.WriteString(": ")
	bw.WriteString(value)
	bw.WriteString("\r\n")
}
