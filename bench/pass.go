package main

import (
	"context"
	"errors"
)

// passConns is how many keep-alive connections load a contestant.
const passConns = 32

// passBar is the processor time that creel may use for passing a request on, as
// a multiple of the plain reverse proxy's.
var passBar = &bar{Limit: 1.15, Of: barRatio}

// measurePass measures what it costs to pass small requests and answers on. The
// baseline with a pool of buffers takes part too: most of what the plain one
// allocates are buffers to copy answers with.
func measurePass(ctx context.Context, b *bench) (rows []row, err error) {
	up, err := b.stand(ctx, gatewayOptions{}, b.creel, b.plain, b.pooled)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	get, err := b.contest(ctx, up, job{Kind: loadGet, Conns: passConns}, b.plan.Rounds, true)
	if err != nil {
		return nil, err
	}
	post, err := b.contest(ctx, up[:2], job{Kind: loadPost, Conns: passConns}, b.plan.Rounds, true)
	if err != nil {
		return nil, err
	}
	lines := passLines("GET", get[0], get[1])
	pooled := line{"GET, CPU; ReverseProxy given a BufferPool", "µs/request", nil, get[0].cpu, get[2].cpu}
	lines = append(lines, pooled)
	return rowsOf(append(lines, passLines("POST", post[0], post[1])...)...)
}

func passLines(method string, creel, peer series) []line {
	return []line{
		{method + ", throughput", "requests/s", nil, creel.rate, peer.rate},
		{method + ", CPU of the proxy", "µs/request", passBar, creel.cpu, peer.cpu},
		{method + ", allocations", "1/request", nil, creel.mallocs, peer.mallocs},
		{method + ", allocated", "B/request", nil, creel.allocBytes, peer.allocBytes},
		{method + ", latency p50", "µs", nil, creel.p50, peer.p50},
		{method + ", latency p99", "µs", nil, creel.p99, peer.p99},
	}
}
