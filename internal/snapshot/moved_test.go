package snapshot

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMovedOnDuringTrial: a restored state on which no instance had got ready before another
// machine took the gateway over is no more to go on with than any other: neither where it
// is tried again, nor once it has made room for the old one.
func TestMovedOnDuringTrial(t *testing.T) {
	shared := t.TempDir()
	la, lb := &leased{fence: 1}, &leased{fence: 2}
	a, stateA := sharer(t, shared, la, "first")
	must(t, prepared(t, a, 1))
	first, err := a.Create(t.Context(), Request{})
	must(t, err)
	mark(t, stateA, "gone on")
	must(t, a.record.change(func(r *record) { r.Wish = &wish{ID: first.ID} }))
	must(t, prepared(t, a, 2))
	if a.record.get().Trial != 2 {
		t.Fatalf("%+v", a.record.get())
	}

	b, stateB := sharer(t, shared, lb, "")
	must(t, prepared(t, b, 1))
	mark(t, stateB, "second")
	second, err := b.Create(t.Context(), Request{})
	must(t, err)

	la.fence = 3
	must(t, prepared(t, a, 3))
	if got, err := os.ReadFile(filepath.Join(stateA, "marker")); err != nil || string(got) != "second" {
		t.Errorf("it goes on with %q, %v", got, err)
	}
	a.Ready(3)
	must(t, a.prove())
	if s, err := a.Create(t.Context(), Request{}); err != nil || s.Fence != 3 || s.Parent != second.ID {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestMovedOnOutranksTheOldState: the old state, which comes back for a moment, is not told
// of as the newest, for what the other machine has saved may not be to be had just now.
func TestMovedOnOutranksTheOldState(t *testing.T) {
	for _, moved := range []bool{true, false} {
		r := record{Fence: 3, Trial: 2, Undoing: true, Wish: &wish{ID: "b", Moved: moved}, Earlier: &record{Lineage: "l", Last: "a", Fence: 1}}
		r.takeBack()
		if r.Fence != 3 || r.Last != "a" || r.Wish == nil || (r.Accepted == nil) != moved {
			t.Errorf("moved: %v: %+v", moved, r)
		}
	}
}
