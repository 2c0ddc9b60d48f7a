// Package sqlite finds out whether a SQLite database that lies still is whole.
//
// What it promises:
//
//   - Nothing is written to the database, nor beside it. One without a log (-wal,
//     -journal) is read where it is, as immutable: without locks and without an
//     index of the log (-shm). One with a log is copied together with it into a
//     folder of its own first, since SQLite reads a log by working it in.
//   - What is in the log counts: a transaction that is in the -wal file alone is
//     checked with the rest, and an unfinished one is rolled back in the copy.
//   - It ends with its context, in the midst of a check too.
//
// Nobody may be writing to the database. There is no check of foreign keys
// (PRAGMA foreign_key_check): apps run with them violated.
//
// Rejected: opening the database in place and putting the bytes back afterwards
// (a crash in between leaves others), and the sqlite3 program (not everywhere,
// and of any age).
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// magic begins each database file, https://www.sqlite.org/fileformat.html §1.3.1.
const magic = "SQLite format 3\x00"

// Is tells by its first bytes (16 or more) whether a file is a database. An empty file is
// an empty database too, of which nothing can be wrong.
func Is(head []byte) bool { return strings.HasPrefix(string(head), magic) }

// logs are the suffixes of the files that hold transactions which are not in
// the database yet, or not to be there: https://www.sqlite.org/tempfiles.html.
var logs = []string{"-wal", "-journal"}

// maxProblems bounds what is said of one database.
const maxProblems = 10

// DamagedError says that a database is not whole.
type DamagedError struct {
	Path     string
	Problems []string // SQLite's words, at most maxProblems
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the database %q is damaged: %s", e.Path, strings.Join(e.Problems, "; "))
}

// UncheckableError says that a database uses what only its app has: functions,
// collations or modules of its own. It may be whole.
type UncheckableError struct {
	Path string
	Err  error
}

func (e *UncheckableError) Error() string {
	return fmt.Sprintf("the database %q cannot be checked without its app: %v", e.Path, e.Err)
}

func (e *UncheckableError) Unwrap() error { return e.Err }

// Check runs PRAGMA integrity_check on the database at path. It returns
// *DamagedError, *UncheckableError, or another error if the check could not be
// made. A copy that has to be made is made in scratch, an existing folder, and
// removed again.
func Check(ctx context.Context, path, scratch string) (err error) {
	subject, options := path, "mode=ro&immutable=1"
	logged, err := hasLog(path)
	if err != nil {
		return fmt.Errorf("cannot check the database %q: %w", path, err)
	}
	if logged {
		dir, err := os.MkdirTemp(scratch, "check-")
		if err != nil {
			return fmt.Errorf("cannot check the database %q on a copy: %w", path, err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if subject, err = copyInto(ctx, dir, path); err != nil {
			return fmt.Errorf("cannot check the database %q on a copy: %w", path, err)
		}
		options = "mode=rw"
	}
	problems, err := integrity(ctx, subject, options)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the check of the database %q was ended: %w", path, context.Cause(ctx))
	case err != nil && isForeign(err):
		return &UncheckableError{Path: path, Err: err}
	case err != nil && isDamage(err):
		return &DamagedError{Path: path, Problems: []string{err.Error()}}
	case err != nil:
		return fmt.Errorf("cannot check the database %q: %w", path, err)
	case len(problems) > 0:
		return &DamagedError{Path: path, Problems: problems}
	}
	return nil
}

// hasLog tells whether there is more to a database than its file.
func hasLog(path string) (bool, error) {
	for _, suffix := range logs {
		info, err := os.Lstat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if info.Mode().IsRegular() && info.Size() > 0 {
			return true, nil
		}
	}
	return false, nil
}

// copyInto copies a database with its logs and gives the path of the copy. The
// file system shares the blocks if it can (copy_file_range(2)).
func copyInto(ctx context.Context, dir, path string) (string, error) {
	to := filepath.Join(dir, "db")
	for _, suffix := range append([]string{""}, logs...) {
		err := copyFile(ctx, to+suffix, path+suffix)
		if err != nil && !(suffix != "" && errors.Is(err, fs.ErrNotExist)) {
			return "", err
		}
	}
	return to, nil
}

// slice is how much is copied between two looks at the context.
const slice = 16 << 20

func copyFile(ctx context.Context, to, from string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if n, err := io.CopyN(dst, src, slice); err == io.EOF || err == nil && n == 0 {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// integrity gives what SQLite finds wrong.
func integrity(ctx context.Context, path, options string) (problems []string, err error) {
	db, err := sql.Open("sqlite", "file:"+escape(path)+"?"+options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		if line != "ok" {
			problems = append(problems, line)
		}
	}
	return problems, rows.Err()
}

// escape makes a path one of a URI, https://www.sqlite.org/uri.html §3.1. It is
// bytes, which need not be UTF-8.
func escape(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c == '/' || c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// isForeign tells errors that say what this SQLite lacks, by their words: they
// have no codes of their own.
func isForeign(err error) bool {
	for _, words := range []string{"no such function", "unknown function", "no such collation sequence", "no such module", "unknown tokenizer", "no such tokenizer"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// isDamage tells errors that say that the file is not what it should be.
func isDamage(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB, codes.SQLITE_FORMAT:
		return true
	// A page that should be there and is not reads as an error of the disk.
	case codes.SQLITE_IOERR:
		return e.Code() == codes.SQLITE_IOERR_SHORT_READ
	}
	return false
}
