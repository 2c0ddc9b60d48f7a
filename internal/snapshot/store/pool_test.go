package store_test

import (
	"testing"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// TestPool holds a Save to leaving nothing in kopia's pool of buffers. It is not
// parallel: the pool is the process's.
func TestPool(t *testing.T) {
	s, err := store.Open(t.Context(), folderOptions(t.TempDir(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	large := storetest.NewTree("state")
	large.File("state/f", storetest.Noise(1, 3<<20))
	storetest.Save(t, s, large, storetest.Meta("g"), "")
	large.File("state/f", storetest.Noise(2, 3<<20))
	snap := storetest.Save(t, s, large, storetest.Meta("g"), "")
	if kept, found := store.Pooled(); !found || kept > 0 {
		t.Errorf("%d bytes are in the pool (found: %v)", kept, found)
	}
	storetest.Expect(t, s, snap.ID, large)
	if kept, _ := store.Pooled(); kept > 0 {
		t.Errorf("%d bytes are in the pool after reading", kept)
	}
}
