package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWhole: databases in every mode pass, and nothing is changed, neither in
// them nor beside them.
func TestWhole(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		for _, name := range []string{"db", "odd name ?#%&\xff.sqlite"} {
			t.Run(mode+" "+name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), name)
				still(t, path, mode)
				before := folder(t, filepath.Dir(path))
				if logged := len(before) > 1; logged != (mode == "wal") {
					t.Fatalf("the database to be checked consists of %d files", len(before))
				}
				check[*DamagedError](t, path, nil)
				same(t, before, folder(t, filepath.Dir(path)))
			})
		}
	}
}

// TestUnfinished: a transaction that was under way when the files were copied is
// no damage.
func TestUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path)
	exec(t, db, "PRAGMA journal_mode=delete", "PRAGMA cache_size=5", "PRAGMA cache_spill=1", "CREATE TABLE t(a, b)", "CREATE INDEX i ON t(a)", fill)
	exec(t, db, "BEGIN", "UPDATE t SET a = a || 'x', b = randomblob(300)") // spills
	copied := copyOf(t, path)
	if len(folder(t, filepath.Dir(copied))) != 2 {
		t.Fatal("there is no journal: the test does not test")
	}
	exec(t, db, "ROLLBACK")
	before := folder(t, filepath.Dir(copied))
	check[*DamagedError](t, copied, nil)
	same(t, before, folder(t, filepath.Dir(copied)))

	must(t, os.Remove(copied+"-journal"))
	check(t, copied, new(*DamagedError)) // it is the journal that made it whole
}

// TestDamaged: what is wrong in the file, and what is wrong in the log alone.
func TestDamaged(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		still(t, path, "delete")
		damage(t, path, "needle-0500")
		check(t, path, new(*DamagedError))
	})
	t.Run("cut short", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		still(t, path, "delete")
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.Truncate(path, info.Size()/2))
		check(t, path, new(*DamagedError))
	})
	t.Run("header alone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		must(t, os.WriteFile(path, []byte(magic+strings.Repeat("\xa5", 2000)), 0o600))
		check(t, path, new(*DamagedError))
	})
	t.Run("log of another", func(t *testing.T) {
		// Pages in the log that disagree with those in the file.
		a := filepath.Join(t.TempDir(), "db")
		db := open(t, a)
		exec(t, db, "PRAGMA journal_mode=wal", "CREATE TABLE t(a, b)", "CREATE INDEX i ON t(a)", "PRAGMA wal_checkpoint(TRUNCATE)")
		empty := copyOf(t, a)
		exec(t, db, fill, "PRAGMA wal_checkpoint(TRUNCATE)", "UPDATE t SET a = 'z' || a WHERE rowid % 7 = 0")
		must(t, os.WriteFile(empty+"-wal", read(t, a+"-wal"), 0o600))
		check(t, empty, new(*DamagedError))
	})
}

// TestUncheckable: what only the app has is no damage.
func TestUncheckable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path)
	exec(t, db, "CREATE TABLE t(a)", "CREATE INDEX i ON t(a)", "PRAGMA writable_schema=1",
		"UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(a COLLATE theirs)' WHERE name = 'i'")
	must(t, db.Close())
	check(t, path, new(*UncheckableError))
}

// TestUnknownModule: a virtual table of a module that only the app has (such as
// sqlite-vec's) does not keep the rest from being checked.
func TestUnknownModule(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	still(t, path, "delete")
	db := open(t, path)
	exec(t, db, "PRAGMA writable_schema=1",
		"INSERT INTO sqlite_schema VALUES('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING vec0(embedding float[4])')")
	must(t, db.Close())
	check[*DamagedError](t, path, nil)
	damage(t, path, "needle-0500")
	check(t, path, new(*DamagedError))
}

func TestEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	still(t, path, "wal")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if err := Check(ctx, path, t.TempDir()); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestNoSuchDatabase(t *testing.T) {
	err := Check(t.Context(), filepath.Join(t.TempDir(), "none"), t.TempDir())
	if _, damaged := errors.AsType[*DamagedError](err); err == nil || damaged {
		t.Errorf("got %v", err)
	}
}

const fill = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 999)
	INSERT INTO t SELECT printf('needle-%04d', i), randomblob(200) FROM n`

// still leaves a database as a clean copy of a running app would have it: in
// WAL mode, with most of it in the log.
func still(t *testing.T, path, mode string) {
	t.Helper()
	made := filepath.Join(t.TempDir(), "made")
	db := open(t, made)
	exec(t, db, "PRAGMA journal_mode="+mode, "CREATE TABLE t(a, b)", "CREATE INDEX i ON t(a)", fill)
	must(t, os.WriteFile(path, read(t, made), 0o600))
	if mode == "wal" {
		must(t, os.WriteFile(path+"-wal", read(t, made+"-wal"), 0o600))
	}
	must(t, db.Close())
}

// damage changes a key where it stands first, in the table or in its index, so
// that the two disagree.
func damage(t *testing.T, path, key string) {
	t.Helper()
	b := read(t, path)
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		t.Fatalf("%q is not in the file", key)
	}
	b[i] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
}

func check[E error](t *testing.T, path string, want *E) {
	t.Helper()
	scratch := t.TempDir()
	err := Check(t.Context(), path, scratch)
	switch {
	case want == nil && err != nil:
		t.Errorf("%v", err)
	case want != nil && !errors.As(err, want):
		t.Errorf("got %v, want %T", err, *want)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, list ...string) {
	t.Helper()
	for _, s := range list {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// copyOf copies a database with its logs, as they are, into another folder.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "db")
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if b, err := os.ReadFile(path + suffix); err == nil {
			must(t, os.WriteFile(to+suffix, b, 0o600))
		}
	}
	return to
}

func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	all := map[string]string{}
	for _, e := range list {
		all[e.Name()] = string(read(t, filepath.Join(dir, e.Name())))
	}
	return all
}

func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%q is new", name)
		}
	}
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%q was changed", name)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
