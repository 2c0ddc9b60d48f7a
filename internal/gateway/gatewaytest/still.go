// Package gatewaytest helps to test what works with a gateway's supervisor.
package gatewaytest

import (
	"testing"

	"creel/internal/gateway"
	"creel/internal/gateway/internal/vouch"
)

// Still vouches for a gateway that a test does not have. The word is taken back
// when the test ends.
func Still(tb testing.TB) *gateway.Stillness {
	tb.Helper()
	s, end := vouch.Give()
	tb.Cleanup(end)
	return s
}
