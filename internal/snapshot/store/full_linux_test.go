package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// smallDisk mounts a file system of so many bytes, and gives what makes it larger.
func smallDisk(t *testing.T, bytes int) (dir string, grow func(bytes int)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a disk that is full takes a small one, and only root can make that; run this test as root")
	}
	dir = t.TempDir()
	mount := func(flags uintptr, bytes int) {
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d", bytes)); err != nil {
			t.Fatal(err)
		}
	}
	mount(0, bytes)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, func(bytes int) { mount(unix.MS_REMOUNT, bytes) }
}

// TestFull fills a disk, for real: the folder's own, and that of an S3 server. What is
// in the store stays whole and can be read, nothing half is listed, the error says
// that there is no room, and when there is room again all goes on.
func TestFull(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	for name, open := range map[string]func(t *testing.T, disk string) func(machine int) (store.Store, error){
		"folder": func(t *testing.T, disk string) func(int) (store.Store, error) {
			dir := t.TempDir() // the key and the cache are elsewhere
			return func(machine int) (store.Store, error) {
				o := folderOptions(dir, machine)
				o.Folder = filepath.Join(disk, "repository")
				return store.Open(t.Context(), o)
			}
		},
		"s3": func(t *testing.T, disk string) func(int) (store.Store, error) {
			dir := t.TempDir()
			srv := storetest.StartServer(t, bucketDir(t, disk))
			return func(machine int) (store.Store, error) {
				return store.Open(t.Context(), s3Options(dir, srv.Addr, machine))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, grow := smallDisk(t, size)
			open := open(t, disk)
			s, err := open(0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			from := storetest.Everything()
			kept := storetest.Save(t, s, from, storetest.Meta("g"), "")
			large := from.Clone()
			large.File("state/large", storetest.Noise(3, 3*size/2))
			small := from.Clone()
			small.File("state/small", storetest.Noise(4, 40_000))

			_, err = s.Save(t.Context(), large, storetest.Meta("g"), kept.ID, nil)
			noRoom(t, err)
			// To the last byte: not even a mark has room.
			brim := fill(t, filepath.Join(disk, "brim"))
			_, err = s.Save(t.Context(), small, storetest.Meta("g"), kept.ID, nil)
			noRoom(t, err)
			noRoom(t, s.Mark(t.Context(), kept.ID, func(m *store.Marks) { m.Pinned = true }))
			other, err := open(1) // reading needs no room
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close(context.Background())
			for _, s := range []store.Store{s, other} {
				if all, err := s.List(t.Context(), ""); err != nil || len(all) != 1 || all[0].ID != kept.ID || all[0].Pinned {
					t.Errorf("listed: %+v, %v", all, err)
				}
				if err := s.Verify(t.Context(), kept.ID, 1, nil); err != nil {
					t.Error(err)
				}
				storetest.Expect(t, s, kept.ID, from)
			}

			if err := os.Remove(brim); err != nil {
				t.Fatal(err)
			}
			grow(8 * size)
			for _, next := range []*storetest.Tree{small, large} {
				saved := storetest.Save(t, s, next, storetest.Meta("g"), kept.ID)
				if err := s.Verify(t.Context(), saved.ID, 1, nil); err != nil {
					t.Error(err)
				}
				storetest.Expect(t, other, saved.ID, next)
			}
			if err := s.Remove(t.Context(), kept.ID); err != nil {
				t.Error(err)
			}
			if err := s.Maintain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func noRoom(t *testing.T, err error) {
	t.Helper()
	refused, ok := errors.AsType[*store.AccessError](err)
	if !errors.Is(err, store.ErrFull) || !ok || !refused.Full || refused.Hint == "" {
		t.Errorf("a store that is full gives %v", err)
	}
	if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
		t.Errorf("taken for damage: %v", err)
	}
}

// fill writes a file until the disk has no room for another byte.
func fill(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<16); len(block) > 0; {
		n, err := f.Write(block)
		switch {
		case err == nil:
		case !errors.Is(err, unix.ENOSPC):
			t.Fatal(err)
		case n == 0:
			block = block[:len(block)/2]
		}
	}
	return path
}
