package openclaw

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"creel/internal/openclaw/rpc"
	"creel/internal/openclaw/rpc/rpctest"
	"creel/internal/telemetry"
)

// talk connects a client to a gateway for tests.
func talk(t *testing.T, g *rpctest.Gateway) *rpc.Client {
	t.Helper()
	c := rpc.New(rpc.Options{Token: tokenForTest})
	t.Cleanup(c.Close)
	c.Attend(rpc.Target{Generation: 1, Addr: g.Addr()})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if v, err := c.WaitFor(ctx, func(v rpc.View) bool { return v.Connected }); err != nil {
		t.Fatalf("%v: %+v", err, v)
	}
	return c
}

func tokenForTest() (telemetry.Secret, error) { return rpctest.Token, nil }

func TestRevive(t *testing.T) {
	g := rpctest.New(t)
	g.Answer("channels.status", rpctest.Always(rpctest.Payload(t, "suppressed", "channels.status", 0)))
	g.Suppress("telegram")
	c := talk(t, g)
	off, err := Suppressed(t.Context(), g.Addr())
	if err != nil || len(off) != 1 || off[0] != "telegram" {
		t.Fatalf("off: %v, %v", off, err)
	}
	list, err := Revive(t.Context(), c, off)
	if err != nil || len(list) != 1 || list[0] != (Revived{Channel: "telegram", Account: "default"}) {
		t.Errorf("%+v, %v", list, err)
	}
	calls := g.Calls("channels.start")
	if len(calls) != 1 || string(calls[0].Params) != `{"channel":"telegram","accountId":"default"}` {
		t.Errorf("calls: %s", calls)
	}
}

// All accounts that are meant to run, no other, and one that fails keeps none of
// the others off.
func TestReviveAccounts(t *testing.T) {
	g := rpctest.New(t)
	type account = map[string]any
	g.Answer("channels.status", rpctest.Always(map[string]any{"channelAccounts": map[string]any{
		"telegram": []account{
			{"accountId": "default", "enabled": true, "configured": true},
			{"accountId": "second", "enabled": true, "configured": true},
			{"accountId": "off", "enabled": false, "configured": true},
			{"accountId": "empty", "enabled": true, "configured": false},
			{"accountId": "on", "enabled": true, "configured": true, "running": true},
		},
		"slack": []account{{"accountId": "default", "enabled": true, "configured": true}},
	}}))
	g.Answer("channels.start", func(params json.RawMessage) (any, any) {
		switch {
		case strings.Contains(string(params), "discord"):
			return nil, map[string]any{"code": "INVALID_REQUEST", "message": "invalid channels.start channel"}
		case strings.Contains(string(params), "second"):
			return map[string]any{"started": false, "outcome": map[string]any{"status": "skipped", "reason": "disabled"}}, nil
		}
		return map[string]any{"started": true, "outcome": map[string]any{"status": "handed-off"}}, nil
	})
	list, err := Revive(t.Context(), talk(t, g), []string{"discord", "telegram"})
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	var refused *rpc.Error
	if list[0].String() != "discord" || !errors.As(list[0].Err, &refused) {
		t.Errorf("%+v", list[0])
	}
	if list[1].String() != "telegram" || list[1].Err != nil {
		t.Errorf("%+v", list[1])
	}
	if list[2].String() != "telegram/second" || list[2].Err == nil || !strings.Contains(list[2].Err.Error(), "skipped: disabled") {
		t.Errorf("%+v", list[2])
	}
}

func TestSuppressedTrouble(t *testing.T) {
	for name, body := range map[string]string{"html": "<html>", "not local": `{"status":"ready"}`} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
			defer s.Close()
			if off, err := Suppressed(t.Context(), s.Listener.Addr().String()); err == nil {
				t.Errorf("%v", off)
			}
		})
	}
}

func TestReviver(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	crash := func(r *Reviver, g uint64, after time.Duration, cause string) {
		r.Started(g, now)
		r.Ended(g, now.Add(after), cause)
	}
	for name, test := range map[string]struct {
		do   func(r *Reviver)
		want bool
	}{
		"fresh":     {func(*Reviver) {}, true},
		"one crash": {func(r *Reviver) { crash(r, 1, time.Second, CauseExitCode) }, true},
		"two crashes": {func(r *Reviver) {
			crash(r, 1, time.Second, CauseExitCode)
			crash(r, 2, time.Second, CauseHeapExhausted)
		}, false},
		"not in a row": {func(r *Reviver) {
			crash(r, 1, time.Second, CauseOOM)
			crash(r, 2, Culprit, CauseOOM)
			crash(r, 3, time.Second, CauseOOM)
		}, true},
		"ten kills": {func(r *Reviver) {
			for g := range uint64(10) {
				crash(r, g+1, time.Second, CauseSignal)
			}
		}, true},
		"told twice":   {func(r *Reviver) { crash(r, 1, time.Second, CauseOOM); r.Ended(1, now, CauseOOM) }, true},
		"others' ends": {func(r *Reviver) { r.Ended(1, now, CauseOOM); r.Ended(2, now, CauseOOM) }, true},
		"an older one": {func(r *Reviver) { r.Started(3, now); r.Ended(2, now, CauseOOM); r.Ended(2, now, CauseOOM) }, true},
		"forgiven":     {func(r *Reviver) { crash(r, 1, 0, CauseOOM); crash(r, 2, 0, CauseOOM); r.Forgive() }, true},
		"and not twice": {func(r *Reviver) {
			crash(r, 1, 0, CauseOOM)
			crash(r, 2, 0, CauseOOM)
			r.Forgive()
			crash(r, 3, 0, CauseOOM)
		}, false},
	} {
		var r Reviver
		test.do(&r)
		if r.Allowed() != test.want {
			t.Errorf("%s: allowed %v", name, r.Allowed())
		}
	}
}
