package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
	"creel/internal/snapshot/tree"
)

// state makes a tree like that of an idle OpenClaw: 1,600 files, 57 MB, of which
// 3 MB is data in a few files and the rest is program text that does not change.
func state() *storetest.Tree {
	t := storetest.NewTree("state")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1590 {
		t.Entry(tree.Entry{Path: fmt.Sprintf("state/ext/p%02d/d%d/f%04d.js", i%40, i%7, i), Kind: tree.File, Mode: 0o644, Key: fmt.Sprintf("8:1:%d:%d:%d", 40_000+i, i, 17_000_000_000+i)}, words(r, 34_000))
	}
	for i := range 10 {
		t.Entry(tree.Entry{Path: fmt.Sprintf("state/db/%d.sqlite", i), Kind: tree.File, Mode: 0o600, Key: fmt.Sprintf("8:1:%d:0", i)}, database(r))
	}
	return t
}

// database is data that begins as SQLite's does.
func database(r *rand.Rand) []byte {
	data := words(r, 300_000)
	copy(data, "SQLite format 3\x00")
	return data
}

// words is data that compresses about as text does.
func words(r *rand.Rand, size int) []byte {
	data := make([]byte, 0, size+16)
	for len(data) < size {
		data = fmt.Appendf(data, "%x ", r.Uint64N(1<<(8+r.IntN(40))))
	}
	return data[:size]
}

// BenchmarkSecond measures a snapshot after one small change: pages of one
// database, as a checkpoint of SQLite leaves them.
func BenchmarkSecond(b *testing.B) {
	for _, pages := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("pages=%d", pages), func(b *testing.B) {
			s, err := store.Open(b.Context(), folderOptions(b.TempDir(), 0))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(b.Context())
			t := state()
			last := storetest.Save(b, s, t, storetest.Meta("g"), "")
			b.ReportMetric(float64(last.Stored), "B-first")
			r := rand.New(rand.NewPCG(3, 4))
			data := database(r)
			var stored int64
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				for range pages {
					copy(data[4096*(1+r.IntN(len(data)/4096-1)):], words(r, 4096))
				}
				t.Entry(tree.Entry{Path: "state/db/3.sqlite", Kind: tree.File, Mode: 0o600, Key: fmt.Sprintf("8:1:3:%d", i+1)}, append([]byte(nil), data...))
				b.StartTimer()
				last = storetest.Save(b, s, t, storetest.Meta("g"), last.ID)
				stored += last.Stored
			}
			b.ReportMetric(float64(stored)/float64(b.N), "B-stored")
			b.ReportMetric(float64(stored)/float64(b.N)/float64(pages*4096), "stored/changed")
		})
	}
}
