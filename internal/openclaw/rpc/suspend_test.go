package rpc

import (
	"context"
	"errors"
	"testing"
	"time"

	"creel/internal/openclaw/rpc/rpctest"
)

// phase waits until the gateway's suspension is at p.
func phase(t *testing.T, g *rpctest.Gateway, p Phase) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for g.Phase() != string(p) {
		select {
		case <-time.After(firstPause / 10):
		case <-ctx.Done():
			t.Fatalf("the gateway is %s, want %s", g.Phase(), p)
		}
	}
}

// What a creel that died has left suspended, the next one ends; what somebody
// else has suspended stays.
func TestLeftOver(t *testing.T) {
	t.Run("creel", func(t *testing.T) {
		g := rpctest.New(t)
		g.SuspendAs(mustJSON(t, stopLease))
		attend(t, g)
		phase(t, g, PhaseAccepting)
	})
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
	if was, err := c.Drain(t.Context()); err != nil || g.Phase() != "prepared" || InWords(was) != "1 active embedded run(s)" {
		t.Errorf("%v, %v; it is %s", was, err, g.Phase())
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
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // ends with the test at the latest
		for t.Context().Err() == nil && len(g.Calls("gateway.suspend.status")) == 0 {
			<-time.After(firstPause / 10)
		}
		cancel() // what is under way is known, and was looked at again
	}()
	var work *WorkError
	if _, err := c.Drain(ctx); !errors.As(err, &work) || InWords(work.Blockers) != "1 active embedded run(s)" {
		t.Errorf("%v", err)
	}
	if g.Phase() != "draining" {
		t.Errorf("it is %s", g.Phase())
	}
}

// A drain that takes longer than its lease is given renews it.
func TestDrainRenews(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	c.drainRenew = 0
	g.Busy(3)
	if _, err := c.Drain(t.Context()); err != nil || g.Phase() != "prepared" {
		t.Errorf("%v; it is %s", err, g.Phase())
	}
	if n := len(g.Calls("gateway.suspend.prepare")); n != 4 {
		t.Errorf("the lease was asked for %d times", n)
	}
}
