package snapshot

import (
	"context"
	"errors"
	"testing"

	"creel/internal/crashpoint"
)

// TestOrFreshIsCalledOff: that whoever asked has thought better of it is no failure for
// which the state is to begin anew, nor to be restored all the same.
func TestOrFreshIsCalledOff(t *testing.T) {
	for _, at := range []string{"check", "list", "files"} {
		t.Run(at, func(t *testing.T) {
			w, k, s := two(t)
			defer w.Sup.running.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			w.Store.check = func(method string) {
				if method == at {
					cancel()
				}
			}
			_, err := k.Restore(ctx, RestoreRequest{OrFresh: true, NoSnapshot: true})
			if !errors.Is(err, context.Canceled) || w.Sup.Status().Generation != 1 || w.says() != "two" {
				t.Errorf("%v; generation %d; the state says %q", err, w.Sup.Status().Generation, w.says())
			}
			w.settled(k, s)
		})
	}
}

// TestStagedAheadNeedsNoStore: what lies beside the state is put in its place though the
// store is away by then.
func TestStagedAheadNeedsNoStore(t *testing.T) {
	for _, orFresh := range []bool{false, true} {
		w, k, s := two(t)
		w.run(k)
		staged := false
		k.restore.OnPassed(func(p crashpoint.Point) {
			if p == crashpoint.RestoreStaged {
				staged = true
				w.Store.fail("list", errDown)
			}
		})
		got, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID, OrFresh: orFresh})
		if err != nil || got.ID != s.ID || w.says() != "one" || !staged {
			t.Errorf("or fresh: %v: %+v, %v; the state says %q", orFresh, got, err, w.says())
		}
		w.Store.fail("list", nil)
		w.settled(k, s)
	}
}
