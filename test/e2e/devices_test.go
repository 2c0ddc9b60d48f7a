//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"creel/test/fake"
)

// testDevices: a device on another machine waits until somebody lets it in, and
// has to wait again after it was shut out.
func testDevices(t *testing.T, l *life) {
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	phone := fake.NewDevice(t, "Anna's phone", "203.0.113.9")
	address := l.status(t).Address
	for range 2 { // each attempt replaces the one before
		if _, err := phone.Connect(ctx, address, l.token); err == nil || !strings.Contains(err.Error(), "pairing required") {
			t.Fatalf("an unknown device: %v", err)
		}
	}
	type device struct{ ID, State, Name, Label, Address, Platform string }
	list := func() []device {
		var answer struct{ Devices []device }
		text := l.mustCommand(t, "devices", "list", "--json")
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return answer.Devices
	}
	waiting := list()
	if len(waiting) == 0 || waiting[0] != (device{phone.ID, "pending", phone.Name, "", phone.Address, "linux"}) {
		t.Fatalf("devices: %+v", waiting)
	}
	if text := l.mustCommand(t, "devices"); !strings.Contains(text, "pending") || !strings.Contains(text, phone.Name) || !strings.Contains(text, phone.Address) {
		t.Errorf("creel devices:\n%s", text)
	}
	if r := l.command(t, "devices", "approve", "0000"); r.code != 1 || !strings.Contains(r.stderr, "creel devices list") {
		t.Errorf("an id that nobody has: %+v", r)
	}
	began := time.Now()
	l.mustCommand(t, "devices", "approve", phone.ID[:8])
	conn, err := phone.Connect(ctx, address, l.token)
	if err != nil {
		t.Fatalf("a device that was let in: %v", err)
	}
	t.Logf("let in %v after the command was typed", time.Since(began).Round(time.Millisecond))
	defer func() { _ = conn.CloseNow() }() // it is closed by then
	l.mustCommand(t, "devices", "rename", phone.ID, "Anna")
	if got := list(); got[0].State != "paired" || got[0].Label != "Anna" {
		t.Errorf("devices: %+v", got)
	}
	l.mustCommand(t, "devices", "revoke", phone.ID[:8])
	for err == nil {
		_, _, err = conn.Read(ctx)
	}
	if _, err := phone.Connect(ctx, address, l.token); err == nil || !strings.Contains(err.Error(), "pairing required") {
		t.Errorf("a device that was shut out: %v", err)
	}
	l.mustCommand(t, "devices", "reject", phone.ID[:8])
	if got := list(); len(got) != 0 {
		t.Errorf("devices: %+v", got)
	}
	events := l.events(t)
	for _, kind := range []string{"device_approved", "device_revoked", "device_rejected"} {
		if count(events, kind, 0) != 1 {
			t.Errorf("%d events %s", count(events, kind, 0), kind)
		}
	}
	if r := l.command(t, "openclaw", "exec", "--", "no-such-command"); r.code != 1 || !strings.Contains(r.stdout+r.stderr, "no-such-command") {
		t.Errorf("creel openclaw exec passes on neither output nor exit code: %+v", r)
	}
	if out := l.mustCommand(t, "openclaw", "exec", "--", "--version"); !strings.Contains(out, "OpenClaw 2026.") {
		t.Errorf("creel openclaw exec -- --version: %s", out)
	}
	if r := l.command(t, "openclaw", "doctor", "--fix"); r.code != 1 || !strings.Contains(r.stderr, "creel stop") {
		t.Errorf("creel openclaw doctor --fix while it runs: %+v", r)
	}
}
