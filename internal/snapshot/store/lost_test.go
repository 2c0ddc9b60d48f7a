package store_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// shop is a place whose blobs a test can take away.
type shop struct {
	open  func(t *testing.T, machine int) store.Store
	blobs func(t *testing.T, kind string) []string // files, by the first letter of their blobs
}

func folderShop(t *testing.T) *shop {
	dir := t.TempDir()
	return &shop{
		open: func(t *testing.T, machine int) store.Store { return openOne(t, dir, machine) },
		blobs: func(t *testing.T, kind string) (found []string) {
			for _, f := range names(t, filepath.Join(dir, "repository")) {
				if strings.Contains(f, "/repository/"+kind+"/") && strings.HasSuffix(f, ".f") {
					found = append(found, f)
				}
			}
			return found
		},
	}
}

func bucketShop(t *testing.T) *shop {
	dir := t.TempDir()
	srv := storetest.StartServer(t, bucketDir(t, dir))
	return &shop{
		open: func(t *testing.T, machine int) store.Store {
			t.Helper()
			s, err := store.Open(t.Context(), s3Options(dir, srv.Addr, machine))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close(context.Background()) })
			return s
		},
		blobs: func(t *testing.T, kind string) (found []string) {
			for _, f := range names(t, filepath.Join(srv.Dir, "bucket", "some", "where")) {
				if strings.HasPrefix(filepath.Base(f), kind) && !strings.HasPrefix(filepath.Base(f), "where") {
					found = append(found, f)
				}
			}
			return found
		},
	}
}

// TestLostIndex takes blobs of the index away, from a store that is open and before it
// is opened: nothing that was saved is missing afterwards, on any machine, and what
// maintenance would have taken for left over is kept.
func TestLostIndex(t *testing.T) {
	t.Parallel()
	for place, fresh := range map[string]func(*testing.T) *shop{"folder": folderShop, "s3": bucketShop} {
		for name, c := range map[string]struct{ open, all bool }{
			"before it is opened": {}, "while it is open": {open: true}, "all of it": {all: true}, "all of it, while it is open": {true, true},
		} {
			if place == "s3" && c.open != c.all { // what is different there is the listing
				continue
			}
			t.Run(place+"/"+name, func(t *testing.T) {
				t.Parallel()
				lostIndex(t, fresh(t), c.open, c.all)
			})
		}
	}
}

func lostIndex(t *testing.T, p *shop, open, all bool) {
	s := p.open(t, 0)
	old := storetest.Everything()
	kept := storetest.Save(t, s, old, storetest.Meta("g"), "")
	before := p.blobs(t, "x")
	latest := old.Clone()
	latest.File("state/new", storetest.Noise(5, 100_000))
	last := storetest.Save(t, s, latest, storetest.Meta("g"), kept.ID)
	if err := s.Mark(t.Context(), last.ID, func(m *store.Marks) { m.Pinned = true }); err != nil {
		t.Fatal(err)
	}
	gone := slices.DeleteFunc(p.blobs(t, "x"), func(f string) bool { return !all && slices.Contains(before, f) })
	if len(gone) < 3 {
		t.Fatalf("only %q would go", gone)
	}
	for _, f := range gone {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if open {
		if list, err := s.List(t.Context(), "g"); err != nil || len(list) == 2 {
			t.Fatalf("the index is gone, and listed are %v, %v: this proves nothing", list, err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	} else {
		s = p.open(t, 1)
	}
	for machine, s := range []store.Store{s, p.open(t, 2)} {
		list, err := s.List(t.Context(), "g")
		if err != nil || len(list) != 2 || list[1].ID != last.ID || !list[1].Pinned {
			t.Fatalf("%d: listed: %v, %v", machine, list, err)
		}
		for _, x := range list {
			if err := s.Verify(t.Context(), x.ID, 1, nil); err != nil {
				t.Errorf("%d: %v", machine, err)
			}
		}
		storetest.Expect(t, s, kept.ID, old)
		storetest.Expect(t, s, last.ID, latest)
		if err := s.Maintain(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestLostIndexSeenFirst has each of the calls that may delete something, or must not
// pass over anything, find out by itself.
func TestLostIndexSeenFirst(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, store.Store, store.ID) error{
		"check":    func(ctx context.Context, s store.Store, _ store.ID) error { return s.Check(ctx) },
		"maintain": func(ctx context.Context, s store.Store, _ store.ID) error { return s.Maintain(ctx) },
		"remove":   func(ctx context.Context, s store.Store, old store.ID) error { return s.Remove(ctx, old) },
		"verify":   func(ctx context.Context, s store.Store, old store.ID) error { return s.Verify(ctx, old, 1, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := folderShop(t)
			s := p.open(t, 0)
			from := storetest.Everything()
			old := storetest.Save(t, s, from, storetest.Meta("g"), "")
			before := p.blobs(t, "x")
			last := storetest.Save(t, s, from, storetest.Meta("g"), old.ID)
			for _, f := range p.blobs(t, "x") {
				if !slices.Contains(before, f) {
					if err := os.Remove(f); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := call(t.Context(), s, old.ID); err != nil {
				t.Fatal(err)
			}
			list, err := s.List(t.Context(), "g")
			if err != nil || len(list) == 0 || list[len(list)-1].ID != last.ID {
				t.Errorf("listed: %v, %v", list, err)
			}
			storetest.Expect(t, s, last.ID, from)
		})
	}
}

// TestLostIndexBeyondHelp: a pack that is in no index and cannot be read keeps everything
// from being given up and chosen from, but not from being saved, read and listed.
func TestLostIndexBeyondHelp(t *testing.T) {
	t.Parallel()
	p := folderShop(t)
	s := p.open(t, 0)
	from := storetest.Everything()
	old := storetest.Save(t, s, from, storetest.Meta("g"), "")
	indexes, packs := p.blobs(t, "x"), p.blobs(t, "q")
	storetest.Save(t, s, from, storetest.Meta("g"), old.ID)
	for _, f := range p.blobs(t, "x") {
		if !slices.Contains(indexes, f) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	var harmed []string
	for _, f := range p.blobs(t, "q") {
		if !slices.Contains(packs, f) {
			harmed = append(harmed, f)
			if err := os.Truncate(f, 20); err != nil {
				t.Fatal(err)
			}
		}
	}
	fresh := p.open(t, 1)
	for _, s := range []store.Store{s, fresh} {
		for name, call := range map[string]func() error{
			"check":    func() error { return s.Check(t.Context()) },
			"maintain": func() error { return s.Maintain(t.Context()) },
			"remove":   func() error { return s.Remove(t.Context(), old.ID) },
		} {
			if _, damaged := errors.AsType[*store.DamagedError](call()); !damaged {
				t.Errorf("%s gives %v", name, call())
			}
		}
		storetest.Expect(t, s, old.ID, from)
		next := storetest.Save(t, s, from, storetest.Meta("g"), old.ID)
		storetest.Expect(t, s, next.ID, from)
	}
	for _, f := range harmed {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := fresh.Check(t.Context()); err != nil {
		t.Errorf("given up by hand: %v", err)
	}
}

// TestNothingComesBack: what was removed stays so, on a machine that looks anew at any
// time, over all that maintenance does with it in a week; also where nothing has been
// written down of what was given up, as in a store from before.
func TestNothingComesBack(t *testing.T) {
	t.Parallel()
	for name, forgotten := range map[string]bool{"written down": false, "not written down": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nothingComesBack(t, forgotten)
		})
	}
}

func nothingComesBack(t *testing.T, forgotten bool) {
	dir := t.TempDir()
	place := folderPlace(t, dir)
	s := storetest.Open(t, place, 0)
	from := storetest.Everything()
	kept := storetest.Save(t, s, from, storetest.Meta("g"), "")
	large := from.Clone()
	large.File("state/large", storetest.Noise(7, 2*largePack))
	gone := storetest.Save(t, s, large, storetest.Meta("g"), kept.ID)
	if err := s.Remove(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for range 20 { // lists are put together every so often
		from.File("state/more", storetest.Noise(uint64(time.Now().UnixNano()), 50_000))
		x := storetest.Save(t, s, from, storetest.Meta("g"), kept.ID)
		if err := s.Remove(t.Context(), kept.ID); err != nil {
			t.Fatal(err)
		}
		kept = x
	}
	size := place.Size()
	for day := range 8 {
		for f := range all(t, dir) {
			if forgotten && strings.Contains(strings.ReplaceAll(f, "/", ""), "creel-given-up") {
				if err := os.Remove(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
		}
		blobs := all(t, dir)
		fresh, err := place.Open(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []store.Store{fresh, s} {
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if after := all(t, dir); !maps.Equal(blobs, after) {
				t.Errorf("day %d: what was given up is taken for lost, and put into the index again", day)
			}
			if list, err := s.List(t.Context(), ""); err != nil || len(list) != 1 || list[0].ID != kept.ID {
				t.Fatalf("day %d: listed: %v, %v", day, list, err)
			}
		}
		if err := fresh.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		place.Later(25 * time.Hour)
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if place.Size() > size-largePack {
		t.Errorf("%d bytes have become %d", size, place.Size())
	}
	storetest.Expect(t, s, kept.ID, from)
}

const largePack = 12 << 20
