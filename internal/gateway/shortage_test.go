package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"creel/internal/runtime"
)

// full makes a supervisor that takes ENOSPC for a want that may pass.
func full(o *Options) {
	o.Shortage = func(err error) bool { return errors.Is(err, syscall.ENOSPC) }
}

// TestShortageIsNoCrash: a gateway that cannot be started for want of room is
// started as soon as there is some, however long that takes; the attempts count
// for nothing, and take no numbers.
func TestShortageIsNoCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, full).run()
		r.wants(Ready, 1)
		r.rt.change(func(h *hooks) {
			h.onStart = func(context.Context, runtime.Spec, *fakeInstance) error {
				return &os.PathError{Op: "write", Path: "instance.json", Err: syscall.ENOSPC}
			}
		})
		r.rt.now().crash()
		pass(20 * time.Minute)
		r.wants(Starting, 1)
		if st := r.Status(); st.Generation != 2 || st.Fruitless > 1 {
			t.Errorf("after 20 minutes: %+v", st)
		}
		r.rt.change(func(h *hooks) { h.onStart = nil })
		pass(lastShortagePause)
		r.wants(Ready, 1, 2)
	})
}

// TestShortageEndsWithAStop: a person's stop calls the waiting off.
func TestShortageEndsWithAStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, full)
		r.rt.onStart = func(context.Context, runtime.Spec, *fakeInstance) error { return syscall.ENOSPC }
		r.run()
		pass(time.Minute)
		r.wants(Starting)
		r.ask(r.Stop)
		r.wants(Stopped)
	})
}

// TestShortageInProbing: a probe that could not be made says nothing of the
// instance.
func TestShortageInProbing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var want atomic.Bool
		want.Store(true)
		r := newRig(t, func(o *Options) { o.Shortage = func(err error) bool { return err != nil && want.Load() } })
		r.rt.made = func(i *fakeInstance) { i.ready.set(false) }
		r.run()
		pass(10 * readyTime)
		r.wants(Starting, 1)
		want.Store(false)
		pass(2 * readyTime)
		if starts := r.rt.starts(); len(starts) < 2 {
			t.Errorf("with the want over, one that is not ready is not replaced: %v", starts)
		}
	})
}

// TestNumberThatCannotBeWritten: nothing is started under a number that is not on
// disk.
func TestNumberThatCannotBeWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "gone")
		r := newRig(t, func(o *Options) {
			o.IntentPath = filepath.Join(dir, "intent.json")
			o.Shortage = func(err error) bool { return errors.Is(err, os.ErrNotExist) }
		}).run()
		pass(time.Minute)
		r.wants(Starting)
		if got := r.rt.starts(); len(got) != 0 {
			t.Errorf("started %v", got)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		pass(lastShortagePause)
		r.wants(Ready, 1)
	})
}
