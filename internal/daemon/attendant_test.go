package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
	"creel/internal/openclaw/rpc/rpctest"
	"creel/internal/telemetry"
)

// patience bounds what a test waits for; it is reached only where something is
// wrong.
const patience = 30 * time.Second

// statuses is a supervisor's status, set by the test.
type statuses struct {
	mu      sync.Mutex
	now     gateway.Status
	changed chan struct{}
	waiters int
}

func newStatuses() *statuses { return &statuses{changed: make(chan struct{})} }

func (s *statuses) set(st gateway.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = st
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *statuses) look() (gateway.Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.changed
}

func (s *statuses) waiting(change ...int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range change {
		s.waiters += n
	}
	return s.waiters
}

func (s *statuses) Status() gateway.Status { st, _ := s.look(); return st }

func (s *statuses) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	for {
		st, changed := s.look()
		if holds(st) {
			return st, nil
		}
		s.waiting(1)
		select {
		case <-changed:
			s.waiting(-1)
		case <-ctx.Done():
			s.waiting(-1)
			return st, context.Cause(ctx)
		}
	}
}

// pages is a journal that is waited for.
type pages struct{ all chan event.Event }

func (p pages) Record(e event.Event) { p.all <- e }

func (p pages) next(t *testing.T, kind event.Kind) event.Event {
	t.Helper()
	select {
	case e := <-p.all:
		if e.Kind != kind {
			t.Fatalf("%s: %s; want %s", e.Kind, e.Message, kind)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("no %s", kind)
		return event.Event{}
	}
}

// attended is an openClaw that attends a gateway for tests.
type attended struct {
	*openClaw
	beside
	gw     *rpctest.Gateway
	status *statuses
	pages  pages
}

func newAttended(t *testing.T) *attended {
	a := &attended{openClaw: &openClaw{providers: &providers{}, cfg: func() config.Gateway { return config.Defaults().Gateway }}, gw: rpctest.New(t), status: newStatuses(), pages: pages{make(chan event.Event, 100)}}
	a.token.Store(telemetry.Secret(rpctest.Token))
	a.beside = beside{name: "openclaw", version: "1", gateway: a.status, journal: a.pages, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.attend(ctx, a.beside) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

// ready makes an instance the present one and waits until it is talked to.
func (a *attended) ready(t *testing.T, generation uint64, change ...func(*gateway.Status)) {
	t.Helper()
	st := gateway.Status{Name: "openclaw", State: gateway.Ready, Generation: generation, Addr: a.gw.Addr()}
	for _, c := range change {
		c(&st)
	}
	a.status.set(st)
	a.until(t, func(v rpc.View) bool { return v.Connected && v.Generation == generation })
}

func (a *attended) until(t *testing.T, holds func(rpc.View) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll(t, "a client", func() bool { return a.openClaw.client.Load() != nil })
	if v, err := a.openClaw.client.Load().WaitFor(ctx, holds); err != nil {
		t.Fatalf("%v: %+v", err, v)
	}
}

// poll looks again and again, for as long as patience lasts.
func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not: " + what)
		}
	}
}

func ended(generation uint64, cause string, fruitless int) func(*gateway.Status) {
	return func(st *gateway.Status) {
		st.LastEnd = &gateway.End{Generation: generation, At: time.Now(), Cause: gateway.Cause(cause)}
		st.Fruitless = fruitless
	}
}

func suppressed(t *testing.T, a *attended) {
	a.gw.Answer("channels.status", rpctest.Always(rpctest.Payload(t, "suppressed", "channels.status", 0)))
	a.gw.Suppress("telegram")
}

// Channels that are off are on again after each of ten kills, and the journal
// says so; those that are on are left alone.
func TestChannelsAfterKills(t *testing.T) {
	a := newAttended(t)
	a.ready(t, 1)
	suppressed(t, a)
	for g := uint64(2); g <= 11; g++ {
		a.status.set(gateway.Status{State: gateway.Starting, Generation: g})
		a.ready(t, g, ended(g-1, openclaw.CauseSignal, 0))
		e := a.pages.next(t, event.ChannelsOn)
		if e.Generation != g || !strings.Contains(e.Message, "telegram") {
			t.Errorf("%+v", e)
		}
	}
	if n := len(a.gw.Calls("channels.start")); n != 10 {
		t.Errorf("started %d times", n)
	}
}

// A channel that brings the gateway down is not started for ever.
func TestChannelsThatCrash(t *testing.T) {
	a := newAttended(t)
	suppressed(t, a)
	a.ready(t, 1)
	a.pages.next(t, event.ChannelsOn)
	a.ready(t, 2, ended(1, openclaw.CauseExitCode, 1))
	a.pages.next(t, event.ChannelsOn)
	a.ready(t, 3, ended(2, openclaw.CauseExitCode, 1))
	e := a.pages.next(t, event.ChannelsOff)
	if !strings.Contains(e.Message, "channels.start") || len(a.gw.Calls("channels.start")) != 2 {
		t.Errorf("%s after %d starts", e.Message, len(a.gw.Calls("channels.start")))
	}
}

// While creel's own breaker pauses between starts, no channel is added before the
// instance has lived for a moment.
func TestChannelsWaitForCreelsBreaker(t *testing.T) {
	a := newAttended(t)
	suppressed(t, a)
	waits := func(generation uint64) time.Time {
		t.Helper()
		began := time.Now()
		known := len(a.gw.Calls("channels.start"))
		a.ready(t, generation, ended(generation-1, openclaw.CauseSignal, 3))
		poll(t, "the revival waits, beside the two who follow", func() bool { return a.status.waiting() == 3 })
		if n := len(a.gw.Calls("channels.start")); n != known {
			t.Errorf("started %d times in a crash loop", n-known)
		}
		return began
	}
	waits(4)
	a.status.set(gateway.Status{State: gateway.Ready, Generation: 4, Addr: a.gw.Addr()}) // forgiven
	a.pages.next(t, event.ChannelsOn)
	began := waits(5)
	a.pages.next(t, event.ChannelsOn)
	if took := time.Since(began); took < livesFor {
		t.Errorf("its channels are started after %v", took)
	}
}

func TestChannelsThatFail(t *testing.T) {
	a := newAttended(t)
	suppressed(t, a)
	a.gw.Answer("channels.start", rpctest.Refuse(map[string]any{"code": "INVALID_REQUEST", "message": "no such channel"}))
	a.ready(t, 1)
	if e := a.pages.next(t, event.ChannelsOff); !strings.Contains(e.Message, "no such channel") {
		t.Errorf("%+v", e)
	}
}

func TestReboot(t *testing.T) {
	a := newAttended(t)
	a.ready(t, 1)
	a.gw.Push("shutdown", map[string]any{"reason": "gateway restarting", "restartExpectedMs": 1500})
	a.until(t, func(v rpc.View) bool { return v.Farewell.Said() })
	if f := a.farewell(); !f.Restarts() {
		t.Errorf("%+v", f)
	}
	a.gw.Reboot()
	if e := a.pages.next(t, event.Rebooted); e.Generation != 1 || e.Fields["boot_id"] != "boot-1" {
		t.Errorf("%+v", e)
	}
	if f := a.farewell(); f.Said() {
		t.Errorf("a farewell of the boot before: %+v", f)
	}
}

// What is under way may end before the signal, and what does not is said.
func TestRetire(t *testing.T) {
	a := newAttended(t)
	a.ready(t, 1)
	a.status.set(gateway.Status{State: gateway.Stopping, Generation: 1, Addr: a.gw.Addr()})
	a.retire(t.Context(), 2, a.beside)
	if n := len(a.gw.Calls("")); len(a.gw.Calls("gateway.suspend.prepare")) != 0 {
		t.Errorf("another generation's stop has led to %d calls", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a.gw.Busy(1 << 30)
	retired := make(chan struct{})
	go func() { defer close(retired); a.retire(ctx, 1, a.beside) }()
	poll(t, "its work is known, and looked at again", func() bool { return len(a.gw.Calls("gateway.suspend.status")) > 0 })
	cancel() // its time is over
	<-retired
	if e := a.pages.next(t, event.Stopping); !strings.Contains(e.Message, "1 active embedded run(s)") || a.gw.Phase() != "draining" {
		t.Errorf("%s; it is %s", e.Message, a.gw.Phase())
	}
	a.gw.Busy(2)
	a.retire(t.Context(), 1, a.beside)
	if e := a.pages.next(t, event.Stopping); !strings.HasPrefix(e.Message, "OpenClaw's work has ended after ") || !strings.HasSuffix(e.Message, ": 1 active embedded run(s)") {
		t.Errorf("%s", e.Message)
	}
	a.retire(t.Context(), 1, a.beside) // nothing is under way: nothing is told
	if a.gw.Phase() != "prepared" {
		t.Errorf("it is %s", a.gw.Phase())
	}
}

// A gateway that an earlier creel has left suspended, in the midst of a stop, says that
// it is not ready: it is told to go on nevertheless. One that starts is left alone.
func TestLeftSuspended(t *testing.T) {
	a := newAttended(t)
	a.gw.SuspendAs(`{"requestId":"creel-stop","drain":true,"terminalPolicy":"terminate"}`)
	a.status.set(gateway.Status{State: gateway.Starting, Generation: 1, Addr: a.gw.Addr()})
	poll(t, "all who follow wait", func() bool { return a.status.waiting() == 2 })
	if heads, _ := a.gw.Handshakes(); len(heads) != 0 || a.gw.Phase() != "prepared" {
		t.Errorf("an instance that starts is talked to, and is %s", a.gw.Phase())
	}
	a.status.set(gateway.Status{State: gateway.Starting, Adopted: true, Generation: 1, Addr: a.gw.Addr()})
	poll(t, "it goes on", func() bool { return a.gw.Phase() == "accepting" })
}

// What is decided about devices is in the journal, with whom it was about.
func TestDeviceDesk(t *testing.T) {
	a := newAttended(t)
	desk := a.devices(a.beside)
	if _, err := desk.List(t.Context()); !errors.As(err, new(*rpc.NotConnectedError)) {
		t.Errorf("before it is ready: %v", err)
	}
	a.ready(t, 1)
	list, err := desk.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := desk.Approve(t.Context(), "2bae2dff"); err != nil {
		t.Fatal(err)
	}
	e := a.pages.next(t, event.DeviceApproved)
	if e.Fields["device"] != list[0].ID || !strings.Contains(e.Message, "Bens Phone") || !strings.Contains(e.Message, "198.51.100.7") {
		t.Errorf("%+v", e)
	}
	if err := desk.(*deviceDesk).letIn(t.Context(), list[1].Request(), "anna"); err != nil {
		t.Fatal(err)
	}
	if e := a.pages.next(t, event.DeviceApproved); e.Fields["person"] != "anna" || e.Fields["device"] != list[1].ID {
		t.Errorf("%+v", e)
	}
	if _, err := desk.Reject(t.Context(), "16b58eca"); err != nil {
		t.Fatal(err)
	}
	a.pages.next(t, event.DeviceRejected)
	if _, err := desk.ApproveAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.pages.next(t, event.DeviceApproved)
	a.pages.next(t, event.DeviceApproved)
	a.gw.Answer("device.pair.list", func(json.RawMessage) (any, any) {
		return json.RawMessage(`{"pending":[],"paired":[{"deviceId":"2bae2dff"}]}`), nil
	})
	if _, err := desk.Rename(t.Context(), "2bae", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Revoke(t.Context(), "2bae"); err != nil {
		t.Fatal(err)
	}
	a.pages.next(t, event.DeviceRevoked)
}
