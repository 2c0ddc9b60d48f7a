package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
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
	if !isLoopback(c.Listen) {
		warn("listen", "%s can be reached from other machines, and whoever reaches it reaches the gateway; listen on 127.0.0.1 unless something in front decides who may", c.Listen)
	}
	if c.Gateway.Version != "" && c.Gateway.Preset == PresetNone {
		warn("gateway.version", "has no effect without gateway.preset")
	}
	if c.Proxy.ForwardedHeaders == ForwardedStrip && len(c.Proxy.TrustedProxies) > 0 {
		warn("proxy.trusted_proxies", `the gateway learns nothing of it, since proxy.forwarded_headers is "strip"`)
	}
	if c.Proxy.Timeouts.Response == 0 {
		warn("proxy.timeouts.response", "0 lets a client wait for ever for a gateway that does not answer")
	}
	return list
}

// isLoopback tells whether a listener takes connections from this machine alone.
// A name other than localhost may stand for any address, so it does not count.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
