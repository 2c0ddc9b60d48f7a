package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/openclaw/rpc/rpctest"
	"creel/internal/telemetry"
)

// limit bounds what a test waits for; it is reached only where something is wrong.
const limit = 30 * time.Second

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Token == nil {
		o.Token = func() (telemetry.Secret, error) { return rpctest.Token, nil }
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

// attend connects a client to a gateway.
func attend(t *testing.T, g *rpctest.Gateway) *Client {
	t.Helper()
	c := newClient(t, Options{})
	c.Attend(Target{Generation: 1, Addr: g.Addr()})
	until(t, c, "connected", func(v View) bool { return v.Connected })
	return c
}

func until(t *testing.T, c *Client, what string, holds func(View) bool) View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	v, err := c.WaitFor(ctx, holds)
	if err != nil {
		t.Fatalf("%s: %v; last view: %+v", what, err, v)
	}
	return v
}

// Nothing that a proxy adds, no Origin, and the token in the login alone.
func TestLogin(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var log bytes.Buffer
	g := rpctest.New(t)
	c := newClient(t, Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	c.Attend(Target{Generation: 7, Addr: g.Addr()})
	v := until(t, c, "connected", func(v View) bool { return v.Connected })
	if v.Generation != 7 || v.Hello.BootID != g.BootID() || v.Boots != 1 || !v.Hello.Methods["device.pair.list"] || v.Hello.Phase != PhaseAccepting {
		t.Errorf("view: %+v", v)
	}
	heads, urls := g.Handshakes()
	if len(heads) != 1 || urls[0] != "/" {
		t.Fatalf("handshakes: %v", urls)
	}
	for name, values := range heads[0] {
		if strings.HasPrefix(name, "X-") || slices.Contains([]string{"Origin", "Forwarded", "Authorization", "Cookie", "Via"}, name) {
			t.Errorf("the handshake has %s: %v", name, values)
		}
		if strings.Contains(strings.Join(values, " "), rpctest.Token) {
			t.Errorf("the token is in %s", name)
		}
	}
	c.Close()
	if strings.Contains(log.String(), rpctest.Token) || !strings.Contains(log.String(), "boot") {
		t.Errorf("log: %s", &log)
	}
}

func TestRefusedLogins(t *testing.T) {
	t.Run("starting", func(t *testing.T) {
		g := rpctest.New(t)
		g.Starting(2)
		attend(t, g)
		if heads, _ := g.Handshakes(); len(heads) != 3 {
			t.Errorf("%d handshakes, want 3", len(heads))
		}
	})
	t.Run("token", func(t *testing.T) {
		g := rpctest.New(t)
		var mu sync.Mutex
		token := telemetry.Secret("some-other-token-0123456789abcdef")
		c := newClient(t, Options{Token: func() (telemetry.Secret, error) { mu.Lock(); defer mu.Unlock(); return token, nil }})
		c.Attend(Target{Generation: 1, Addr: g.Addr()})
		v := until(t, c, "refused", func(v View) bool { return v.Err != nil })
		var refused *Error
		if !errors.As(v.Err, &refused) || refused.Reason != "AUTH_TOKEN_MISMATCH" || strings.Contains(v.Err.Error(), "some-other-token") {
			t.Errorf("error: %v", v.Err)
		}
		_, err := c.Devices(t.Context())
		var not *NotConnectedError
		if !errors.As(err, &not) || not.Generation != 1 || !errors.As(err, &refused) {
			t.Errorf("a call meanwhile: %v", err)
		}
		mu.Lock()
		token = rpctest.Token
		mu.Unlock()
		until(t, c, "the token is asked for again", func(v View) bool { return v.Connected })
	})
	t.Run("scopes", func(t *testing.T) {
		g := rpctest.New(t)
		g.Grant()
		c := newClient(t, Options{})
		c.Attend(Target{Generation: 1, Addr: g.Addr()})
		v := until(t, c, "refused", func(v View) bool { return v.Err != nil })
		var scopes *ScopeError
		if !errors.As(v.Err, &scopes) {
			t.Errorf("error: %v", v.Err)
		}
	})
}

func TestCalls(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	ctx := t.Context()
	d, err := c.Devices(ctx)
	if err != nil || len(d.Pending) != 2 || len(d.Paired) != 0 {
		t.Fatalf("devices: %+v, %v", d, err)
	}
	p := d.Pending[0]
	if len(p.DeviceID) != 64 || p.Name != "Bens Phone" || p.Platform != "linux" || p.RemoteIP != "198.51.100.7" || p.At.Time().Year() != 2026 || len(p.Scopes) != 2 {
		t.Errorf("pending: %+v", p)
	}
	g.Answer("device.pair.list", rpctest.Always(rpctest.Payload(t, "devices", "device.pair.list", 2)))
	if d, err = c.Devices(ctx); err != nil || len(d.Paired) != 1 || d.Paired[0].Label != "Anna at home" || d.Paired[0].ApprovedVia != "owner" || !d.Paired[0].Revoked() {
		t.Errorf("paired: %+v, %v", d, err)
	}
	for what, do := range map[string]func() error{
		`device.pair.approve {"requestId":"r"}`:                      func() error { return c.ApproveRequest(ctx, "r") },
		`device.pair.reject {"requestId":"r"}`:                       func() error { return c.RejectRequest(ctx, "r") },
		`device.pair.remove {"deviceId":"d"}`:                        func() error { return c.RemoveDevice(ctx, "d") },
		`device.pair.rename {"deviceId":"d","label":"l"}`:            func() error { return c.RenameDevice(ctx, "d", "l") },
		`device.token.revoke {"deviceId":"d","role":"operator"}`:     func() error { return c.RevokeToken(ctx, "d") },
		`channels.start {"channel":"telegram","accountId":"second"}`: func() error { s, err := c.StartChannel(ctx, "telegram", "second"); return notStarted(s, err) },
		`channels.status {}`: func() error {
			a, err := c.Channels(ctx)
			if err == nil && (len(a) != 1 || a[0].Channel != "telegram" || a[0].ID != "default" || !a[0].Running || !a[0].Enabled || !a[0].Configured) {
				err = fmt.Errorf("accounts: %+v", a)
			}
			return err
		},
		`health {}`: func() error {
			h, err := c.Health(ctx)
			if err == nil && !h.OK {
				err = errors.New("not ok")
			}
			return err
		},
		`system-presence {}`: func() error {
			p, err := c.Presence(ctx)
			if err == nil && (len(p) != 1 || p[0].Mode != "gateway") {
				err = fmt.Errorf("presence: %+v", p)
			}
			return err
		},
		`gateway.restart.preflight {}`: func() error {
			w, err := c.Work(ctx)
			if n, ok := w.Counts["embeddedRuns"]; err == nil && (!ok || n != 0 || w.Total != 0) {
				err = fmt.Errorf("work: %+v", w)
			}
			return err
		},
		`cron.list {}`: func() error {
			jobs, err := c.Jobs(ctx)
			if err == nil && (len(jobs) != 3 || jobs[0].Name != "heartbeat-main" || !jobs[0].Enabled || jobs[0].NextRun.Time().Year() != 2026) {
				err = fmt.Errorf("jobs: %+v", jobs)
			}
			return err
		},
	} {
		method, params, _ := strings.Cut(what, " ")
		before := len(g.Calls(method))
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if calls := g.Calls(method)[before:]; len(calls) != 1 || string(calls[0].Params) != params {
			t.Errorf("%s: it came as %s", what, calls)
		}
	}
}

func notStarted(s ChannelStart, err error) error {
	if err == nil && (!s.Started || s.Outcome.Status != "handed-off") {
		return fmt.Errorf("outcome: %+v", s)
	}
	return err
}

func TestRefusedCall(t *testing.T) {
	g := rpctest.New(t)
	g.Answer("device.pair.approve", rpctest.Refuse(rpctest.Refusal(t, "methods", "device.pair.approve")))
	c := attend(t, g)
	err := c.ApproveRequest(t.Context(), "gone")
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != CodeInvalidRequest || refused.Method != "device.pair.approve" || refused.Retryable {
		t.Errorf("%#v", err)
	}
}

// Every reply comes to its own caller.
func TestRepliesFindTheirCallers(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	type pair struct{ X, Y int }
	var callers sync.WaitGroup
	for i := range queuedFrames { // no more than may wait to be sent
		callers.Go(func() {
			method := fmt.Sprintf("echo.%d", i)
			g.Answer(method, rpctest.Always(pair{X: i}))
			var got pair
			if err := c.Call(t.Context(), method, nil, &got); err != nil || got.X != i {
				t.Errorf("%s: %+v, %v", method, got, err)
			}
		})
	}
	callers.Wait()
}

func TestCallEndsWithItsContext(t *testing.T) {
	g := rpctest.New(t)
	asked := make(chan struct{})
	g.Answer("slow", func(json.RawMessage) (any, any) { close(asked); return nil, nil })
	c := attend(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-asked; cancel() }()
	err := c.Call(ctx, "slow", nil, nil)
	var lost *LostError
	if !errors.As(err, &lost) || !errors.Is(err, context.Canceled) {
		t.Errorf("after it was sent: %v", err)
	}
	for range 100 { // whether or not the client is waiting for something to do
		if err := c.Call(ctx, "slow", nil, nil); !errors.Is(err, context.Canceled) || errors.As(err, &lost) {
			t.Fatalf("before it was sent: %v", err)
		}
	}
	if _, err := c.Devices(t.Context()); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// A connection that is lost in the middle of a call leaves its outcome open, and
// is made anew.
func TestLostConnection(t *testing.T) {
	for name, lose := range map[string]func(*rpctest.Gateway){
		"crash": (*rpctest.Gateway).Drop,
		"close": func(g *rpctest.Gateway) { g.Close(1012, "service restart") },
	} {
		t.Run(name, func(t *testing.T) {
			g := rpctest.New(t)
			asked := make(chan struct{})
			g.Answer("slow", func(json.RawMessage) (any, any) { close(asked); return nil, nil })
			c := attend(t, g)
			go func() { <-asked; lose(g) }()
			err := c.Call(t.Context(), "slow", nil, nil)
			var lost *LostError
			if !errors.As(err, &lost) || lost.Method != "slow" {
				t.Errorf("%v", err)
			}
			v := until(t, c, "connected again", func(v View) bool { return v.Connected })
			if v.Boots != 1 {
				t.Errorf("the same gateway was counted again: %+v", v)
			}
		})
	}
}

// A restart within the process is told by the boot id, and what was said before
// it belongs to it alone.
func TestReboot(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	g.Push("shutdown", map[string]any{"reason": "gateway restarting", "restartExpectedMs": 1500})
	v := until(t, c, "farewell", func(v View) bool { return v.Farewell.Said() })
	if !v.Farewell.Restarts() || v.Farewell.Reason != "gateway restarting" || v.Farewell.Back != 1500*time.Millisecond {
		t.Errorf("farewell: %+v", v.Farewell)
	}
	g.Reboot()
	v = until(t, c, "the next boot", func(v View) bool { return v.Connected && v.Boots == 2 })
	if v.Hello.BootID != "boot-1" || v.Farewell.Said() {
		t.Errorf("view: %+v", v)
	}
}

func TestStopIsNoRestart(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	g.Push("shutdown", map[string]any{"reason": "gateway stopping"})
	if v := until(t, c, "farewell", func(v View) bool { return v.Farewell.Said() }); v.Farewell.Restarts() {
		t.Errorf("%+v", v.Farewell)
	}
}

// An instance that has ended is not tried any more, and nothing of it reaches
// the next one's view.
func TestGenerations(t *testing.T) {
	first, second := rpctest.New(t), rpctest.New(t)
	second.Reboot()
	c := newClient(t, Options{})
	if _, err := c.Devices(t.Context()); !errors.As(err, new(*NotConnectedError)) {
		t.Errorf("without a target: %v", err)
	}
	ended := make(chan struct{})
	c.Attend(Target{Generation: 1, Addr: first.Addr(), Done: ended})
	until(t, c, "connected", func(v View) bool { return v.Connected })
	close(ended)
	v := until(t, c, "ended", View.Ended)
	if v.Connected || v.Generation != 1 {
		t.Errorf("%+v", v)
	}
	first.Push("shutdown", map[string]any{"reason": "late"})
	c.Attend(Target{Generation: 2, Addr: second.Addr()})
	v = until(t, c, "the second", func(v View) bool { return v.Connected })
	if v.Generation != 2 || v.Hello.BootID != "boot-1" || v.Farewell.Said() || v.Boots != 1 {
		t.Errorf("%+v", v)
	}
	if heads, _ := first.Handshakes(); len(heads) != 1 {
		t.Errorf("the first one was tried %d times", len(heads))
	}
	c.Attend(Target{Generation: 2, Addr: second.Addr()})
	if heads, _ := second.Handshakes(); !c.View().Connected || len(heads) != 1 {
		t.Error("naming the same one again has cost its connection")
	}
	c.Attend(Target{})
	until(t, c, "nobody", func(v View) bool { return v.Generation == 0 && !v.Connected })
}

// A slow reader of events loses events, is told how many, and slows nobody.
func TestEvents(t *testing.T) {
	g := rpctest.New(t)
	c := attend(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow, quick := c.Events(ctx, 1), c.Events(ctx, 100)
	for i := range 10 {
		g.Push("device.pair.requested", map[string]any{"n": i})
	}
	n := 0
	for e := range quick {
		if e.Name != "device.pair.requested" || e.Generation != 1 || e.Missed != 0 {
			t.Errorf("event %d: %+v", n, e)
		}
		if n++; n == 10 {
			break
		}
	}
	n = 0
	for e := range slow {
		if n == 0 && e.Missed != 0 || n == 1 && e.Missed != 9 {
			t.Errorf("event %d: missed %d", n, e.Missed)
		}
		if n++; n == 2 {
			break
		}
		g.Push("device.pair.requested", map[string]any{"n": 10})
	}
}

// A gateway that takes nothing any more refuses callers at once, not in the end.
func TestBusy(t *testing.T) {
	g := rpctest.New(t)
	g.Mute()
	c := attend(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	defer callers.Wait()
	defer cancel()
	results := make(chan error, 2*pendingCalls)
	long := strings.Repeat("x", 1<<17)
	for range pendingCalls + 1 {
		callers.Go(func() { results <- c.Call(ctx, "slow", map[string]string{"x": long}, nil) })
	}
	select {
	case err := <-results:
		if !errors.As(err, new(*BusyError)) {
			t.Errorf("%v", err)
		}
	case <-time.After(limit):
		t.Error("nobody was refused")
	}
}

func TestClosed(t *testing.T) {
	g := rpctest.New(t)
	asked := make(chan struct{})
	g.Answer("slow", func(json.RawMessage) (any, any) { close(asked); return nil, nil })
	c := attend(t, g)
	go func() { <-asked; c.Close() }()
	if err := c.Call(t.Context(), "slow", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a call under way: %v", err)
	}
	c.Close()
	if err := c.Call(t.Context(), "slow", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a call: %v", err)
	}
	if _, err := c.WaitFor(t.Context(), func(v View) bool { return v.Connected }); !errors.Is(err, ErrClosed) {
		t.Errorf("waiting: %v", err)
	}
	for range c.Events(t.Context(), 1) {
		t.Error("an event")
	}
	if _, err := c.Drain(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("drain: %v", err)
	}
	c.Attend(Target{Generation: 2, Addr: g.Addr()})
}
