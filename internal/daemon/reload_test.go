package daemon

import (
	"testing"

	"creel/internal/config"
	"creel/internal/gateway"
)

// TestPendingFor: what waits for the gateway's next start, in each of its states.
func TestPendingFor(t *testing.T) {
	was, now := config.Defaults(), config.Defaults()
	now.Gateway.Env = map[string]string{"SECRET": "hunter2"}
	now.Gateway.Stop.Drain++ // counts at once
	const (
		nothing = ""
		secret  = "gateway.env.SECRET"
		all     = unknownKey
	)
	running := func(hash string) gateway.Status {
		return gateway.Status{State: gateway.Ready, Generation: 3, PID: 7, ConfigHash: hash}
	}
	for _, tt := range []struct {
		name string
		st   gateway.Status
		plan *planned
		want string
	}{
		{"it runs with what was", running(""), &planned{3, was.Gateway}, secret},
		{"it runs with what is", running(""), &planned{3, now.Gateway}, nothing},
		{"it was taken over", running(config.Hash(was.Gateway)), nil, all},
		{"it was taken over and runs with what is", running(config.Hash(now.Gateway)), nil, nothing},
		{"it was taken over, and another was planned", running(config.Hash(was.Gateway)), &planned{2, now.Gateway}, all},
		{"it is stopped", gateway.Status{State: gateway.Stopped, Generation: 3}, &planned{3, was.Gateway}, nothing},
		{"it waits for its next start", gateway.Status{State: gateway.Backoff, Generation: 3}, &planned{3, was.Gateway}, nothing},
		{"its state is being restored", gateway.Status{State: gateway.Restoring, Generation: 4}, &planned{3, was.Gateway}, nothing},
		{"it is being launched", gateway.Status{State: gateway.Starting, Generation: 4}, &planned{4, was.Gateway}, secret},
		{"it is about to be planned", gateway.Status{State: gateway.Starting, Generation: 4}, &planned{3, was.Gateway}, nothing},
	} {
		var got string
		for _, c := range pendingFor(tt.st, tt.plan, &now) {
			got += c.Key
		}
		if got != tt.want {
			t.Errorf("%s: %q waits, want %q", tt.name, got, tt.want)
		}
	}
}
