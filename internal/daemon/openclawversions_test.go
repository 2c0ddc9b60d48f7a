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
		d := &versionDesk{requests: make(chan versionRequest), left: make(chan struct{}), upgrader: upgrade.New(upgrade.Options{
			Layout: layout, Gateway: g, Configured: func() string { return "1" }, Install: func(context.Context, string) error { return nil },
		})}
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
