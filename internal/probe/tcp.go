package probe

import (
	"context"
	"net"
	"time"
)

// TCP holds if the instance's port accepts a connection. That an app listens
// does not say that it can serve; see FromConfig.
type TCP struct {
	Timeout time.Duration // for one look; 0: 2 s
}

// Check implements Probe.
func (p TCP) Check(ctx context.Context, t Target) error {
	c, err := dial(ctx, t, orDefault(p.Timeout, defaultTimeout))
	if err != nil {
		return err
	}
	_ = c.Close() // nothing was sent that could be lost
	return nil
}

// dial connects to the instance. The error is ready to be returned by Check.
func dial(ctx context.Context, t Target, timeout time.Duration) (net.Conn, error) {
	// KeepAlive and FallbackDelay are of no use for a connection to one
	// address that lives for a moment.
	d := net.Dialer{Timeout: timeout, KeepAlive: -1, FallbackDelay: -1}
	c, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil, dialFailure(ctx, t, timeout, err)
	}
	return c, nil
}
