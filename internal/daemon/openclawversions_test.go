package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/upgrade"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
)

// restarts is a supervisor that can be restarted after it has failed to be so a few
// times.
type restarts struct {
	*statuses
	fails int
}

func (r *restarts) Restart(context.Context) error {
	if r.fails--; r.fails >= 0 {
		return errors.New("no space left on device")
	}
	st := r.Status()
	st.Generation++
	r.set(st)
	return nil
}

// TestVersionDeskResumes: an upgrade that was cut short is brought to its end, also
// where that does not succeed at once; else no other one could be had until creel is
// started anew.
func TestVersionDeskResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layout, err := openclaw.LayoutIn(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		trial := &openclaw.Trial{From: "1", To: "2", Phase: openclaw.Trying, Configured: "1", Generation: 7, Started: time.Now()}
		if err := (openclaw.VersionRecord{Trial: trial}).Write(layout); err != nil {
			t.Fatal(err)
		}
		g := &restarts{newStatuses(), 2}
		g.set(gateway.Status{State: gateway.Ready, Generation: 7, PID: 1})
		d := newVersionDesk(upgrade.New(upgrade.Options{
			Layout: layout, Gateway: g, Configured: func() string { return "1" }, Install: func(context.Context, string) error { return nil },
		}))
		ctx, cancel := context.WithCancel(t.Context())
		go d.run(ctx, beside{log: slog.New(slog.DiscardHandler)})
		time.Sleep(10 * time.Minute) // synctest's clock
		cancel()
		<-d.left
		if r, err := openclaw.ReadVersionRecord(layout); err != nil || r.Trial != nil || r.Effective("1") != "2" {
			t.Errorf("%+v, %v", r.Trial, err)
		}
	})
}

// keeperOf brings a state back, which lasts.
type keeperOf struct {
	upgrade.Keeper
	begun chan struct{}
	err   error
}

func (k *keeperOf) List(context.Context) ([]store.Snapshot, error) { return nil, nil }

func (k *keeperOf) Restore(ctx context.Context, _ snapshot.RestoreRequest) (snapshot.Restored, error) {
	close(k.begun)
	<-ctx.Done()
	return snapshot.Restored{}, k.err
}

// TestLeaveWithinWayBack: a creel that is left, or stopped, while OpenClaw goes back to the
// version of before has its part in that ended when it lets go of the gateway. The next
// creel finds that the way is still to be gone.
func TestLeaveWithinWayBack(t *testing.T) {
	layout, err := openclaw.LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trial := &openclaw.Trial{From: "1", To: "2", Phase: openclaw.RollingBack, Configured: "1", Generation: 7, Started: time.Now(), Snapshot: "s", Reason: "it ended"}
	if err := (openclaw.VersionRecord{Trial: trial}).Write(layout); err != nil {
		t.Fatal(err)
	}
	k := &keeperOf{begun: make(chan struct{}), err: errors.New("the store is closed")}
	g := &restarts{newStatuses(), 0}
	g.set(gateway.Status{State: gateway.Ready, Generation: 8, PID: 1})
	o := &openClaw{layout: layout, desk: newVersionDesk(upgrade.New(upgrade.Options{Layout: layout, Gateway: g, Keeper: k, Configured: func() string { return "1" }}))}
	e := &engine{d: &daemon{app: o, log: slog.New(slog.DiscardHandler)}}
	go o.desk.run(t.Context(), beside{log: slog.New(slog.DiscardHandler)})
	select {
	case <-k.begun:
	case <-time.After(patience):
		t.Fatal("the way back is not gone on with")
	}
	e.haltUpgrades(t.Context())
	select {
	case <-o.desk.left:
	default:
		t.Error("an upgrade goes on when it was waited for")
	}
	if r, err := openclaw.ReadVersionRecord(layout); err != nil || r.Trial == nil || r.Trial.Phase != openclaw.RollingBack || r.Last != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := o.desk.Upgrade(t.Context(), upgrade.Request{Version: "3"}, nil); err == nil {
		t.Error("another upgrade has begun")
	}
}

// TestHaltDespiteAListener: who does not take what an upgrade tells does not keep it from
// being stopped.
func TestHaltDespiteAListener(t *testing.T) {
	layout, err := openclaw.LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	g := &restarts{newStatuses(), 0}
	g.set(gateway.Status{State: gateway.Ready, Generation: 8, PID: 1})
	d := newVersionDesk(upgrade.New(upgrade.Options{
		Layout: layout, Gateway: g, Configured: func() string { return "1" }, Install: func(context.Context, string) error { return nil },
	}))
	go d.run(t.Context(), beside{log: slog.New(slog.DiscardHandler)})
	stuck, taken, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	defer func() { close(stuck); <-ended }()
	go func() {
		defer close(ended)
		begun := false
		for !begun { // the desk may not be there yet
			_, err := d.Upgrade(context.Background(), upgrade.Request{Version: "2", NoSnapshot: true}, func(upgrade.Step) {
				if !begun {
					begun = true
					close(taken)
					<-stuck
				}
			})
			if _, refused := errors.AsType[*upgrade.RefusedError](err); !refused {
				return
			}
		}
	}()
	select {
	case <-taken:
	case <-time.After(patience):
		t.Fatal("the upgrade has not begun")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.halt(ctx); err != nil {
		t.Error(err)
	}
}
