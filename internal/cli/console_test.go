package cli

import (
	"slices"
	"strings"
	"testing"

	"creel/internal/config"
)

// TestAddressesOf: whoever listens on loopback or on one address is reached by nothing
// else than the link says; whoever listens on all of them is reached by the names that
// it knows, too.
func TestAddressesOf(t *testing.T) {
	names := []string{"bot.example.com"}
	for listen, want := range map[string]bool{
		"127.0.0.1:7777": false, "[::1]:7777": false, "localhost:7777": false, "192.0.2.7:7777": false, "nonsense": false,
		":7777": true, "0.0.0.0:7777": true, "[::]:7777": true,
	} {
		got := addressesOf(listen, names)
		if slices.Contains(got, names[0]) != want || !want && len(got) > 0 {
			t.Errorf("%s: %q", listen, got)
		}
		if slices.ContainsFunc(got, func(a string) bool { return a == "127.0.0.1" || a == "[::1]" }) {
			t.Errorf("%s: loopback is for this machine alone: %q", listen, got)
		}
	}
}

// TestElsewhere: that OpenClaw's page needs more than an address is said where it does.
func TestElsewhere(t *testing.T) {
	defaults := config.Defaults()
	cfg := &defaults
	cfg.Listen, cfg.Auth.Hosts = ":7777", []string{"bot.example.com"}
	if text := elsewhere(cfg); !strings.Contains(text, "bot.example.com") || strings.Contains(text, "OpenClaw") {
		t.Errorf("of another app: %q", text)
	}
	cfg.Gateway.Preset = config.PresetOpenClaw
	if text := elsewhere(cfg); !strings.HasSuffix(text, "ssh -L 7777:127.0.0.1:7777 bot.example.com") {
		t.Errorf("of OpenClaw: %q", text)
	}
	cfg.TLS.Cert = "cert.pem"
	if text := elsewhere(cfg); strings.Contains(text, "ssh") {
		t.Errorf("of OpenClaw, over TLS: %q", text)
	}
	cfg.Listen = "127.0.0.1:7777"
	if text := elsewhere(cfg); text != "" {
		t.Errorf("on loopback: %q", text)
	}
}
