package state

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	// keptRows is how many transactions a database remembers.
	keptRows = 100
	// blockSize is the distance of the two blocks in the file written in place.
	blockSize = 1 << 20
	// keptLines is the number of lines at which the JSON-lines file is begun anew.
	keptLines = 2000
)

// State is a state folder.
type State struct{ dir string }

func (s State) path(name string) string { return filepath.Join(s.dir, name) }

// database is one of the databases.
type database struct{ name, journal string }

var databases = []database{
	{"devices.sqlite", "wal"},
	{"sessions.sqlite", "wal"},
	{"quarantine.sqlite", "delete"},
}

// open opens the database of a state.
func (d database) open(s State) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: s.path(d.name)}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=synchronous(off)&_pragma=wal_autocheckpoint(40)" +
		"&_pragma=journal_mode(" + d.journal + ")"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// number reads the number of the last transaction of a database, and checks
// the database.
func (d database) number(s State) (n int64, err error) {
	db, err := d.open(s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		return 0, fmt.Errorf("cannot check %s: %w", d.name, err)
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("%s is damaged: %s", d.name, verdict)
	}
	var rows, last int64
	if err := db.QueryRow("SELECT (SELECT n FROM counter), (SELECT count(*) FROM entry), (SELECT coalesce(max(n),0) FROM entry)").
		Scan(&n, &rows, &last); err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", d.name, err)
	}
	if last != n || rows != min(n, keptRows) {
		return 0, fmt.Errorf("%s is at %d, but its last entry is %d of %d", d.name, n, last, rows)
	}
	return n, nil
}

// document is the JSON file, and a line of the JSON-lines file.
type document struct {
	N    int64  `json:"n"`
	Part string `json:"part,omitempty"` // "begin" or "end"
	Text string `json:"text"`
}

func (s State) readDocument() (int64, error) {
	text, err := os.ReadFile(s.path("state.json"))
	if err != nil {
		return 0, err
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return 0, fmt.Errorf("state.json is torn: %w", err)
	}
	return d.N, nil
}

// readJournal gives the last transaction that begins in the JSON-lines file,
// and the last that ends there.
func (s State) readJournal() (begin, end int64, err error) {
	text, err := os.ReadFile(s.path("journal.jsonl"))
	if err != nil {
		return 0, 0, err
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return 0, 0, errors.New("the last line of journal.jsonl is torn")
	}
	last := int64(-1)
	for line := range bytes.Lines(text) {
		var d document
		if err := json.Unmarshal(line, &d); err != nil {
			return 0, 0, fmt.Errorf("journal.jsonl is torn at %q: %w", line, err)
		}
		if last >= 0 && d.N != last && d.N != last+1 {
			return 0, 0, fmt.Errorf("journal.jsonl goes from %d to %d", last, d.N)
		}
		last = d.N
		if d.Part == "begin" {
			begin = d.N
		} else {
			end = d.N
		}
	}
	return begin, end, nil
}

// readBlocks gives the two numbers in the file that is written in place.
func (s State) readBlocks() (head, tail int64, err error) {
	b, err := os.ReadFile(s.path("blocks.bin"))
	if err != nil {
		return 0, 0, err
	}
	if len(b) != blockSize+8 {
		return 0, 0, fmt.Errorf("blocks.bin has %d bytes, want %d", len(b), blockSize+8)
	}
	return int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[blockSize:])), nil
}

func (s State) readMapped() (int64, error) {
	b, err := os.ReadFile(s.path("mapped.bin"))
	if err != nil {
		return 0, err
	}
	return int64(binary.NativeEndian.Uint64(b)), nil
}

// readTruncated gives the number in the file that is truncated before it is
// written; -1: it is empty.
func (s State) readTruncated() (int64, error) {
	text, err := os.ReadFile(s.path("cursor"))
	if err != nil {
		return 0, err
	}
	if len(text) == 0 {
		return -1, nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cursor is torn: %q", text)
	}
	return n, nil
}

// readFiles gives the greatest and the smallest number that is the name of a
// file in queue/.
func (s State) readFiles() (newest, oldest int64, err error) {
	entries, err := os.ReadDir(s.path("queue"))
	if err != nil {
		return 0, 0, err
	}
	if len(entries) == 0 {
		return 0, 0, errors.New("queue is empty")
	}
	newest, oldest = -1, -1
	for _, e := range entries {
		n, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		newest = max(newest, n)
		if oldest < 0 || n < oldest {
			oldest = n
		}
	}
	return newest, oldest, nil
}
