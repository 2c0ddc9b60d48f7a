package store

import (
	"context"
	"path/filepath"
	"testing"
)

// lateFolder is a folder in which another creel makes its repository just before this
// one looks for strangers.
type lateFolder struct {
	*folderStorage
	before func()
}

func (s lateFolder) stranger(ctx context.Context) (string, error) {
	s.before()
	return s.folderStorage.stranger(ctx)
}

// TestMadeMeanwhile: a repository that another creel with the same key has made while
// this one looked is no stranger's.
func TestMadeMeanwhile(t *testing.T) {
	dir := t.TempDir()
	o := Options{Folder: filepath.Join(dir, "store"), KeyFile: filepath.Join(dir, "key"), CacheDir: filepath.Join(dir, "cache"), Patience: DefaultPatience}
	g, err := openStorage(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	g.Storage = lateFolder{g.Storage.(*folderStorage), func() {
		made++
		other := o
		other.CacheDir += "2"
		s, err := Open(t.Context(), other)
		if err == nil {
			err = s.Close(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	}}
	s, err := openRepository(t.Context(), &o, g)
	if err != nil || made != 1 {
		t.Fatalf("looked %d times for strangers: %v", made, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
