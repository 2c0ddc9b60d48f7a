// Package crash puts a real creel in front of crashgw, loads it, kills what can
// be killed, and counts: what clients saw, what the gateway executed (its
// ledger), and how often it was started.
package crash

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/test/crashgw"
	"creel/test/harness"
)

func TestMain(m *testing.M) {
	stopAtPoint()
	harness.RunIfAsked()
	goleak.VerifyTestMain(m)
}

// creel is a creel process with a crashgw behind it.
type creel struct{ *harness.Creel }

func start(t *testing.T, o crashgw.Options) *creel {
	t.Helper()
	return &creel{harness.Start(t, o)}
}

func prepare(t *testing.T, o crashgw.Options) *creel {
	t.Helper()
	return &creel{harness.Prepare(t, o)}
}

func crashgwOptions() crashgw.Options { return crashgw.Options{BootDelay: 80 * time.Millisecond} }

var ready = harness.Ready
