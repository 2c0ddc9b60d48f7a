package rpc

import (
	"context"
	"errors"
	"testing"

	"creel/internal/openclaw/rpc/rpctest"
)

// phase waits until the gateway's suspension is at p.
func phase(t *testing.T, g *rpctest.Gateway, p Phase) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for g.Phase() != string(p) {
		if err := pause(ctx, firstPause/10); err != nil {
			t.Fatalf("the gateway is %s, want %s", g.Phase(), p)
		}
	}
}

func TestQuiesce(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	release, err := c.Quiesce(t.Context())
	if err != nil || g.Phase() != "prepared" {
		t.Fatalf("%v; it is %s", err, g.Phase())
	}
	var refused *Error
	if _, err := c.Devices(t.Context()); !errors.As(err, &refused) || refused.Reason != ReasonSuspending || !refused.Retryable {
		t.Errorf("a call meanwhile: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Quiesce(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("another one meanwhile: %v", err)
	}
	for range 2 {
		if err := release(); err != nil || g.Phase() != "accepting" {
			t.Errorf("release: %v; it is %s", err, g.Phase())
		}
	}
	if again, err := c.Quiesce(t.Context()); err != nil || again() != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestQuiesceWaitsForWork(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	g.Busy(1)
	release, err := c.Quiesce(t.Context())
	if err != nil || len(g.Calls("gateway.suspend.prepare")) != 2 {
		t.Fatalf("%v after %d calls", err, len(g.Calls("gateway.suspend.prepare")))
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	g.Busy(1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), firstPause)
	defer cancel()
	_, err = c.Quiesce(ctx)
	var work *WorkError
	if !errors.As(err, &work) || len(work.Blockers) != 1 || work.Blockers[0].Kind != "embedded-run" {
		t.Errorf("work without an end: %v", err)
	}
	if g.Phase() != "accepting" {
		t.Errorf("it was left %s", g.Phase())
	}
}

// The gateway goes on by itself when the caller's time is over, and when the
// client is closed.
func TestQuiesceEnds(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	release, err := c.Quiesce(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	phase(t, g, PhaseAccepting)
	if err := release(); err != nil {
		t.Error(err)
	}
	if release, err = c.Quiesce(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := release(); err != nil || g.Phase() != "accepting" {
		t.Errorf("closed: %v; it is %s", err, g.Phase())
	}
}

// A lease is ended over another connection if its own is lost, and forgotten if
// the gateway is.
func TestQuiesceOutlivesConnection(t *testing.T) {
	g := rpctest.New(t)
	ended := make(chan struct{})
	c := newClient(t, Options{})
	c.Attend(Target{Generation: 1, Addr: g.Addr(), Done: ended})
	until(t, c, "connected", func(v View) bool { return v.Connected })
	release, err := c.Quiesce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.Drop()
	if err := release(); err != nil || g.Phase() != "accepting" {
		t.Errorf("%v; it is %s", err, g.Phase())
	}
	until(t, c, "connected", func(v View) bool { return v.Connected })
	if release, err = c.Quiesce(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(ended)
	until(t, c, "ended", View.Ended)
	if err := release(); err != nil {
		t.Errorf("of a gateway that has ended: %v", err)
	}
}

// What a creel that died has left suspended, the next one ends; what somebody
// else has suspended stays.
func TestLeftOver(t *testing.T) {
	for name, lease := range map[string]suspendParams{"snapshot": quietLease, "stop": stopLease} {
		t.Run(name, func(t *testing.T) {
			g := rpctest.New(t)
			g.SuspendAs(mustJSON(t, lease))
			attend(t, g)
			phase(t, g, PhaseAccepting)
		})
	}
	t.Run("stranger", func(t *testing.T) {
		g := rpctest.New(t)
		g.SuspendAs(`{"requestId":"somebody"}`)
		c := attend(t, g)
		c.Close() // waits for what was begun
		if g.Phase() != "prepared" || len(g.Calls("gateway.suspend.resume")) != 0 {
			t.Errorf("it is %s after %v", g.Phase(), g.Calls(""))
		}
	})
}

func TestDrain(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	g.Busy(3)
	if err := c.Drain(t.Context()); err != nil || g.Phase() != "prepared" {
		t.Errorf("%v; it is %s", err, g.Phase())
	}
	// A connection that is lost meanwhile does not open the gateway again.
	g.Drop()
	until(t, c, "connected again", func(v View) bool { return v.Connected && v.Hello.Phase == PhasePrepared })
	c.Close()
	if g.Phase() != "prepared" {
		t.Errorf("it is %s", g.Phase())
	}
}

func TestDrainInVain(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	g.Busy(1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), firstPause)
	defer cancel()
	var work *WorkError
	if err := c.Drain(ctx); !errors.As(err, &work) || InWords(work.Blockers) != "1 active embedded run(s)" {
		t.Errorf("%v", err)
	}
	if g.Phase() != "draining" {
		t.Errorf("it is %s", g.Phase())
	}
}
