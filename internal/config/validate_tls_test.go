package config

import (
	"strings"
	"testing"
)

// TestTLSPair: a certificate without its key, or the other way round, is said
// at once.
func TestTLSPair(t *testing.T) {
	for have, want := range map[string]string{"tls.cert": "needs tls.key", "tls.key": "needs tls.cert"} {
		_, _, err := Load(LoadOptions{DataDir: t.TempDir(), Flags: []Flag{
			{Name: "--x", Key: have, Values: []string{"/some.pem"}},
			{Name: "--y", Key: "gateway.command", Values: []string{"server"}},
		}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %s alone: %v", have, err)
		}
	}
}
