package daemon

import (
	"slices"
	"strings"
	"testing"
)

// TestPublicOrigins: OpenClaw takes the names that creel is reached by, as a proxy
// with a certificate shows them, and as creel does if it has one itself.
func TestPublicOrigins(t *testing.T) {
	plain := func(s string) string { return s }
	tls := func(s string) string { return strings.Replace(s, "http:", "https:", 1) }
	for _, c := range []struct {
		listen string
		secure func(string) string
		want   []string
	}{
		{"127.0.0.1:8080", plain, []string{"https://claw.example.org"}},
		{"0.0.0.0:8443", tls, []string{"https://claw.example.org", "https://claw.example.org:8443"}},
		{"0.0.0.0:443", tls, []string{"https://claw.example.org"}},
	} {
		if got := publicOrigins([]string{"claw.example.org"}, c.listen, c.secure); !slices.Equal(got, c.want) {
			t.Errorf("at %s: got %q, want %q", c.listen, got, c.want)
		}
	}
}
