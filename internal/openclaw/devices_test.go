package openclaw

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/openclaw/rpc"
	"creel/internal/openclaw/rpc/rpctest"
	"creel/internal/runtime"
)

// roster is a gateway's list of devices that changes as it is told to.
type roster struct {
	mu      sync.Mutex
	pending []map[string]any
	paired  []map[string]any
	stale   int // so many approvals are refused, since the request has been replaced
}

func newRoster(t *testing.T) (*roster, Devices) {
	g := rpctest.New(t)
	r := &roster{}
	g.Answer("device.pair.list", func(json.RawMessage) (any, any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return map[string]any{"pending": r.pending, "paired": r.paired}, nil
	})
	decide := func(approve bool) rpctest.Answer {
		return func(params json.RawMessage) (any, any) {
			r.mu.Lock()
			defer r.mu.Unlock()
			var p struct{ RequestID string }
			if err := json.Unmarshal(params, &p); err != nil {
				t.Error(err)
			}
			i := slices.IndexFunc(r.pending, func(m map[string]any) bool { return m["requestId"] == p.RequestID })
			if i < 0 || r.stale > 0 {
				r.stale--
				return nil, map[string]any{"code": "INVALID_REQUEST", "message": "unknown requestId"}
			}
			if approve {
				r.paired = append(r.paired, r.pending[i])
			}
			r.pending = slices.Delete(r.pending, i, i+1)
			return map[string]any{}, nil
		}
	}
	g.Answer("device.pair.approve", decide(true))
	g.Answer("device.pair.reject", decide(false))
	g.Answer("device.pair.remove", func(params json.RawMessage) (any, any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.paired = slices.DeleteFunc(r.paired, func(m map[string]any) bool { return strings.Contains(string(params), m["deviceId"].(string)) })
		return map[string]any{}, nil
	})
	return r, Devices{talk(t, g)}
}

func waits(id, name string, at int) map[string]any {
	return map[string]any{"requestId": "req-" + id, "deviceId": id, "displayName": name, "platform": "linux", "remoteIp": "203.0.113.9", "scopes": []string{"operator.read"}, "ts": at}
}

func titles(list []Device) string {
	var names []string
	for _, d := range list {
		names = append(names, string(d.State)+" "+d.Title())
	}
	return strings.Join(names, ", ")
}

func TestDeviceList(t *testing.T) {
	r, d := newRoster(t)
	list, err := d.List(t.Context())
	if err != nil || list == nil || len(list) != 0 {
		t.Errorf("none: %v, %v", list, err)
	}
	r.pending = []map[string]any{waits("aaaa1", "old", 1), waits("aaaa2", "new", 2)}
	r.paired = []map[string]any{
		{"deviceId": "bbbb1", "displayName": "Zoe"},
		{"deviceId": "bbbb2", "displayName": "x", "operatorLabel": "anna", "connected": true, "approvedAtMs": 5, "lastSeenAtMs": 7},
		{"deviceId": "bbbb3", "clientId": "cli", "tokens": []map[string]any{{"role": "operator", "revokedAtMs": 1}}},
	}
	list, err = d.List(t.Context())
	if got := titles(list); err != nil || got != "pending new, pending old, paired anna, revoked cli, paired Zoe" {
		t.Errorf("%s, %v", got, err)
	}
	if a := list[2]; !a.Connected || a.Since != time.UnixMilli(5).UTC() || a.LastSeen != time.UnixMilli(7).UTC() {
		t.Errorf("%+v", a)
	}
}

func TestDeviceDecisions(t *testing.T) {
	r, d := newRoster(t)
	ctx := t.Context()
	r.pending = []map[string]any{waits("abcd11", "one", 1), waits("abcd22", "two", 2), waits("ef0123", "three", 3)}
	r.paired = []map[string]any{{"deviceId": "99990000", "displayName": "four"}}
	for what, test := range map[string]struct {
		do   func() (Device, error)
		code DeviceErrorCode
	}{
		"ambiguous":     {func() (Device, error) { return d.Approve(ctx, "abcd") }, DeviceAmbiguous},
		"unknown":       {func() (Device, error) { return d.Approve(ctx, "ffff") }, DeviceUnknown},
		"too short":     {func() (Device, error) { return d.Approve(ctx, "ab") }, DeviceBadRequest},
		"paired":        {func() (Device, error) { return d.Approve(ctx, "9999") }, DeviceNotPending},
		"never let in":  {func() (Device, error) { return d.Revoke(ctx, "ef01") }, DeviceNotPaired},
		"without label": {func() (Device, error) { return d.Rename(ctx, "9999", " ") }, DeviceBadRequest},
	} {
		_, err := test.do()
		var e *DeviceError
		if !errors.As(err, &e) || e.Code != test.code || e.Next == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.stale = attempts - 1 // it tries again and again while it is approved
	if got, err := d.Approve(ctx, "ABCD1"); err != nil || got.Title() != "one" {
		t.Errorf("approve: %+v, %v", got, err)
	}
	var gone *DeviceError
	if _, err := d.ApproveRequest(ctx, "req-abcd"); !errors.As(err, &gone) || gone.Code != DeviceUnknown {
		t.Errorf("approve a request that is not there: %v", err)
	}
	r.pending = append(r.pending, waits("77770000", "seven", 4))
	if got, err := d.ApproveRequest(ctx, "req-77770000"); err != nil || got.Title() != "seven" {
		t.Errorf("approve a request: %+v, %v", got, err)
	}
	if got, err := d.Reject(ctx, "abcd2"); err != nil || got.Title() != "two" {
		t.Errorf("reject: %+v, %v", got, err)
	}
	if got, err := d.Rename(ctx, "9999", " Four "); err != nil || got.Label != "Four" {
		t.Errorf("rename: %+v, %v", got, err)
	}
	if got, err := d.ApproveAll(ctx); err != nil || titles(got) != "pending three" {
		t.Errorf("approve all: %+v, %v", got, err)
	}
	if got, err := d.ApproveAll(ctx); err != nil || got == nil || len(got) != 0 {
		t.Errorf("approve nobody: %+v, %v", got, err)
	}
	if got, err := d.Revoke(ctx, "9999"); err != nil || got.Title() != "four" {
		t.Errorf("revoke: %+v, %v", got, err)
	}
	if list, err := d.List(ctx); err != nil || titles(list) != "paired one, paired seven, paired three" {
		t.Errorf("in the end: %s, %v", titles(list), err)
	}
}

func TestDevicesWithoutGateway(t *testing.T) {
	c := rpc.New(rpc.Options{})
	defer c.Close()
	if _, err := (Devices{c}).List(t.Context()); !errors.As(err, new(*rpc.NotConnectedError)) {
		t.Errorf("%v", err)
	}
}

// BenchmarkDeviceList lists 50 devices over the open connection, as the command
// line and the pages do.
func BenchmarkDeviceList(b *testing.B) {
	g := rpctest.New(b)
	var pending []map[string]any
	for i := range 50 {
		pending = append(pending, waits(strings.Repeat("a", 60)+string(rune('a'+i%26)), "device", i))
	}
	g.Answer("device.pair.list", rpctest.Always(map[string]any{"pending": pending, "paired": []any{}}))
	c := rpc.New(rpc.Options{Token: tokenForTest})
	defer c.Close()
	c.Attend(rpc.Target{Generation: 1, Addr: g.Addr()})
	if _, err := c.WaitFor(context.Background(), func(v rpc.View) bool { return v.Connected }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := (Devices{c}).List(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestExplainExit(t *testing.T) {
	restart := rpc.Farewell{Reason: "gateway restarting", Back: time.Second, At: time.Now()}
	stop := rpc.Farewell{Reason: "gateway stopping", At: time.Now()}
	reason := []string{"2026-11-26T02:00:26.209+00:00 [admission] closed: restart (SIGUSR2: plugin update)"}
	for name, test := range map[string]struct {
		exit     runtime.Exit
		log      []string
		farewell rpc.Farewell
		cause    string
		message  string
	}{
		"restart, log cut off":         {runtime.Exit{Known: true}, nil, restart, CauseSelfRestart, "Control UI"},
		"restart, with its reason":     {runtime.Exit{Known: true}, reason, restart, CauseSelfRestart, "it says: plugin update)"},
		"restart, not heard":           {runtime.Exit{Known: true}, reason, rpc.Farewell{}, CauseSelfRestart, "plugin update"},
		"stop, log cut off":            {runtime.Exit{Known: true}, nil, stop, CauseStopped, "signal"},
		"restart of an adopted one":    {runtime.Exit{}, nil, restart, CauseSelfRestart, ""},
		"stop of an adopted one":       {runtime.Exit{}, nil, stop, CauseStopped, ""},
		"adopted, nothing heard":       {runtime.Exit{}, nil, rpc.Farewell{}, CauseUnknown, ""},
		"killed while it stops":        {runtime.Exit{Known: true, Signal: 9}, nil, stop, CauseSignal, "SIGKILL"},
		"refused its next config":      {runtime.Exit{Known: true, Code: 78}, nil, restart, CauseConfigRefused, ""},
		"memory ran out meanwhile":     {runtime.Exit{Known: true, OOM: true, Signal: 9}, nil, restart, CauseOOM, ""},
		"crash without a word at all":  {runtime.Exit{Known: true, Code: 1}, nil, rpc.Farewell{}, CauseExitCode, ""},
		"exit 0 and not a word at all": {runtime.Exit{Known: true}, nil, rpc.Farewell{}, CauseSelfRestart, ""},
	} {
		c := ExplainExit(test.exit, test.log, test.farewell)
		if c.Cause != test.cause || !strings.Contains(c.Message, test.message) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
