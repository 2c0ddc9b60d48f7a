package storetest

// What a store says of the snapshots that it holds: the list, their marks, and
// what is no longer there.

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"creel/internal/snapshot/store"
)

func list(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	if all, err := s.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Fatalf("an empty store lists %v, %v", all, err)
	}
	var want []string
	for _, g := range []string{"a", "b", "a"} {
		snap := Save(t, s, NewTree("state"), Meta(g), "")
		want = append(want, fmt.Sprintf("%+v", snap))
	}
	for gateway, want := range map[string][]string{"": want, "a": {want[0], want[2]}, "b": {want[1]}, "c": nil} {
		all, err := s.List(t.Context(), gateway)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range all {
			got = append(got, fmt.Sprintf("%+v", x))
		}
		if !slices.Equal(got, want) {
			t.Errorf("gateway %q:\ngot  %s\nwant %s", gateway, got, want)
		}
	}
	if _, err := s.Save(t.Context(), NewTree("state"), store.Meta{ID: "x", Gateway: "g"}, "", nil); err == nil {
		t.Error("an id that is none is taken")
	}
	first, second := Meta("within a second"), Meta("within a second")
	second.Time = first.Time.Add(time.Millisecond)
	first.ID, second.ID = store.ID(string(first.ID[:len(first.ID)-4])+"ffff"), store.ID(string(first.ID[:len(first.ID)-4])+"0000")
	Save(t, s, NewTree("state"), first, "")
	Save(t, s, NewTree("state"), second, "")
	if all, err := s.List(t.Context(), first.Gateway); err != nil || len(all) != 2 || all[1].ID != second.ID {
		t.Errorf("the newest of two within a second is not the last: %+v, %v", all, err)
	}
	m := Meta("g")
	Save(t, s, NewTree("state"), m, "")
	if _, err := s.Save(t.Context(), NewTree("state"), m, "", nil); err == nil {
		t.Error("an id is taken twice")
	}
}

func marks(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	a, b := Save(t, s, NewTree("state"), Meta("g"), ""), Save(t, s, NewTree("state"), Meta("g"), "")
	want := store.Marks{Verified: At, Sampled: At.Add(time.Hour), Damaged: "why", Shrunk: "how much", Pinned: true}
	if err := s.Mark(t.Context(), a.ID, func(m *store.Marks) { *m = want }); err != nil {
		t.Fatal(err)
	}
	expectMarks(t, s, a.ID, want)
	expectMarks(t, s, b.ID, store.Marks{})
	if err := s.Mark(t.Context(), a.ID, func(m *store.Marks) { m.Pinned, m.Damaged, m.Verified = false, "", time.Time{} }); err != nil {
		t.Fatal(err)
	}
	want.Pinned, want.Damaged, want.Verified = false, "", time.Time{}
	expectMarks(t, s, a.ID, want)
	expectMarks(t, Open(t, p, 1), a.ID, want)
	if err := s.Mark(t.Context(), store.NewID(At), func(*store.Marks) {}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("marking what is not there gives %v", err)
	}
	Expect(t, s, a.ID, NewTree("state"))
}

// smaller saves one that is said to be smaller: it is marked so from the beginning, until
// the mark is taken away, and not again with another mark.
func smaller(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	m := Meta("g")
	m.Smaller = "by much"
	snap := Save(t, s, NewTree("state"), m, "")
	if snap.Shrunk != m.Smaller {
		t.Errorf("saved as %+v", snap)
	}
	expectMarks(t, s, snap.ID, store.Marks{Shrunk: m.Smaller})
	for _, change := range []func(*store.Marks){
		func(m *store.Marks) { m.Sampled = At }, func(m *store.Marks) { m.Shrunk = "" }, func(m *store.Marks) { m.Pinned = true },
	} {
		if err := s.Mark(t.Context(), snap.ID, change); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []store.Store{s, Open(t, p, 1)} {
		expectMarks(t, s, snap.ID, store.Marks{Sampled: At, Pinned: true})
	}
}

func expectMarks(t *testing.T, s store.Store, id store.ID, want store.Marks) {
	t.Helper()
	all, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if x.ID == id && fmt.Sprintf("%+v", x.Marks) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s is marked %+v and not %+v", id, x.Marks, want)
		}
	}
}

// marksOfTwo marks different things from two machines that have not seen each
// other's.
func marksOfTwo(t *testing.T, p *Place) {
	a, b := Open(t, p, 0), Open(t, p, 1)
	snap := Save(t, a, NewTree("state"), Meta("g"), "")
	var ready, wait sync.WaitGroup
	ready.Add(2)
	together := func(s store.Store, change func(*store.Marks)) {
		wait.Go(func() {
			if err := s.Mark(t.Context(), snap.ID, func(m *store.Marks) {
				ready.Done()
				ready.Wait() // both have read what is there
				change(m)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	together(a, func(m *store.Marks) { m.Pinned = true })
	together(b, func(m *store.Marks) { m.Verified = At })
	wait.Wait()
	for _, s := range []store.Store{a, b} {
		expectMarks(t, s, snap.ID, store.Marks{Pinned: true, Verified: At})
	}
}

func remove(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	from := Everything()
	a, b := Save(t, s, from, Meta("g"), ""), Save(t, s, from, Meta("g"), "")
	if err := s.Mark(t.Context(), a.ID, func(m *store.Marks) { m.Pinned = true }); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), a.ID, store.NewID(At)); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context(), "")
	if err != nil || len(all) != 1 || all[0].ID != b.ID {
		t.Errorf("listed: %v, %v", all, err)
	}
	if _, err := s.Open(t.Context(), a.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("opening what is removed gives %v", err)
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	Expect(t, s, b.ID, from)
}

func notFound(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	if _, err := s.Open(t.Context(), store.NewID(At)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	if err := s.Verify(t.Context(), store.NewID(At), 1, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("verify: %v", err)
	}
	if err := s.Remove(t.Context(), store.NewID(At)); err != nil {
		t.Errorf("remove: %v", err)
	}
}

// expectNothing holds a store to having no snapshot.
func expectNothing(t *testing.T, s store.Store) {
	t.Helper()
	if all, err := s.List(t.Context(), ""); err != nil || len(all) > 0 {
		t.Errorf("listed: %v, %v", all, err)
	}
}
