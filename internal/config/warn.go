package config

import (
	"fmt"
	"net/netip"
)

// Warning is something that is allowed and may not be meant.
type Warning struct {
	Key     string `json:"key"`
	Message string `json:"message"`
}

// String gives "key: message".
func (w Warning) String() string { return w.Key + ": " + w.Message }

// Warnings lists what is allowed and may not be meant, in the order of Keys.
func (c *Config) Warnings() []Warning {
	var list []Warning
	warn := func(key, format string, args ...any) {
		list = append(list, Warning{Key: key, Message: fmt.Sprintf(format, args...)})
	}
	if !IsLoopback(c.Listen) && c.TLS.Cert == "" && len(c.Proxy.TrustedProxies) == 0 {
		warn("listen", "%s can be reached from other machines, in the clear: whoever sees the traffic can sign in as its owner; set tls.cert, or put something with TLS in front and name it in proxy.trusted_proxies", c.Listen)
	}
	if c.Gateway.Version != "" && c.Gateway.Preset == PresetNone {
		warn("gateway.version", "has no effect without gateway.preset")
	}
	if g := c.Gateway; g.Preset != PresetOpenClaw && (g.OpenClaw.DevVars != "" || len(g.OpenClaw.Lock) > 0) {
		warn("gateway.openclaw", `has no effect without gateway.preset "openclaw"`)
	}
	for _, from := range c.Auth.Header.From {
		if isLoopbackNetwork(from) {
			warn("auth.header.from", "%s is this machine: whatever runs on it, the gateway and its agents too, may say that it is anybody", from)
		}
	}
	if c.Proxy.ForwardedHeaders == ForwardedStrip && len(c.Proxy.TrustedProxies) > 0 {
		warn("proxy.trusted_proxies", `the gateway learns nothing of it, since proxy.forwarded_headers is "strip"`)
	}
	if c.Proxy.Timeouts.Response == 0 {
		warn("proxy.timeouts.response", "0 lets a client wait for ever for a gateway that does not answer")
	}
	return list
}

// isLoopbackNetwork tells whether an address or network has loopback addresses in it.
func isLoopbackNetwork(s string) bool {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Unmap().IsLoopback()
	}
	return p.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || p.Contains(netip.IPv6Loopback())
}
