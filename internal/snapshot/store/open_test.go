package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
	"creel/internal/snapshot/tree"
)

func readFile(ctx context.Context, f tree.Tree, e tree.Entry) error {
	r, err := f.Open(ctx, e.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != e.Size {
		err = fmt.Errorf("%q has %d bytes", e.Path, n)
	}
	return err
}

// refusedOpen opens and expects a person to be told what to do.
func refusedOpen(t *testing.T, o store.Options, word string) {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err == nil {
		_ = s.Close(t.Context())
		t.Fatal("it opens")
	}
	a, ok := errors.AsType[*store.AccessError](err)
	if !ok || a.Hint == "" || !strings.Contains(err.Error(), word) {
		t.Errorf("%v (hint %+v)", err, a)
	}
}

func openAndClose(t *testing.T, o store.Options) {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	t.Run("foreign content", func(t *testing.T) {
		o := folderOptions(t.TempDir(), 0)
		if err := os.MkdirAll(o.Folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Folder, "holiday.jpg"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refusedOpen(t, o, "holiday.jpg")
		if _, err := os.Stat(o.KeyFile); err == nil {
			t.Error("a key was made for a place that is refused")
		}
	})
	t.Run("key lost", func(t *testing.T) {
		o := folderOptions(t.TempDir(), 0)
		openAndClose(t, o)
		if err := os.Remove(o.KeyFile); err != nil {
			t.Fatal(err)
		}
		refusedOpen(t, o, "key to them is missing")
		if _, err := os.Stat(o.KeyFile); err == nil {
			t.Error("a new key was made for old snapshots")
		}
	})
	t.Run("another key", func(t *testing.T) {
		o := folderOptions(t.TempDir(), 0)
		openAndClose(t, o)
		o.KeyFile += ".other"
		if err := store.ImportKey(o.KeyFile, store.NewKey().Reveal()); err != nil {
			t.Fatal(err)
		}
		refusedOpen(t, o, "another key")
	})
	t.Run("key damaged", func(t *testing.T) {
		o := folderOptions(t.TempDir(), 0)
		openAndClose(t, o)
		if err := os.WriteFile(o.KeyFile, []byte("creel-key-1-OOPS"), 0o600); err != nil {
			t.Fatal(err)
		}
		refusedOpen(t, o, "not a snapshot key")
	})
	t.Run("options", func(t *testing.T) {
		for _, o := range []store.Options{
			{}, {Folder: "relative", KeyFile: "/k", CacheDir: "/c"}, {Folder: "/f", KeyFile: "k", CacheDir: "/c"},
			{KeyFile: "/k", CacheDir: "/c", S3: &store.S3{Bucket: "b", AccessKeyID: "access", SecretKey: "secret", Endpoint: "far.example", Plain: true}},
			{KeyFile: "/k", CacheDir: "/c", Other: &store.Other{Type: "floppy"}},
		} {
			if _, err := store.Open(t.Context(), o); err == nil {
				t.Errorf("%+v opens", o)
			}
		}
	})
}

// TestKeyTravels opens a repository on another machine by its exported key.
func TestKeyTravels(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := folderOptions(dir, 0)
	openAndClose(t, o)
	text, err := store.ExportKey(o.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for file, mode := range map[string]os.FileMode{o.KeyFile: 0o600, filepath.Dir(o.KeyFile): 0o700 | os.ModeDir, o.Folder: 0o700 | os.ModeDir} {
		if info, err := os.Stat(file); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	o.KeyFile = filepath.Join(dir, "elsewhere", "key")
	if err := store.ImportKey(o.KeyFile, strings.ToLower(text.Reveal())); err != nil {
		t.Fatal(err)
	}
	openAndClose(t, o)
	if err := store.ImportKey(o.KeyFile, text.Reveal()); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	if err := store.ImportKey(o.KeyFile, store.NewKey().Reveal()); !errors.Is(err, store.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	openAndClose(t, o)
}

// TestOpenAtOnce lets creels with and without a key in common make the same
// repository at the same time: those with it share it, and of the others one wins.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("one key", func(t *testing.T) {
		dir := t.TempDir()
		stores := openAtOnce(t, func(i int) store.Options { return folderOptions(dir, i) })
		if len(stores) != 4 {
			t.Fatalf("%d of 4 open", len(stores))
		}
		snap := storetest.Save(t, stores[0], storetest.Everything(), storetest.Meta("g"), "")
		for _, s := range stores {
			storetest.Expect(t, s, snap.ID, storetest.Everything())
		}
	})
	t.Run("own keys", func(t *testing.T) {
		dir := t.TempDir()
		stores := openAtOnce(t, func(i int) store.Options {
			o := folderOptions(dir, i)
			o.KeyFile += fmt.Sprint(i)
			return o
		})
		if len(stores) != 1 {
			t.Errorf("%d open", len(stores))
		}
	})
}

func openAtOnce(t *testing.T, options func(int) store.Options) []store.Store {
	t.Helper()
	var wait sync.WaitGroup
	var mu sync.Mutex
	var opened []store.Store
	for i := range 4 {
		wait.Go(func() {
			s, err := store.Open(t.Context(), options(i))
			if _, refused := errors.AsType[*store.AccessError](err); err != nil && !refused {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				opened = append(opened, s)
			}
		})
	}
	wait.Wait()
	t.Cleanup(func() {
		for _, s := range opened {
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	return opened
}
