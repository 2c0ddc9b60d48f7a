package cli

import (
	"slices"
	"testing"
)

// TestElsewhere: whoever listens on loopback or on one address is reached by nothing
// else than the link says; whoever listens on all of them is reached by the names that
// it knows, too.
func TestElsewhere(t *testing.T) {
	names := []string{"bot.example.com"}
	for listen, want := range map[string]bool{
		"127.0.0.1:7777": false, "[::1]:7777": false, "localhost:7777": false, "192.0.2.7:7777": false, "nonsense": false,
		":7777": true, "0.0.0.0:7777": true, "[::]:7777": true,
	} {
		got := elsewhere(listen, names)
		if slices.Contains(got, names[0]) != want || !want && len(got) > 0 {
			t.Errorf("%s: %q", listen, got)
		}
		if slices.ContainsFunc(got, func(a string) bool { return a == "127.0.0.1" || a == "[::1]" }) {
			t.Errorf("%s: loopback is for this machine alone: %q", listen, got)
		}
	}
}
