package upgrade

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/snapshot"
)

// cutRestart is a supervisor that is left in the moment it is asked for a restart.
type cutRestart struct {
	*world
	cut func()
}

func (c cutRestart) Restart(context.Context) error {
	c.cut()
	return errors.New("creel is stopping")
}

// An upgrade that its creel is cut off at while it asks for the restart is not taken
// back: the next creel may be at it already, and the record is its.
func TestCutInRestart(t *testing.T) {
	w := newWorld(t)
	ctx, cut := context.WithCancel(t.Context())
	u := w.upgrader()
	u.opts.Gateway = cutRestart{w, cut}
	if _, err := u.Upgrade(ctx, Request{Version: "2"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Upgrade: %v", err)
	}
	if r := w.record(); r.Trial == nil || r.Effective("1") != "2" {
		t.Errorf("record %+v", r)
	}
	// Nor does one begin anything that has nobody to bring it to its end.
	if err := u.Resume(ctx); !errors.Is(err, context.Canceled) || w.record().Trial == nil {
		t.Errorf("Resume: %v", err)
	}
}

// restartsOf counts restarts.
type restartsOf struct {
	*world
	n int
}

func (r *restartsOf) Restart(context.Context) error { r.n++; return nil }

// Once it has to end, Resume has nothing restarted any more.
func TestResumeTooLate(t *testing.T) {
	w := newWorld(t)
	trial := &openclaw.Trial{From: "1", To: "2", Phase: openclaw.Trying, Configured: "1", Generation: 7, Started: time.Now()}
	if err := (openclaw.VersionRecord{Trial: trial}).Write(w.layout); err != nil {
		t.Fatal(err)
	}
	r := &restartsOf{world: w}
	u := w.upgrader()
	u.opts.Gateway = r
	ctx, cut := context.WithCancel(t.Context())
	cut()
	if err := u.Resume(ctx); !errors.Is(err, context.Canceled) || r.n != 0 {
		t.Errorf("Resume: %v, after %d restarts", err, r.n)
	}
}

// A way back that ends because creel does has not failed: what the next creel finds is
// a way back to go on with.
func TestWayBackIsCut(t *testing.T) {
	for name, err := range map[string]error{"the keeper ends": fmt.Errorf("cannot restore: %w", snapshot.ErrEnding), "it is cut": context.Canceled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.script = func(string, int) gateway.Status { return ends(gateway.Failed, gateway.CauseExit) }
				w.fails["restore"] = err
				_, steps, got := w.run(w.upgrader())
				if got == nil || steps[len(steps)-1] != RollingBack {
					t.Errorf("Upgrade: %v, %v", steps, got)
				}
				if r := w.record(); r.Trial == nil || r.Trial.Phase != openclaw.RollingBack || r.Last != nil {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}
