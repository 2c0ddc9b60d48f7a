package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
)

// TestDevicesOfOneJustReady: whoever asks in the moment in which the gateway gets
// ready waits for creel's connection to it; whoever asks one that creel has lost
// for long is told so at once.
func TestDevicesOfOneJustReady(t *testing.T) {
	a := newAttended(t)
	eventuallyAttended(t, a)
	a.gw.Starting(2) // logins are refused at first
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st := gateway.Status{Name: "openclaw", State: gateway.Ready, Generation: 1, Addr: a.gw.Addr(), Since: time.Now().Add(patience)} // just ready for as long as it takes
	a.status.set(st)
	devices, err := (&deviceDesk{a.openClaw, a.beside}).now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := devices.List(ctx); err != nil {
		t.Errorf("just ready: %v", err)
	}
	a.status.set(gateway.Status{Name: "openclaw", State: gateway.Stopped})
	if _, err := devices.Client.WaitFor(ctx, func(v rpc.View) bool { return !v.Connected }); err != nil {
		t.Fatal(err)
	}
	st.Since = time.Now().Add(-time.Minute)
	began := time.Now()
	client, err := a.connected(ctx, st)
	if err != nil || time.Since(began) >= connectTime {
		t.Errorf("one that was lost is waited for: %v, %v", time.Since(began), err)
	}
	var absent *rpc.NotConnectedError
	if _, err := (openclaw.Devices{Client: client}).List(ctx); !errors.As(err, &absent) {
		t.Errorf("%v", err)
	}
}

// eventuallyAttended waits until there is a client.
func eventuallyAttended(t *testing.T, a *attended) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for a.client.Load() == nil && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // polling
	}
	if a.client.Load() == nil {
		t.Fatal("nobody attends")
	}
}
