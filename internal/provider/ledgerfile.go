package provider

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// ledgerFile is a file of ModelUsages, one JSON object in a line, which add up. It
// is appended to, and now and then written anew with one line for each key.
//
// Several processes may write to it: each change is made under a lock beside the
// file, after what others have written meanwhile was read. So none counts a line
// twice, and the last one to write it anew leaves nothing out.
//
// On a file system that is read-only at first it is read, so that budgets go on, and
// opened for writing by the first append that can.
type ledgerFile struct {
	path  string
	lock  *flock.Flock
	log   *slog.Logger
	heard func(ModelUsage) // gets each line that was not written by this one

	file     *os.File // the one that is appended to
	read     int64    // of it; what is beyond is of others
	readOnly bool     // file is open for reading alone
	untidy   bool     // it could not be written anew
}

// compactAt is the size from which on the file is written anew, if that makes it
// half as large.
const compactAt = 256 << 10

// openLedgerFile reads the file, without lines of days before oldest, and writes it
// anew.
func openLedgerFile(path, oldest string, log *slog.Logger, heard func(ModelUsage)) (*ledgerFile, error) {
	f := &ledgerFile{path: path, lock: flock.New(path + ".lock"), log: log, heard: heard}
	err := f.begin(oldest)
	if errors.Is(err, syscall.EROFS) {
		err = f.beginReading()
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// begin opens the file for writing.
func (f *ledgerFile) begin(oldest string) error {
	if err := f.locked(); err != nil {
		return err
	}
	defer f.unlock()
	if err := f.follow(); err != nil {
		return fmt.Errorf("cannot read the usage of model providers: %w", err)
	}
	f.tidy(oldest)
	return nil
}

// tidy writes the file anew, if it is worth it. Where that fails, as on a full disk, the
// file is as good as before, and only longer than it need be.
func (f *ledgerFile) tidy(oldest string) {
	err := f.compact(oldest)
	if err != nil && !f.untidy {
		f.log.Warn("the usage of model providers cannot be written anew; its file grows meanwhile", "error", err)
	}
	f.untidy = err != nil
}

// beginReading reads what is there on a file system that is read-only. Whoever holds the
// lock can write no more than this one.
func (f *ledgerFile) beginReading() error {
	if f.file != nil {
		return nil // it has become so after it was opened and read
	}
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		f.file, f.readOnly = file, true
		err = f.readOn()
	}
	if err != nil {
		return fmt.Errorf("cannot read the usage of model providers: %w", err)
	}
	return nil
}

// lockTime bounds the wait for another creel, which holds the lock for the time of
// a few reads and writes.
const lockTime = 5 * time.Second

func (f *ledgerFile) locked() error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of the usage of model providers: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	if _, err := f.lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("cannot lock %s: %w; another creel may hang", f.path, err)
	}
	return nil
}

func (f *ledgerFile) unlock() {
	if err := f.lock.Unlock(); err != nil { // it ends with the process in any case
		f.log.Warn("the usage of model providers stays locked", "error", err)
	}
}

// append adds lines.
func (f *ledgerFile) append(list []ModelUsage, oldest string) error {
	if len(list) == 0 {
		return nil
	}
	if err := f.locked(); err != nil {
		return err
	}
	defer f.unlock()
	late := f.file == nil || f.readOnly
	if err := f.follow(); err != nil {
		return err
	}
	if late { // as begin does
		f.tidy(oldest)
		if err := f.follow(); err != nil { // it may be another file now
			return err
		}
	}
	text, err := linesOf(list)
	if err != nil {
		return err
	}
	if f.read > 0 && !endsWhole(f.file, f.read) { // the torn line must not take another with it
		text = append([]byte{'\n'}, text...)
	}
	n, err := f.file.Write(text)
	if err != nil {
		if n > 0 { // a line that is not whole, and those before it, which will come again
			err = errors.Join(err, f.file.Truncate(f.read))
		}
		return err
	}
	f.read += int64(n)
	if f.read > compactAt {
		f.tidy(oldest) // what is written is written, whatever comes of that
	}
	return nil
}

func linesOf(list []ModelUsage) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, u := range list {
		if err := enc.Encode(u); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// follow reads what others have written, to this file or to one that they have put
// in its place.
func (f *ledgerFile) follow() error {
	info, err := os.Stat(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.file != nil && !f.readOnly && err == nil {
		own, err := f.file.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(own, info) {
			return f.readOn()
		}
	}
	return f.reopen()
}

// reopen opens the file that is there now. One that another creel has written anew
// begins with what this one knows already: only what that has added counts.
func (f *ledgerFile) reopen() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	known := sums{}
	if f.file != nil {
		if err := f.readOn(); err != nil { // the rest of the old one: its lines are in the new one
			return errors.Join(err, file.Close())
		}
		if err := scan(f.file, f.log, known.add); err != nil {
			return errors.Join(err, file.Close())
		}
		_ = f.file.Close() // it was only read from since the last write
	}
	f.file, f.read, f.readOnly = file, 0, false
	now := sums{}
	if err := scan(file, f.log, now.add); err != nil {
		return err
	}
	for key, u := range now {
		if more := difference(*u, known[key]); more != nil {
			f.heard(*more)
		}
	}
	f.read, err = file.Seek(0, io.SeekEnd)
	return err
}

// difference is what u has more than was; nil: nothing.
func difference(u ModelUsage, was *ModelUsage) *ModelUsage {
	if was == nil {
		return &u
	}
	more := ModelUsage{
		Day: u.Day, Provider: u.Provider, Model: u.Model, Requests: u.Requests - was.Requests, InputTokens: u.InputTokens - was.InputTokens,
		OutputTokens: u.OutputTokens - was.OutputTokens, Unmetered: u.Unmetered - was.Unmetered, Answers: u.Answers - was.Answers,
		FirstByte: u.FirstByte - was.FirstByte, FirstByteMax: u.FirstByteMax, Errors: map[string]int64{},
	}
	for class, n := range u.Errors {
		if n != was.Errors[class] {
			more.Errors[class] = n - was.Errors[class]
		}
	}
	if more.Requests == 0 && more.Tokens() == 0 && more.Answers == 0 && more.Unmetered == 0 && len(more.Errors) == 0 {
		return nil
	}
	return &more
}

// readOn reads the lines of others behind what is known.
func (f *ledgerFile) readOn() error {
	info, err := f.file.Stat()
	if err != nil || info.Size() == f.read {
		return err
	}
	if info.Size() < f.read {
		f.log.Warn("somebody has cut the file with the usage of model providers; what was counted before counts until creel ends", "path", f.path)
		f.read = info.Size()
		return nil
	}
	err = scan(io.NewSectionReader(f.file, f.read, info.Size()-f.read), f.log, f.heard)
	f.read = info.Size()
	return err
}

// maxLedgerLine is far longer than any line that is written.
const maxLedgerLine = 64 << 10

// scan reads lines from the beginning. One that is damaged, as the last one may be
// after the death of the machine, is left out, however long it is.
func scan(r io.ReaderAt, log *slog.Logger, each func(ModelUsage)) (err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, 1<<62), maxLedgerLine)
	damaged := 0
	for tooLong := false; err == nil; {
		var text []byte
		text, err = in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			tooLong, err = true, nil
			continue
		}
		var u ModelUsage
		switch {
		case len(text) == 0 && !tooLong: // the end
		case tooLong, json.Unmarshal(text, &u) != nil, u.Day == "", u.Provider == "":
			damaged++
		default:
			each(u)
		}
		tooLong = false
	}
	if damaged > 0 {
		log.Warn("lines of the usage of model providers are damaged and not counted", "lines", damaged)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// compact writes the file anew, if it is worth it, and opens that.
func (f *ledgerFile) compact(oldest string) error {
	all := sums{}
	if err := scan(f.file, f.log, all.add); err != nil {
		return err
	}
	var kept []ModelUsage
	for _, u := range all.list() {
		if u.Day >= oldest {
			kept = append(kept, u)
		}
	}
	text, err := linesOf(kept)
	if err != nil || int64(len(text)) > f.read/2 && f.read > 0 && endsWhole(f.file, f.read) {
		return err
	}
	pending, err := renameio.NewPendingFile(f.path, renameio.WithStaticPermissions(0o600), renameio.WithTempDir(filepath.Dir(f.path)))
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }() // of no effect after the rename
	if _, err := pending.Write(text); err != nil {
		return err
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_ = f.file.Close() // what was written to it is in the new one
	f.file, f.read = file, int64(len(text))
	return nil
}

// endsWhole tells whether a file of that size ends with a whole line: what is
// appended to another would be lost with it.
func endsWhole(f io.ReaderAt, size int64) bool {
	last := make([]byte, 1)
	_, err := f.ReadAt(last, size-1)
	return err == nil && last[0] == '\n'
}

func (f *ledgerFile) close() {
	if f.file != nil {
		_ = f.file.Close() // each write was checked
	}
	_ = f.lock.Close() // it ends with the process in any case
}
