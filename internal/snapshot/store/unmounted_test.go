package store_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// TestUnmounted: the disk that the store is on is not mounted any more, and what is at its
// place is an empty folder. Nothing is taken for removed, and nothing written to it.
func TestUnmounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := folderOptions(dir, 0)
	s := openOne(t, dir, 0)
	kept := storetest.Save(t, s, storetest.Everything(), storetest.Meta("g"), "")
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(o.Folder, o.Folder+".away")
	if err := os.Mkdir(o.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(ctx context.Context) error{
		"list":  func(ctx context.Context) error { _, err := s.List(ctx, ""); return err },
		"check": s.Check,
		"save": func(ctx context.Context) error {
			_, err := s.Save(ctx, storetest.Everything(), storetest.Meta("g"), "", nil)
			return err
		},
		"open":     func(ctx context.Context) error { _, err := s.Open(ctx, kept.ID); return err },
		"verify":   func(ctx context.Context) error { return s.Verify(ctx, kept.ID, 1, nil) },
		"mark":     func(ctx context.Context) error { return s.Mark(ctx, kept.ID, func(m *store.Marks) { m.Pinned = true }) },
		"remove":   func(ctx context.Context) error { return s.Remove(ctx, kept.ID) },
		"maintain": s.Maintain,
	} {
		err := call(t.Context())
		if a, is := errors.AsType[*store.AccessError](err); !is || a.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if list, err := os.ReadDir(o.Folder); err != nil || len(list) > 0 {
		t.Errorf("it was written to: %v, %v", list, err)
	}
	if err := os.Remove(o.Folder); err != nil {
		t.Fatal(err)
	}
	rename(o.Folder+".away", o.Folder)
	storetest.Expect(t, s, kept.ID, storetest.Everything())
}
