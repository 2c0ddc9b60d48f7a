package gateway

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNotGoneIsTold: the status says what is in the way of an instance's end for as long
// as it is, and no longer.
func TestNotGoneIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const why = "a process hangs in the kernel" // see fakeInstance.Kill
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := newRig(t).run()
		r.wants(Ready)
		i := r.rt.now()
		i.unkillable.Store(true)
		i.die(syscall.SIGKILL, 0)
		if st, err := r.WaitFor(ctx, func(st Status) bool { return strings.Contains(st.Reason, why) }); err != nil || st.State != Stopping {
			t.Fatalf("%s: %s, %v", st.State, st.Reason, err)
		}
		i.unkillable.Store(false)
		if st, err := r.WaitFor(ctx, func(st Status) bool { return st.Generation > i.record.Generation }); err != nil || strings.Contains(st.Reason, why) {
			t.Fatalf("%s: %s, %v", st.State, st.Reason, err)
		}
		r.wants(Ready)
		r.rt.now().ignoreTerm.Store(true)
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st, err := r.WaitFor(ctx, func(st Status) bool { return st.State == Stopping }); err != nil || strings.Contains(st.Reason, why) {
			t.Errorf("of the next one: %s, %v", st.Reason, err)
		}
	})
}
