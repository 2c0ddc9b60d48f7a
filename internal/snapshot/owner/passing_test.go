package owner

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/snapshot/store"
)

// TestTakeOverIsOnce: who was asked to take over what was its own already does not take it
// back from another that is asked later.
func TestTakeOverIsOnce(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		a := newMachine(t, l, home{name: "a", dir: dirs[0]})
		a.start()
		defer a.halt()
		wantHeld(t, a)
		b := newMachine(t, l, home{name: "b", dir: dirs[1]})
		b.start()
		defer b.halt()
		wantElsewhere(t, b, "a")
		for _, m := range []*machine{a, b} {
			time.Sleep(time.Second) // no look that was asked for before is yet to come
			if err := m.TakeOver(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * term)
		wantElsewhere(t, a, "b")
		wantHeld(t, b)
	})
}

// TestConfirmBeforeTheFirstLook: a creel that carries on with a lease may be asked for a
// snapshot before it has reached the store for the first time.
func TestConfirmBeforeTheFirstLook(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLedger{}
		first := newMachine(t, l, home{name: "a", dir: dir})
		first.start()
		wantHeld(t, first)
		first.halt()
		again := newMachine(t, l, home{name: "a", dir: dir})
		again.opts.Open = func(ctx context.Context) (store.Ledger, error) { return again.line, again.line.way(ctx) }
		again.start()
		defer again.halt()
		if fence, err := again.Confirm(t.Context()); err != nil || fence != 1 {
			t.Errorf("%d, %v", fence, err)
		}
	})
}

// TestConfirmUnreached: nobody waits for a store for longer than for one look at it.
func TestConfirmUnreached(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := newMachine(t, &fakeLedger{}, home{name: "a", dir: dir})
		a.opts.Open = func(context.Context) (store.Ledger, error) { return nil, errNetwork }
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(time.Second, cancel).Stop()
		if _, err := a.Confirm(ctx); !unknown(err) { // its Run has not begun
			t.Errorf("got %v", err)
		}
		a.start()
		defer a.halt()
		if _, err := a.Confirm(t.Context()); !unknown(err) {
			t.Errorf("got %v", err)
		}
	})
}

func unknown(err error) bool {
	_, is := errors.AsType[*UnknownError](err)
	return is
}
