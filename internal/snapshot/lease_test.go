package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/store"
)

// leased is a lease that is held, or is another's.
type leased struct {
	fence     uint64
	elsewhere bool
}

func (l *leased) Demand(context.Context) (uint64, error) {
	if l.elsewhere {
		return 0, &owner.ElsewhereError{Owner: owner.Record{Gateway: "g", Machine: "other"}, Free: time.Minute}
	}
	return l.fence, nil
}
func (l *leased) Confirm(ctx context.Context) (uint64, error) { return l.Demand(ctx) }
func (l *leased) TakeOver(context.Context) error              { l.elsewhere = false; return nil }
func (l *leased) Status() owner.Status                        { return owner.Status{Held: !l.elsewhere, Fence: l.fence} }

// resting is a gateway that does not run.
type resting struct{}

func (resting) Looked(context.Context) error { return nil }
func (resting) Still(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	return 0, do(ctx)
}
func (resting) Restart(context.Context) error { return nil }
func (resting) Status() gateway.Status        { return gateway.Status{State: gateway.Stopped} }
func (resting) WaitFor(context.Context, func(gateway.Status) bool) (gateway.Status, error) {
	return gateway.Status{}, errors.ErrUnsupported
}

// sharer is a Keeper on a machine of its own, and its state, with a marker in it.
func sharer(t *testing.T, shared string, l Lease, marker string) (*Keeper, string) {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if marker != "" {
		mark(t, state, marker)
	}
	k, err := New(Options{
		Gateway: "g", Dir: filepath.Join(dir, "keeper"), Roots: []store.Root{{Name: "state", Path: state}}, Supervisor: resting{}, Lease: l,
		Freeze: Freeze{Max: time.Minute}, // a machine may stand still for a while
		OpenStore: func(ctx context.Context) (store.Store, error) {
			return store.Open(ctx, store.Options{Folder: filepath.Join(shared, "repository"), KeyFile: filepath.Join(shared, "key"), CacheDir: filepath.Join(dir, "cache"), Machine: "m"})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return k, state
}

func mark(t *testing.T, state, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(state, "marker"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func prepared(t *testing.T, k *Keeper, generation uint64) error {
	t.Helper()
	return k.Prepare(t.Context(), gateway.StillnessForTest(t), gateway.Preparation{Generation: generation, Restoring: func() {}})
}

// TestLeaseIsDemanded: nothing is launched without it, and the reason is the
// supervisor's.
func TestLeaseIsDemanded(t *testing.T) {
	k, _ := sharer(t, t.TempDir(), &leased{elsewhere: true}, "a")
	err := prepared(t, k, 1)
	if plan, ok := errors.AsType[*gateway.PlanError](err); !ok || plan.Cause != gateway.CauseOwnedElsewhere || plan.Permanent || plan.Hint == "" {
		t.Fatalf("%+v", err)
	}
}

// TestLostStateIsNotSaved: what another machine has moved on from is not saved, and
// would not be taken for the newest if it were; the machine that comes back goes on
// with what the other has saved.
func TestLostStateIsNotSaved(t *testing.T) {
	shared := t.TempDir()
	la, lb := &leased{fence: 1}, &leased{fence: 2, elsewhere: true}
	a, stateA := sharer(t, shared, la, "first")
	if err := prepared(t, a, 1); err != nil {
		t.Fatal(err)
	}
	first, err := a.Create(t.Context(), Request{})
	if err != nil || first.Fence != 1 {
		t.Fatalf("%+v %v", first, err)
	}

	la.elsewhere, lb.elsewhere = true, false
	b, stateB := sharer(t, shared, lb, "")
	if err := prepared(t, b, 1); err != nil {
		t.Fatal(err)
	}
	mark(t, stateB, "second")
	second, err := b.Create(t.Context(), Request{})
	if err != nil || second.Fence != 2 {
		t.Fatalf("%+v %v", second, err)
	}

	mark(t, stateA, "stray")
	var elsewhere *owner.ElsewhereError
	if _, err := a.Create(t.Context(), Request{}); !errors.As(err, &elsewhere) {
		t.Fatalf("%v", err)
	}
	la.elsewhere = false // as if the loss were noticed too late
	stray, err := a.Create(t.Context(), Request{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := b.choose(t.Context(), ""); err != nil || s.ID != second.ID {
		t.Fatalf("%s (taken later: %s) is taken for the newest, not %s: %v", s.ID, stray.ID, second.ID, err)
	}

	la.fence = 3 // it owns it again
	if _, err := a.Create(t.Context(), Request{}); err == nil {
		t.Fatal("a state from before another owner is saved as the newest")
	}
	if err := prepared(t, a, 2); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(stateA, "marker")); err != nil || string(got) != "second" {
		t.Fatalf("it goes on with %q %v", got, err)
	}
	if s, err := a.Create(t.Context(), Request{}); err != nil || s.Fence != 3 {
		t.Fatalf("%+v %v", s, err)
	}
}

// TestMovedOnButUnreadable: if what another machine has saved cannot be restored,
// the gateway does not go on with the older state.
func TestMovedOnButUnreadable(t *testing.T) {
	shared := t.TempDir()
	la, lb := &leased{fence: 1}, &leased{fence: 2}
	a, stateA := sharer(t, shared, la, "first")
	if err := prepared(t, a, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Create(t.Context(), Request{}); err != nil {
		t.Fatal(err)
	}
	b, stateB := sharer(t, shared, lb, "")
	if err := prepared(t, b, 1); err != nil {
		t.Fatal(err)
	}
	mark(t, stateB, "second")
	if _, err := b.Create(t.Context(), Request{}); err != nil {
		t.Fatal(err)
	}
	la.fence = 3
	away := errors.New("the store is away")
	open := a.store.open
	st := a.store.st
	a.store.st = nil
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.store.open = func(context.Context) (store.Store, error) { return nil, away }
	for range 2 {
		if err := prepared(t, a, 2); !errors.Is(err, away) {
			t.Fatalf("%v", err)
		}
	}
	a.store.open = open
	if err := prepared(t, a, 3); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(stateA, "marker")); err != nil || string(got) != "second" {
		t.Fatalf("it goes on with %q %v", got, err)
	}
}
