package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
	"creel/internal/snapshot/tree"
)

// TestDamage harms the packs that only one snapshot needs, and holds the store
// to saying so, to leaving the other alone, and to mending it by a new save.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"p", "q"} {
		for name, harm := range map[string]func(string) error{
			"flip": flip, "truncate": func(f string) error { return os.Truncate(f, 100) },
			"empty": func(f string) error { return os.Truncate(f, 0) }, "delete": os.Remove,
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				damage(t, kind, harm)
			})
		}
	}
}

func damage(t *testing.T, kind string, harm func(string) error) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), folderOptions(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	good := storetest.Everything()
	kept := storetest.Save(t, s, good, storetest.Meta("g"), "")
	before := blobs(t, dir, kind)
	bad := good.Clone()
	bad.File("state/new", storetest.Noise(8, 500_000))
	bad.File("workspace/copy", storetest.Noise(8, 500_000)) // what it has is in the store once
	hurt := storetest.Save(t, s, bad, storetest.Meta("g"), kept.ID)
	for _, f := range added(t, before, blobs(t, dir, kind)) {
		if err := harm(f); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Verify(t.Context(), hurt.ID, 1, nil)
	d, ok := errors.AsType[*store.DamagedError](err)
	if !ok || d.ID != hurt.ID {
		t.Fatalf("verify gives %v", err)
	}
	if kind == "p" && (fmt.Sprint(d.Paths) != "[state/new workspace/copy]" || !strings.Contains(d.Error(), `"workspace/copy"`)) {
		t.Errorf("the damage is at %q, and it says: %v", d.Paths, d)
	}
	if err := read(t, s, hurt.ID); err == nil {
		t.Error("what is damaged reads as whole")
	} else if _, ok := errors.AsType[*store.DamagedError](err); !ok {
		t.Errorf("reading gives %v", err)
	}
	if err := s.Verify(t.Context(), kept.ID, 1, nil); err != nil {
		t.Error(err)
	}
	storetest.Expect(t, s, kept.ID, good)
	again := storetest.Save(t, s, bad, storetest.Meta("g"), hurt.ID)
	if err := s.Verify(t.Context(), again.ID, 1, nil); err != nil {
		t.Errorf("saved again: %v", err)
	}
	storetest.Expect(t, s, again.ID, bad)
}

// TestBroughtBack takes packs away, has that noticed by all who notice it, and brings
// them back from a copy: all is whole again, and stays so through maintenance.
func TestBroughtBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"p", "q"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			place := folderPlace(t, dir)
			s := storetest.Open(t, place, 0)
			from := storetest.Everything()
			kept := storetest.Save(t, s, from, storetest.Meta("g"), "")
			before := blobs(t, dir, kind)
			from.File("state/new", storetest.Noise(8, 500_000))
			last := storetest.Save(t, s, from, storetest.Meta("g"), kept.ID)
			gone := added(t, before, blobs(t, dir, kind))
			for _, f := range gone {
				if err := os.Rename(f, filepath.Join(dir, filepath.Base(f))); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Verify(t.Context(), last.ID, 1, nil); err == nil {
				t.Fatal("what is gone is not missed")
			}
			_ = s.Maintain(t.Context()) // whatever it makes of it
			for _, f := range gone {
				if err := os.Rename(filepath.Join(dir, filepath.Base(f)), f); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				if err := s.Verify(t.Context(), last.ID, 1, nil); err != nil {
					t.Fatal(err)
				}
				storetest.Expect(t, s, last.ID, from)
				place.Later(25 * time.Hour)
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// added gives the blobs that a Save has added, but for the metadata pack that
// lists snapshots, which comes last.
func added(t *testing.T, before, after map[string]time.Time) []string {
	t.Helper()
	var fresh []string
	for f := range after {
		if _, old := before[f]; !old {
			fresh = append(fresh, f)
		}
	}
	slices.SortFunc(fresh, func(a, b string) int { return after[a].Compare(after[b]) })
	if len(fresh) == 0 {
		t.Fatal("nothing was added")
	}
	if len(fresh) > 1 {
		fresh = fresh[:len(fresh)-1]
	}
	return fresh
}

func blobs(t *testing.T, dir, kind string) map[string]time.Time {
	t.Helper()
	all := make(map[string]time.Time)
	root := filepath.Join(dir, "repository", kind)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, ".f") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[p] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// flip changes one bit in the middle of a file's largest part.
func flip(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, at := range []int{200, len(data) / 3, len(data) / 2} {
		data[at] ^= 4
	}
	return os.WriteFile(file, data, 0o600)
}

// read reads all of a snapshot.
func read(t *testing.T, s store.Store, id store.ID) error {
	f, err := s.Open(t.Context(), id)
	if err != nil {
		return err
	}
	defer f.Close()
	for e, err := range f.Walk(t.Context()) {
		if err != nil {
			return err
		}
		if e.Kind != tree.File {
			continue
		}
		if err := readFile(t.Context(), f, e); err != nil {
			return err
		}
	}
	return nil
}

// TestDamagedList harms the list that one snapshot is in: the others are still
// there, and nothing is given up.
func TestDamagedList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), folderOptions(dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	good := storetest.Everything()
	kept := storetest.Save(t, s, good, storetest.Meta("g"), "")
	before := blobs(t, dir, "q")
	storetest.Save(t, s, good, storetest.Meta("g"), kept.ID)
	after := blobs(t, dir, "q")
	list := slices.MaxFunc(slices.Collect(maps.Keys(after)), func(a, b string) int { return after[a].Compare(after[b]) })
	if _, old := before[list]; old {
		t.Fatal("nothing was added")
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(t.Context(), folderOptions(dir, 1)); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context(), "")
	if err != nil || len(all) != 1 || all[0].ID != kept.ID {
		t.Errorf("listed: %v, %v", all, err)
	}
	storetest.Expect(t, s, kept.ID, good)
	if _, damaged := errors.AsType[*store.DamagedError](s.Maintain(t.Context())); !damaged {
		t.Errorf("maintain gives %v", err)
	}
}
