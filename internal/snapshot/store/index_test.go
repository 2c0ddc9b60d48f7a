package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// TestDamagedIndex harms blobs of the index, which hide all snapshots: whether the
// store is open or not, nothing is lost, and another creel finds nothing amiss.
func TestDamagedIndex(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(string) error{
		"flip": flipOne, "truncate": func(f string) error { return os.Truncate(f, 20) }, "empty": func(f string) error { return os.Truncate(f, 0) },
	} {
		for _, open := range []bool{false, true} {
			for _, all := range []bool{false, true} {
				if name != "flip" && (open || all) { // it is the same to whoever reads it
					continue
				}
				t.Run(name+map[bool]string{false: "", true: ", open"}[open]+map[bool]string{false: "", true: ", all"}[all], func(t *testing.T) {
					t.Parallel()
					damageIndex(t, harm, open, all)
				})
			}
		}
	}
}

func damageIndex(t *testing.T, harm func(string) error, open, all bool) {
	dir := t.TempDir()
	writer, reader := openOne(t, dir, 0), openOne(t, dir, 1)
	old := storetest.Everything()
	kept := storetest.Save(t, writer, old, storetest.Meta("g"), "")
	if _, err := reader.List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	known := indexBlobs(t, dir)
	latest := old.Clone()
	latest.File("state/new", storetest.Noise(5, 100_000))
	last := storetest.Save(t, writer, latest, storetest.Meta("g"), kept.ID)
	blobs := indexBlobs(t, dir)
	if open { // what it has read already it does not read again
		blobs = slices.DeleteFunc(blobs, func(f string) bool { return slices.Contains(known, f) })
	} else {
		reader = nil
	}
	if !all {
		blobs = blobs[:1]
	}
	for _, f := range blobs {
		if err := harm(f); err != nil {
			t.Fatal(err)
		}
	}
	if reader == nil {
		reader = openOne(t, dir, 1)
	}
	for machine, s := range []store.Store{reader, openOne(t, dir, 2)} {
		list, err := s.List(t.Context(), "g")
		if err != nil || len(list) != 2 {
			t.Fatalf("%d: listed: %v, %v", machine, list, err)
		}
		for _, x := range list {
			if err := s.Verify(t.Context(), x.ID, 1, nil); err != nil {
				t.Errorf("%d: %v", machine, err)
			}
		}
		storetest.Expect(t, s, kept.ID, old)
		storetest.Expect(t, s, last.ID, latest)
		again := storetest.Save(t, s, latest, storetest.Meta("h"), last.ID)
		storetest.Expect(t, s, again.ID, latest)
		if err := s.Maintain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	aside := 0
	for _, f := range names(t, filepath.Join(dir, "repository")) {
		if strings.Contains(strings.ReplaceAll(f, "/", ""), "creel-damaged-") {
			aside++
		}
	}
	if aside != len(blobs) {
		t.Errorf("%d blobs were set aside, of %d", aside, len(blobs))
	}
}

// TestIndexBeyondHelp: where the packs are damaged, too, the error says that the store
// is, and what was there stays.
func TestIndexBeyondHelp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, open := openOne(t, dir, 0), openOne(t, dir, 2)
	storetest.Save(t, s, storetest.Everything(), storetest.Meta("g"), "")
	before := 0
	for _, f := range names(t, filepath.Join(dir, "repository")) {
		if strings.HasSuffix(f, ".f") && !strings.Contains(f, "kopia.") {
			before++
			if err := os.Truncate(f, 20); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		_, err := store.Open(t.Context(), folderOptions(dir, 1))
		if _, damaged := errors.AsType[*store.DamagedError](err); !damaged {
			t.Errorf("open gives %v", err)
		}
		list, err := open.List(t.Context(), "")
		if _, damaged := errors.AsType[*store.DamagedError](err); !damaged {
			t.Errorf("list gives %v, %v", list, err)
		}
	}
	after := 0
	for _, f := range names(t, filepath.Join(dir, "repository")) {
		if strings.HasSuffix(f, ".f") && !strings.Contains(f, "kopia.") {
			after++
		}
	}
	if after < before {
		t.Errorf("of %d blobs %d are left", before, after)
	}
}

func openOne(t *testing.T, dir string, machine int) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), folderOptions(dir, machine))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func indexBlobs(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for _, f := range names(t, filepath.Join(dir, "repository")) {
		if strings.Contains(f, "/repository/x/") && strings.HasSuffix(f, ".f") {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		t.Fatal("there is no index")
	}
	return all
}

func flipOne(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 4
	return os.WriteFile(file, data, 0o600)
}
