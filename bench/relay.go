package main

import (
	"context"
	"errors"
)

const (
	relayConns   = 50
	relayMessage = 128
)

// measureRelay measures WebSocket messages that go to the gateway and come back.
// Each crosses the proxy twice.
func measureRelay(ctx context.Context, b *bench) (rows []row, err error) {
	up, err := b.stand(ctx, gatewayOptions{}, b.creel, b.plain)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	s, err := b.contest(ctx, up, job{Kind: loadEcho, Conns: relayConns, Size: relayMessage}, b.plan.Rounds, false)
	if err != nil {
		return nil, err
	}
	return rowsOf(
		line{"128 B there and back, throughput", "echoes/s", nil, s[0].rate, s[1].rate},
		line{"128 B there and back, CPU of the proxy", "µs/echo", nil, s[0].cpu, s[1].cpu},
		line{"128 B there and back, latency p50", "µs", nil, s[0].p50, s[1].p50},
		line{"128 B there and back, latency p99", "µs", nil, s[0].p99, s[1].p99},
	)
}
