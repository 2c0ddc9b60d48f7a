package main

import (
	"context"
	"errors"
)

const (
	// bulkSize is a large body. It is the most of one that creel keeps by default
	// in order to send it again.
	bulkSize  = 64 << 20
	bulkConns = 2
)

// measureBulk measures large bodies. A POST may not be sent again after a crash,
// so its body only passes through; a PUT may, and creel keeps its body, which
// the baseline does not do.
func measureBulk(ctx context.Context, b *bench) (rows []row, err error) {
	up, err := b.stand(ctx, gatewayOptions{}, b.creel, b.plain)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fall(up)) }()
	var lines []line
	for _, k := range []struct{ kind, what string }{
		{loadDownload, "download of 64 MiB"},
		{loadUpload, "upload of 64 MiB, POST"},
		{loadPut, "upload of 64 MiB, PUT (kept by creel)"},
	} {
		s, err := b.contest(ctx, up, job{Kind: k.kind, Conns: bulkConns, Size: bulkSize}, b.plan.Rounds, false)
		if err != nil {
			return nil, err
		}
		lines = append(lines,
			line{k.what + ", throughput", "MB/s", nil, s[0].mbps, s[1].mbps},
			line{k.what + ", CPU of the proxy", "s/GiB", nil, s[0].cpuPerGiB, s[1].cpuPerGiB})
	}
	return rowsOf(lines...)
}
