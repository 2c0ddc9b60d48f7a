package state

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"creel/test/crashgw"
)

func init() { crashgw.RegisterState(open) }

// Writer changes a state.
type Writer struct {
	State
	dbs     []*sql.DB
	journal *os.File
	lines   int
	blocks  *os.File
	mapped  []byte
	done    atomic.Int64 // the last transaction that is complete
}

func open(dir string) (crashgw.State, error) { return Open(dir) }

// Open opens the state in a folder, or makes a new one. One that was copied or
// left in the middle of a transaction is taken to the end of it; one that is
// broken is refused with the error of Check.
func Open(dir string) (*Writer, error) {
	w := &Writer{State: State{dir}}
	if err := os.MkdirAll(w.path("queue"), 0o755); err != nil {
		return nil, err
	}
	var n int64
	_, err := os.Stat(w.path("journal.jsonl"))
	switch {
	case err == nil:
		if n, err = Check(dir); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
	default:
		return nil, err
	}
	if err := w.open(n); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the state in %s: %w", dir, err), w.Close())
	}
	return w, nil
}

// open opens all places, and makes all of them n.
func (w *Writer) open(n int64) error {
	for _, d := range databases {
		db, err := d.open(w.State)
		if err != nil {
			return err
		}
		w.dbs = append(w.dbs, db)
		if _, err := db.Exec("CREATE TABLE IF NOT EXISTS counter (n INTEGER NOT NULL);" +
			"CREATE TABLE IF NOT EXISTS entry (n INTEGER PRIMARY KEY, text TEXT NOT NULL);" +
			"CREATE INDEX IF NOT EXISTS entry_text ON entry (text);" +
			"INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter)"); err != nil {
			return err
		}
	}
	var err error
	if w.journal, err = os.OpenFile(w.path("journal.jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644); err != nil {
		return err
	}
	if w.blocks, err = os.OpenFile(w.path("blocks.bin"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return err
	}
	if err := w.mapCounter(); err != nil {
		return err
	}
	if err := w.transact(n); err != nil {
		return err
	}
	w.done.Store(n)
	return nil
}

func (w *Writer) mapCounter() error {
	f, err := os.OpenFile(w.path("mapped.bin"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(4096); err != nil {
		return err
	}
	w.mapped, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

// Run makes transactions until ctx ends, with a pause after each.
func (w *Writer) Run(ctx context.Context, pause time.Duration) error {
	for ctx.Err() == nil {
		n := w.done.Load() + 1
		if err := w.transact(n); err != nil {
			return fmt.Errorf("cannot make transaction %d: %w", n, err)
		}
		w.done.Store(n)
		if pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	return nil
}

// Done is the number of the last complete transaction.
func (w *Writer) Done() int64 { return w.done.Load() }

// transact takes the steps of one transaction. Their order is that of places.
func (w *Writer) transact(n int64) error {
	text := strings.Repeat(strconv.FormatInt(n, 36)+" ", 40)
	steps := []func() error{
		func() error { return w.note(document{n, "begin", text}) },
		func() error { return w.commit(0, n, text) },
		func() error { return w.block(0, n) },
		func() error { return w.commit(1, n, text) },
		func() error { return w.replace(document{N: n, Text: text}) },
		func() error { return w.store(n) },
		func() error { return w.commit(2, n, text) },
		func() error { return os.WriteFile(w.path("cursor"), strconv.AppendInt(nil, n, 10), 0o644) },
		func() error { return os.WriteFile(w.queued(n), nil, 0o644) },
		func() error { return w.unqueue(n) },
		func() error { return w.block(blockSize, n) },
		func() error { return w.note(document{n, "end", text}) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// note appends a line. A file that has become long is replaced, as a log is
// that is rotated: its last line comes along.
func (w *Writer) note(d document) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if w.lines >= keptLines && d.Part == "begin" {
		if err := w.rotate(d.N); err != nil {
			return err
		}
	}
	w.lines++
	_, err = w.journal.Write(append(line, '\n'))
	return err
}

// rotate puts a journal in place that says that n-1 is complete.
func (w *Writer) rotate(n int64) error {
	var text []byte
	for _, part := range []string{"begin", "end"} {
		line, err := json.Marshal(document{N: max(n-1, 0), Part: part})
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	temp := w.path("journal.jsonl.new")
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, w.path("journal.jsonl")); err != nil {
		return errors.Join(err, f.Close())
	}
	old := w.journal
	w.journal, w.lines = f, 2
	return old.Close()
}

// commit makes one transaction in a database.
func (w *Writer) commit(i int, n int64, text string) error {
	tx, err := w.dbs[i].Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.Exec("UPDATE counter SET n = ?", n); err != nil {
		return err
	}
	if n > 0 {
		if _, err := tx.Exec("INSERT OR REPLACE INTO entry VALUES (?, ?)", n, text); err != nil {
			return err
		}
		if _, err := tx.Exec("DELETE FROM entry WHERE n <= ?", n-keptRows); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (w *Writer) block(off, n int64) error {
	_, err := w.blocks.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(n)), off)
	return err
}

// store puts n into the shared mapping, by a single store.
func (w *Writer) store(n int64) error {
	atomic.StoreInt64((*int64)(unsafe.Pointer(&w.mapped[0])), n)
	return nil
}

// replace writes the JSON file anew: a temporary file, synced, renamed.
func (w *Writer) replace(d document) (err error) {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	temp := w.path("state.json.tmp")
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, w.path("state.json"))
}

func (w *Writer) queued(n int64) string {
	return w.path("queue/" + strconv.FormatInt(n, 10))
}

// unqueue removes the file of the transaction before n.
func (w *Writer) unqueue(n int64) error {
	err := os.Remove(w.queued(n - 1))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Close closes all places.
func (w *Writer) Close() error {
	var errs []error
	for _, db := range w.dbs {
		errs = append(errs, db.Close())
	}
	for _, f := range []*os.File{w.journal, w.blocks} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if w.mapped != nil {
		errs = append(errs, unix.Munmap(w.mapped))
	}
	return errors.Join(errs...)
}
