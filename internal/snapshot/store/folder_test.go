package store_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *storetest.Place { return folderPlace(t, t.TempDir()) })
}

// folderPlace is a repository in a folder below dir.
func folderPlace(t *testing.T, dir string) *storetest.Place {
	var later atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	return &storetest.Place{
		Open: func(ctx context.Context, machine int) (store.Store, error) {
			return store.Open(ctx, store.WithClock(folderOptions(dir, machine), clock))
		},
		Later: func(d time.Duration) { later.Add(int64(d)) },
		Size:  func() int64 { return sizeOf(t, filepath.Join(dir, "repository")) },
	}
}

func folderOptions(dir string, machine int) store.Options {
	return store.Options{
		Folder:   filepath.Join(dir, "repository"),
		KeyFile:  filepath.Join(dir, "private", "snapshot.key"),
		CacheDir: filepath.Join(dir, "cache-"+strconv.Itoa(machine)),
		Machine:  "machine-" + strconv.Itoa(machine),
	}
}

func sizeOf(t *testing.T, dir string) int64 {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}
