package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"creel/internal/snapshot/tree"
)

// TestRemovedWhileRead: a snapshot that is removed between the look for it and the reading
// of its list is none, and not a damaged one: of that there is an alarm, and a mark.
func TestRemovedWhileRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := Options{Folder: filepath.Join(dir, "store"), KeyFile: filepath.Join(dir, "key"), CacheDir: filepath.Join(dir, "cache")}
	opened, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*kopiaStore)
	defer func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	id := ID("20261126T015400Z-7f3a")
	if _, err := s.Save(t.Context(), tree.OfDir("state", t.TempDir()), Meta{ID: id, Gateway: "g", Roots: []Root{{Name: "state"}}}, "", nil); err != nil {
		t.Fatal(err)
	}
	found, err := find(t.Context(), s.repo, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.readListing(t.Context(), found); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := newVerification(s, id, 1, noProgress{}).run(t.Context(), found); !errors.Is(err, ErrNotFound) {
		t.Errorf("verified, and got %v", err)
	}
}
