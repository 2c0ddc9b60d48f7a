package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
	"creel/internal/snapshot/tree"
)

// TestCost holds a snapshot after one small change to at most twice what has changed,
// all told: contents, lists, marks and indexes.
func TestCost(t *testing.T) {
	dir := t.TempDir()
	s := openOne(t, dir, 0)
	from := storetest.NewTree("state")
	for i := range 1500 {
		path := fmt.Sprintf("state/ext/p%02d/d%d/f%04d.js", i%40, i%7, i)
		from.Entry(tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Key: fmt.Sprintf("k%d", i)}, storetest.Noise(uint64(i), 300))
	}
	last := storetest.Save(t, s, from, storetest.Meta("g"), "")
	for i := range 3 {
		before := all(t, dir)
		const size = 16 << 10
		from.Entry(tree.Entry{Path: fmt.Sprintf("state/notes/n%d.bin", i), Kind: tree.File, Mode: 0o644, Key: fmt.Sprintf("n%d", i)}, storetest.Noise(uint64(10_000+i), size))
		last = storetest.Save(t, s, from, storetest.Meta("g"), last.ID)
		if err := s.Verify(t.Context(), last.ID, 0.05, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Mark(t.Context(), last.ID, func(m *store.Marks) { m.Sampled = time.Now() }); err != nil {
			t.Fatal(err)
		}
		var sum int64
		var blobs []string
		for f, n := range all(t, dir) {
			if before[f] != n {
				sum += n
				blobs = append(blobs, fmt.Sprintf("%s: %d", f, n))
			}
		}
		if t.Logf("%.2f bytes for each that is new", float64(sum)/size); sum > 2*size {
			t.Errorf("%d bytes were written for %d:\n%s", sum, size, strings.Join(blobs, "\n"))
		}
	}
}

// TestPadding has packs that are filled as kopia fills them and as creel does in one
// repository: each reads the other's, and makes an index anew from them. It fails if a
// kopia fills as it likes.
func TestPadding(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := storetest.Everything()
	before := openOne(t, dir, 0)
	if !store.FillLikeKopia(before) {
		t.Fatal("kopia cannot be told how to fill packs: see padding.go")
	}
	old := storetest.Save(t, before, from, storetest.Meta("g"), "")
	sizes := all(t, dir)
	now := openOne(t, dir, 1)
	small := from.Clone()
	small.File("state/small", []byte("one byte more"))
	latest := storetest.Save(t, now, small, storetest.Meta("g"), old.ID)
	for f, n := range all(t, dir) {
		if _, there := sizes[f]; !there && strings.Contains(f, "/p/") && n > 1024 {
			t.Errorf("a pack of a few bytes has %d", n)
		}
	}
	for _, s := range []store.Store{before, now} {
		storetest.Expect(t, s, old.ID, from)
		storetest.Expect(t, s, latest.ID, small)
	}
	for _, f := range indexBlobs(t, dir) {
		if err := flipOne(f); err != nil {
			t.Fatal(err)
		}
	}
	fresh := openOne(t, dir, 2)
	storetest.Expect(t, fresh, old.ID, from)
	storetest.Expect(t, fresh, latest.ID, small)
}

func all(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	for _, f := range names(t, filepath.Join(dir, "repository")) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			sizes[strings.TrimPrefix(f, dir)] = info.Size()
		}
	}
	return sizes
}
