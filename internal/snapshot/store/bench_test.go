package store_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
	"creel/internal/snapshot/tree"

	_ "modernc.org/sqlite"
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
		t.Entry(tree.Entry{Path: fmt.Sprintf("state/db/%d.jsonl", i), Kind: tree.File, Mode: 0o600, Key: fmt.Sprintf("8:1:%d:0", i)}, words(r, 300_000))
	}
	return t
}

// words is digits by chance between spaces.
func words(r *rand.Rand, size int) []byte {
	data := make([]byte, 0, size+16)
	for len(data) < size {
		data = fmt.Appendf(data, "%x ", r.Uint64N(1<<(8+r.IntN(40))))
	}
	return data[:size]
}

// database is a real one in WAL mode, of rows of about a page each.
type database struct {
	b    *testing.B
	file string
	db   *sql.DB
	r    *rand.Rand
}

const rows = 1000

func newDatabase(b *testing.B) *database {
	d := &database{b: b, file: filepath.Join(b.TempDir(), "a.sqlite"), r: rand.New(rand.NewPCG(3, 4))}
	var err error
	if d.db, err = sql.Open("sqlite", d.file+"?_pragma=journal_mode(WAL)"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.db.Close() })
	d.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
	for i := range rows {
		d.exec("INSERT INTO t VALUES (?, ?)", i, string(words(d.r, 3500)))
	}
	d.exec("PRAGMA wal_checkpoint(TRUNCATE)")
	return d
}

func (d *database) exec(query string, args ...any) {
	d.b.Helper()
	if _, err := d.db.Exec(query, args...); err != nil {
		d.b.Fatal(err)
	}
}

// update changes pages rows. They stay in the write-ahead log.
func (d *database) update(pages int) {
	tx, err := d.db.Begin()
	if err != nil {
		d.b.Fatal(err)
	}
	for range pages {
		if _, err := tx.Exec("UPDATE t SET text = ? WHERE id = ?", string(words(d.r, 3500)), d.r.IntN(rows)); err != nil {
			d.b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		d.b.Fatal(err)
	}
}

// put puts the database's files into a tree as they are.
func (d *database) put(t *storetest.Tree, key int) {
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(d.file + suffix)
		if err != nil {
			d.b.Fatal(err)
		}
		t.Entry(tree.Entry{Path: "state/db/a.sqlite" + suffix, Kind: tree.File, Mode: 0o600, Key: fmt.Sprintf("8:1:99:%s:%d", suffix, key)}, data)
	}
}

// BenchmarkSecond measures a snapshot after one small change of a database of
// 4 MB among a state's other files: rows that are in its log, and the same after
// a checkpoint has brought them into the database.
func BenchmarkSecond(b *testing.B) {
	for _, pages := range []int{1, 8, 32} {
		for _, checkpoint := range []bool{false, true} {
			b.Run(fmt.Sprintf("pages=%d/checkpoint=%v", pages, checkpoint), func(b *testing.B) { second(b, pages, checkpoint) })
		}
	}
}

func second(b *testing.B, pages int, checkpoint bool) {
	s, err := store.Open(b.Context(), folderOptions(b.TempDir(), 0))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	t, d := state(), newDatabase(b)
	d.put(t, 0)
	last := storetest.Save(b, s, t, storetest.Meta("g"), "")
	b.ReportMetric(float64(last.Stored), "B-first")
	var stored int64
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		d.update(pages)
		if checkpoint {
			d.exec("PRAGMA wal_checkpoint(TRUNCATE)")
		}
		d.put(t, i+1)
		b.StartTimer()
		last = storetest.Save(b, s, t, storetest.Meta("g"), last.ID)
		stored += last.Stored
		if !checkpoint { // the next log begins anew
			b.StopTimer()
			d.exec("PRAGMA wal_checkpoint(TRUNCATE)")
			d.put(t, -i-1)
			last = storetest.Save(b, s, t, storetest.Meta("g"), last.ID)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(stored)/float64(b.N), "B-stored")
	b.ReportMetric(float64(stored)/float64(b.N)/float64(pages*4096), "stored/changed")
}
