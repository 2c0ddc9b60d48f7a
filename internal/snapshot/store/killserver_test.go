package store_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// TestServerKilledAt kills the S3 server at the nth request by which a call changes
// something, before the server has seen it and after, and holds what is listed
// afterwards to being whole, and the same call to coming to its end.
func TestServerKilledAt(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(f *faulty, old store.ID) error{
		"remove": func(f *faulty, old store.ID) error { return f.s.Remove(context.Background(), old) },
		"mark": func(f *faulty, _ store.ID) error {
			return f.s.Mark(context.Background(), f.kept.ID, func(m *store.Marks) { m.Pinned = true })
		},
		"maintain": func(f *faulty, _ store.ID) error { return f.s.Maintain(context.Background()) },
	} {
		moments := []int{2, 4}
		if *allKills {
			moments = []int{1, 2, 3, 4, 5, 6, 7, 8}
		} else if name == "mark" { // all that it does remove does, too
			continue
		}
		for _, nth := range moments {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d, seen: %v", name, nth, after), func(t *testing.T) {
					t.Parallel()
					killServerAt(t, nth, after, call)
				})
			}
		}
	}
}

func killServerAt(t *testing.T, nth int, after bool, call func(*faulty, store.ID) error) {
	f := newFaulty(t)
	gone := f.tree.Clone()
	gone.File("state/gone", storetest.Noise(6, 200_000))
	old := storetest.Save(t, f.s, gone, storetest.Meta("g"), f.kept.ID)
	var killed atomic.Bool
	changes := 0
	f.proxy.Set(func(r *http.Request) storetest.Fault {
		if killed.Load() {
			return storetest.Reset
		}
		if r.Method != http.MethodPut && r.Method != http.MethodDelete {
			return nil
		}
		if changes++; changes < nth {
			return nil
		}
		return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			killed.Store(true)
			if after {
				storetest.Swallow(r, pass)
			}
			f.srv.Kill()
			storetest.Reset(w, r, pass)
		}
	})
	store.SetPatience(f.s, 4*time.Second) // for as long it asks a server that is gone
	err := call(f, old.ID)
	store.SetPatience(f.s, longPatience)
	if !killed.Load() {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("it makes only %d changes", changes)
	} else {
		t.Logf("the call says: %v", err)
		f.srv.Restart()
	}
	f.proxy.Set(nil)
	f.whole(t)
	if err := call(f, old.ID); err != nil {
		t.Errorf("the second time: %v", err)
	}
	f.whole(t)
	if err := f.save(t); err != nil {
		t.Error(err)
	}
}

// whole holds all that another machine finds to being whole, and the snapshot that
// nobody has touched to being there.
func (f *faulty) whole(t *testing.T) {
	t.Helper()
	other, err := store.Open(t.Context(), s3Options(f.dir, f.srv.Addr, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	all, err := other.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, x := range all {
		found = found || x.ID == f.kept.ID
		if err := other.Verify(t.Context(), x.ID, 1, nil); err != nil {
			t.Error(err)
		}
	}
	if !found {
		t.Errorf("%s is not among %d snapshots", f.kept.ID, len(all))
	}
	storetest.Expect(t, other, f.kept.ID, f.tree)
}
