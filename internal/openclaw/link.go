package openclaw

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"creel/internal/telemetry"
)

// Link is the address of the Control UI that logs a browser in: the one to
// click after "creel up". listen is the address that creel listens on, as
// host:port.
//
// The token is in the fragment, which browsers send to no server and no log.
// The Control UI takes it from there into its storage and removes it from the
// address bar; a token in the query is ignored since 2026.
//
// A wildcard address becomes 127.0.0.1. A browser on another host needs HTTPS:
// the Control UI identifies its device with WebCrypto, which browsers offer in
// secure contexts only (https, or http on loopback).
func Link(listen string, token telemetry.Secret) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("cannot make a link to %q: %w", listen, err)
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + Opening(token), nil
}

// Opening is the path of Link, for a redirect.
func Opening(token telemetry.Secret) string {
	return "/#" + url.Values{"token": {token.Reveal()}}.Encode()
}

// Origins are the origins (RFC 6454) at which a browser on the same host sees
// the gateway if creel listens at listen: what Settings.Origins needs at least.
func Origins(listen string) ([]string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the origin of %q: %w", listen, err)
	}
	origins := []string{
		"http://127.0.0.1:" + port,
		"http://localhost:" + port,
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || host == "localhost" || err == nil && (addr.IsUnspecified() || host == "127.0.0.1"):
		return origins, nil
	default:
		return append(origins, "http://"+net.JoinHostPort(host, port)), nil
	}
}
