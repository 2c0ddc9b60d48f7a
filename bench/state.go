package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// The shape of the state folder of an OpenClaw gateway that has been in use: some
// 1,600 files with 57 MB, of which 54 MB are one folder of a program's own files.
const (
	stateAssets, assetSize = 1200, 45_000
	stateNotes             = 380
	stateCold, coldSize    = 20, 20_000
	stateRows, rowSize     = 2000, 1024 // of the database: 3 MB with its index
)

// makeState makes such a folder. Its files are other ones with each seed.
func makeState(ctx context.Context, dir string, assets int, seed uint64) error {
	from := rand.New(rand.NewPCG(seed, 1))
	for i := range assets {
		if err := writeState(dir, fmt.Sprintf("assets/%d/%d.js", i%8, i), words(from, assetSize)); err != nil {
			return err
		}
	}
	for i := range stateNotes {
		if err := writeState(dir, fmt.Sprintf("workspace/d%d/%d.md", i%20, i), words(from, 1000+i*30)); err != nil {
			return err
		}
	}
	for i := range stateCold {
		if err := writeState(dir, fmt.Sprintf("sessions/%d.jsonl.zst", i), noise(from, coldSize)); err != nil {
			return err
		}
	}
	db, err := openState(ctx, dir)
	if err != nil {
		return err
	}
	for range stateRows / 100 {
		if err = addRows(ctx, db, from, 100); err != nil {
			break
		}
	}
	return errors.Join(err, db.Close())
}

func writeState(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot make a state: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("cannot make a state: %w", err)
	}
	return nil
}

// words are n bytes that can be compressed as well as program text can.
func words(from *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = fmt.Appendf(b, "const v%x = ", from.Uint32()&0xffff)
		b = fmt.Appendf(b, "f(%d);\n", from.Uint32())
	}
	return b[:n]
}

// noise are n bytes that cannot be compressed.
func noise(from *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(from.Uint32())
	}
	return b
}

// openState opens the database of a state, as OpenClaw does: with a write-ahead
// log.
func openState(ctx context.Context, dir string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "state.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, fmt.Errorf("cannot open the database of a state: %w", err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS turns (id INTEGER PRIMARY KEY, key TEXT, body BLOB); CREATE INDEX IF NOT EXISTS by_key ON turns (key)"); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make the database of a state: %w", err), db.Close())
	}
	return db, nil
}

// addRows adds rows in one transaction.
func addRows(ctx context.Context, db *sql.DB, from *rand.Rand, n int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("cannot write to the database of a state: %w", err)
	}
	for range n {
		if _, err := tx.ExecContext(ctx, "INSERT INTO turns (key, body) VALUES (?, ?)", fmt.Sprintf("%08x", from.Uint32()), noise(from, rowSize)); err != nil {
			return errors.Join(fmt.Errorf("cannot write to the database of a state: %w", err), tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("cannot write to the database of a state: %w", err)
	}
	return nil
}

// statePause is the pause between two changes that a gateway makes to its state.
const statePause = 20 * time.Millisecond

// keepChanging changes a state as a gateway in use does, without end: rows in the
// database, now and then a file that is written anew.
func keepChanging(ctx context.Context, dir string) error {
	db, err := openState(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close() // it ends with the process
	from := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(statePause)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := addRows(ctx, db, from, 1); err != nil {
			return err
		}
		if n%10 == 0 {
			if err := writeState(dir, "sessions/.new", words(from, 2000)); err != nil {
				return err
			}
			if err := os.Rename(filepath.Join(dir, "sessions/.new"), filepath.Join(dir, "sessions/sessions.json")); err != nil {
				return fmt.Errorf("cannot change a state: %w", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
