package runtimetest

import (
	"context"
	"errors"
	"testing"

	"creel/internal/runtime"
)

func freeze(t *testing.T, i runtime.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := i.Freeze(ctx); err != nil {
		t.Fatalf("freeze: %v", err)
	}
	requireFrozen(t, i, true)
}

func thaw(t *testing.T, i runtime.Instance) {
	t.Helper()
	if err := i.Thaw(); err != nil {
		t.Fatalf("thaw: %v", err)
	}
	requireFrozen(t, i, false)
}

func requireFrozen(t *testing.T, i runtime.Instance, want bool) {
	t.Helper()
	if got, err := i.Frozen(); err != nil || got != want {
		t.Fatalf("frozen: %v, %v; want %v", got, err, want)
	}
}

func testFreeze(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	c := o.count(t, i.Addr(), "/count")
	for range 3 {
		freeze(t, i)
		c.requireStill(t)
		thaw(t, i)
		c.requireGrow(t)
	}
	Ask(t, i.Addr())
}

func testFreezeForking(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	c := o.count(t, i.Addr(), "/fork")
	for range 3 {
		freeze(t, i)
		c.requireStill(t)
		thaw(t, i)
		c.requireGrow(t)
	}
}

func testFreezeTwice(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	requireFrozen(t, i, false)
	thaw(t, i)
	c := o.count(t, i.Addr(), "/count")
	freeze(t, i)
	freeze(t, i)
	c.requireStill(t)
	thaw(t, i)
	thaw(t, i)
	c.requireGrow(t)
}

func testFreezeCancelled(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.Freeze(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("freeze: %v", err)
	}
	requireFrozen(t, i, false)
	Ask(t, i.Addr())
}

func testFreezeEnded(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	Exit(i.Addr(), 1)
	awaitDone(t, i)
	var ended *runtime.EndedError
	if err := i.Freeze(t.Context()); !errors.As(err, &ended) || ended.Generation != 1 {
		t.Errorf("freeze: %v", err)
	}
	thaw(t, i)
	mustKill(t, i)
	thaw(t, i)
}

func testKillFrozen(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appStubborn))
	o.count(t, i.Addr(), "/count")
	freeze(t, i)
	mustKill(t, i)
	awaitDone(t, i)
	requireGone(t, o, i)
	requireFrozen(t, i, false)
	var ended *runtime.EndedError
	if err := i.Freeze(t.Context()); !errors.As(err, &ended) {
		t.Errorf("freeze after kill: %v", err)
	}
}

func testKillFreezing(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appStubborn))
	o.count(t, i.Addr(), "/fork")
	end := make(chan struct{})
	go func() {
		defer close(end)
		for i.Freeze(t.Context()) == nil {
			if i.Thaw() != nil {
				return
			}
		}
	}()
	mustKill(t, i)
	<-end
	requireGone(t, o, i)
}

func testTerminateFrozen(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appOrderly))
	freeze(t, i)
	if err := i.Terminate(); err != nil {
		t.Fatal(err)
	}
	if exit := awaitDone(t, i); exit.Code != 7 || exit.Signal != 0 {
		t.Errorf("exit: %+v (%s)", exit, exit)
	}
}

func testFindFrozen(t *testing.T, h Harness) {
	o := open(t, h)
	first := o.start(t, o.spec(t, appServe))
	c := o.count(t, first.Addr(), "/count")
	freeze(t, first)
	o.reopen(t)
	i, err := o.Find(t.Context())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	requireFrozen(t, i, true)
	c.requireStill(t)
	thaw(t, i)
	c.requireGrow(t)
	Ask(t, i.Addr())
}

func testKillFoundFrozen(t *testing.T, h Harness) {
	o := open(t, h)
	first := o.start(t, o.spec(t, appStubborn))
	o.count(t, first.Addr(), "/count")
	freeze(t, first)
	o.reopen(t)
	i, err := o.Find(t.Context())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	mustKill(t, i)
	awaitDone(t, i)
	requireGone(t, o, i)
}

func testLateThaw(t *testing.T, h Harness) {
	o := open(t, h)
	spec := o.spec(t, appServe)
	first := o.start(t, spec)
	freeze(t, first)
	mustKill(t, first)
	spec.Generation++
	second := o.start(t, spec)
	requireFrozen(t, second, false)
	freeze(t, second)
	thaw(t, first)
	requireFrozen(t, second, true)
	mustKill(t, first)
	requireFrozen(t, second, true)
	thaw(t, second)
	Ask(t, second.Addr())
}
