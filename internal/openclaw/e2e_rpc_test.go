//go:build e2e

package openclaw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"creel/internal/openclaw/rpc"
	"creel/internal/telemetry"
	"creel/test/fake"
)

// talkTo connects creel's client to a gateway that is ready.
func (g *realGateway) talkTo(t *testing.T, i *instance) *rpc.Client {
	t.Helper()
	c := rpc.New(rpc.Options{Token: func() (telemetry.Secret, error) { return telemetry.Secret(g.token), nil }, Version: "1.0.0"})
	t.Cleanup(c.Close)
	c.Attend(rpc.Target{Generation: 1, Addr: fmt.Sprintf("127.0.0.1:%d", g.port), Done: i.done})
	view(t, c, func(v rpc.View) bool { return v.Connected })
	return c
}

func view(t *testing.T, c *rpc.Client, holds func(rpc.View) bool) rpc.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	v, err := c.WaitFor(ctx, holds)
	if err != nil {
		t.Fatalf("%v: %+v", err, v)
	}
	return v
}

// TestE2ERPC is one gateway's life as creel's client sees it.
func TestE2ERPC(t *testing.T) {
	g := newRealGateway(t)
	llm := fake.NewLLM(t)
	text := getConfig(t, g.layout)
	i := strings.LastIndexByte(text, '}')
	putConfig(t, g.layout, text[:i]+`, "models": {"mode": "merge", "providers": {"fake": {"baseUrl": "`+llm.URL()+`", "apiKey": "sk-fake", "api": "openai-completions",
		"models": [{"id": "fake-1", "name": "Fake", "reasoning": false, "input": ["text"], "contextWindow": 128000, "maxTokens": 4096}]}}},
		"agents": {"defaults": {"model": {"primary": "fake/fake-1"}, "skipBootstrap": true}} }`)
	inst := g.start(t)
	g.ready(t, inst)
	c := g.talkTo(t, inst)
	t.Run("answers", func(t *testing.T) { testAnswers(t, g, c) })
	t.Run("devices", func(t *testing.T) { testRealDevices(t, g, c) })
	t.Run("list", func(t *testing.T) { testListLatency(t, c) })
	t.Run("drain", func(t *testing.T) { testRealDrain(t, g, inst, c, llm) })
	t.Run("farewell", func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
		defer cancel()
		if _, err := c.Drain(ctx); err != nil {
			t.Error(err)
		}
		inst.signal(t, syscall.SIGTERM)
		v := view(t, c, func(v rpc.View) bool { return v.Farewell.Said() })
		if v.Farewell.Restarts() {
			t.Errorf("a stop is told as a restart: %+v", v.Farewell)
		}
		cause := inst.exit(t)
		t.Logf("drained and ended after %v", time.Since(began))
		if cause.Cause != CauseStopped {
			t.Errorf("%+v", cause)
		}
		view(t, c, rpc.View.Ended)
	})
	t.Run("self-restart", func(t *testing.T) {
		again := g.start(t)
		g.ready(t, again)
		c.Attend(rpc.Target{Generation: 2, Addr: fmt.Sprintf("127.0.0.1:%d", g.port), Done: again.done})
		view(t, c, func(v rpc.View) bool { return v.Connected && v.Generation == 2 })
		if err := c.Call(t.Context(), "gateway.restart.request", map[string]any{"reason": "a test of restarts"}, nil); err != nil {
			t.Fatal(err)
		}
		v := view(t, c, func(v rpc.View) bool { return v.Farewell.Said() })
		if !v.Farewell.Restarts() {
			t.Errorf("a restart is told as a stop: %+v", v.Farewell)
		}
		if cause := again.exit(t); cause.Cause != CauseSelfRestart || !strings.Contains(cause.Message, "a test of restarts") {
			t.Errorf("%+v", cause)
		}
	})
}

// testAnswers: every method has the shape that was recorded.
func testAnswers(t *testing.T, g *realGateway, c *rpc.Client) {
	ctx := t.Context()
	v := c.View()
	t.Logf("%s, scopes %v", v.Hello.Version, v.Hello.Scopes)
	if v.Hello.Version != DefaultVersion || v.Hello.Phase != rpc.PhaseAccepting || v.Hello.Tick != 30*time.Second || len(v.Hello.Scopes) != 8 {
		t.Errorf("hello: version %s, phase %s, tick %v, scopes %v", v.Hello.Version, v.Hello.Phase, v.Hello.Tick, v.Hello.Scopes)
	}
	for _, method := range []string{
		"health", "system-presence", "channels.status", "channels.start", "device.pair.list", "device.pair.approve", "device.pair.reject", "device.pair.remove",
		"device.pair.rename", "device.token.revoke", "cron.list", "gateway.restart.preflight", "gateway.suspend.prepare", "gateway.suspend.status", "gateway.suspend.resume",
	} {
		if !v.Hello.Methods[method] {
			t.Errorf("there is no %s", method)
		}
	}
	if h, err := c.Health(ctx); err != nil || !h.OK {
		t.Errorf("health: %+v, %v", h, err)
	}
	if p, err := c.Presence(ctx); err != nil || !slices.ContainsFunc(p, func(p rpc.Presence) bool { return p.Mode == "gateway" }) {
		t.Errorf("presence: %+v, %v", p, err)
	}
	if w, err := c.Work(ctx); err != nil || w.Counts == nil {
		t.Errorf("work: %+v, %v", w, err)
	}
	if jobs, err := c.Jobs(ctx); err != nil || len(jobs) == 0 || !slices.ContainsFunc(jobs, func(j rpc.Job) bool { return j.NextRun.Time().After(time.Now()) }) {
		t.Errorf("jobs: %+v, %v", jobs, err)
	}
	if a, err := c.Channels(ctx); err != nil || len(a) != 0 {
		t.Errorf("channels: %+v, %v", a, err)
	}
	if off, err := Suppressed(ctx, strings.TrimPrefix(g.url(), "http://")); err != nil || len(off) != 0 {
		t.Errorf("suppressed: %v, %v", off, err)
	}
	var refused *rpc.Error
	if err := c.Call(ctx, "nonsense", nil, nil); !errors.As(err, &refused) || refused.Code != rpc.CodeInvalidRequest {
		t.Errorf("an unknown method: %v", err)
	}
}

func testRealDevices(t *testing.T, g *realGateway, c *rpc.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	events := c.Events(ctx, 100)
	anna, ben := fake.NewDevice(t, "Anna's laptop", "203.0.113.9"), fake.NewDevice(t, "Ben's phone", "198.51.100.7")
	addr := strings.TrimPrefix(g.url(), "http://")
	for _, d := range []*fake.Device{anna, ben} {
		if _, err := d.Connect(ctx, addr, g.token); err == nil || !strings.Contains(err.Error(), "pairing required") {
			t.Fatalf("an unknown device: %v", err)
		}
	}
	requested := 0
	for e := range events {
		if e.Name == "device.pair.requested" {
			if requested++; requested == 2 {
				break
			}
		}
	}
	devices := Devices{c}
	list, err := devices.List(ctx)
	if err != nil || len(list) != 2 || list[0].State != DevicePending || list[1].State != DevicePending {
		t.Fatalf("%+v, %v", list, err)
	}
	// A device that tries again has another request, and the same id.
	if _, err := anna.Connect(ctx, addr, g.token); err == nil {
		t.Fatal("let in without approval")
	}
	began := time.Now()
	got, err := devices.Approve(ctx, anna.ID[:8])
	if err != nil || got.Name != anna.Name || got.Address != "203.0.113.9" || got.Platform != "linux" {
		t.Fatalf("approve: %+v, %v", got, err)
	}
	conn, err := anna.Connect(ctx, addr, g.token)
	if err != nil {
		t.Fatalf("after approval: %v", err)
	}
	t.Logf("approved and let in after %v", time.Since(began))
	if _, err := devices.Rename(ctx, anna.ID, "Anna"); err != nil {
		t.Error(err)
	}
	if _, err := devices.Reject(ctx, ben.ID); err != nil {
		t.Error(err)
	}
	if list, err = devices.List(ctx); err != nil || len(list) != 1 || list[0].Title() != "Anna" || list[0].State != DevicePaired || !list[0].Connected {
		t.Errorf("%+v, %v", list, err)
	}
	// Shut out: its connection is closed, and it has to ask again.
	if _, err := devices.Revoke(ctx, anna.ID); err != nil {
		t.Error(err)
	}
	for err = nil; err == nil; {
		_, _, err = conn.Read(ctx)
	}
	if code := websocket.CloseStatus(err); code != 4001 {
		t.Errorf("the connection of a device that was shut out ended with %v", err)
	}
	if _, err := anna.Connect(ctx, addr, g.token); err == nil || !strings.Contains(err.Error(), "pairing required") {
		t.Errorf("a device that was shut out: %v", err)
	}
	if all, err := devices.ApproveAll(ctx); err != nil || len(all) != 1 || all[0].ID != anna.ID {
		t.Errorf("approve all: %+v, %v", all, err)
	}
	if err := c.RevokeToken(ctx, anna.ID); err != nil {
		t.Error(err)
	}
	if list, err = devices.List(ctx); err != nil || len(list) != 1 || list[0].State != DeviceRevoked {
		t.Errorf("%+v, %v", list, err)
	}
}

// testListLatency measures the device list against the real gateway.
func testListLatency(t *testing.T, c *rpc.Client) {
	const n = 200
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if _, err := (Devices{c}).List(t.Context()); err != nil {
			t.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	t.Logf("device list, %d times: p50 %v, p99 %v, max %v (bar: p50 20ms)", n, took[n/2], took[n*99/100], took[n-1])
}

// testRealDrain: a turn keeps a drain waiting, and nothing new is begun meanwhile. If
// the creel that has asked for it dies, the next one tells the gateway to go on.
func testRealDrain(t *testing.T, g *realGateway, inst *instance, c *rpc.Client, llm *fake.LLM) {
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	llm.Hold()
	defer llm.Release() // the drain of the stop that follows waits for the rest of it
	if err := c.Call(ctx, "chat.send", map[string]any{"sessionKey": "agent:main:main", "message": "How is it?", "idempotencyKey": "turn-1"}, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-llm.Asked():
	case <-ctx.Done():
		t.Fatal("the model was not asked")
	}
	if w, err := c.Work(ctx); err != nil || w.Total == 0 {
		t.Errorf("work during a turn: %+v, %v", w, err)
	}
	drain, cancelDrain := context.WithTimeout(ctx, time.Second)
	defer cancelDrain()
	_, err := c.Drain(drain)
	var work *rpc.WorkError
	if !errors.As(err, &work) || len(work.Blockers) == 0 {
		t.Errorf("a drain during a turn: %v", err)
	}
	t.Logf("%v", err)
	view(t, c, func(v rpc.View) bool { return v.Hello.Phase == rpc.PhaseDraining })
	if status, _ := get(t, g.url()+"/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("readyz meanwhile: %d", status)
	}
	var refused *rpc.Error
	if _, err := c.Devices(ctx); !errors.As(err, &refused) || refused.Reason != rpc.ReasonSuspending || !refused.Retryable {
		t.Errorf("a call meanwhile: %v", err)
	}
	began := time.Now()
	g.talkTo(t, inst)
	view(t, c, func(v rpc.View) bool { return v.Hello.Phase == rpc.PhaseAccepting })
	t.Logf("goes on %v after the next creel has come", time.Since(began).Round(time.Millisecond))
	if status, _ := get(t, g.url()+"/readyz", nil); status != http.StatusOK {
		t.Errorf("readyz afterwards: %d", status)
	}
}
