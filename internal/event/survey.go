package event

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// findings is what a folder holds at Open.
type findings struct {
	last   uint64  // number of the last event; at least that of any in a damaged file
	recent []Event // the newest events, oldest first

	// Of the active file:
	first   uint64 // number of its first event; 0: none
	size    int64  // bytes up to the end of its last whole line
	torn    int64  // bytes after that
	unended bool   // its last line is whole but for the line feed
	reason  error  // why it has to be set aside; nil: it can be gone on with
}

// survey reads the active file and the newest rotated one, without changing
// anything. memory is how many events are wanted. An error means that a file
// could not be read, not that it is damaged.
func survey(dir string, memory int) (*findings, error) {
	names, err := rotatedFiles(dir)
	if err != nil {
		return nil, err
	}
	found := new(findings)
	if n := len(names); n > 0 {
		old, err := inspect(filepath.Join(dir, names[n-1].name), names[n-1].first-1, memory)
		if err != nil {
			return nil, err
		}
		found.last, found.recent = old.last, old.recent
	}
	now, err := inspect(filepath.Join(dir, active), found.last, memory)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	if now.reason != nil {
		now.recent = nil
	}
	now.recent = slices.Concat(found.recent, now.recent)
	now.recent = now.recent[max(0, len(now.recent)-memory):]
	return now, nil
}

// inspect reads one file. before is the number of the last event before it.
func inspect(path string, before uint64, memory int) (*findings, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	found := &findings{last: before}
	if !info.Mode().IsRegular() { // to open a pipe would block
		found.reason = fmt.Errorf("it is not a regular file (%s)", info.Mode())
		return found, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tail := make([]int64, 0, memory) // where the newest lines begin
	in := bufio.NewReaderSize(f, maxLine)
	for number := 1; ; number++ {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			found.end(text)
			break
		}
		var seq uint64
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			err = errors.New("it is too long")
		case err != nil:
			return nil, err
		default:
			seq, err = found.follow(text[:len(text)-1])
		}
		if err != nil {
			found.reason = fmt.Errorf("line %d: %w", number, err)
			// No more events can follow than there is room for.
			found.last += uint64(info.Size()-found.size)/minLine + 1
			return found, nil
		}
		if found.first == 0 {
			found.first = seq
		}
		if len(tail) == memory && memory > 0 {
			tail = append(tail[:0], tail[1:]...)
		}
		tail = append(tail, found.size)
		found.last = seq
		found.size += int64(len(text))
	}
	return found, found.decodeTail(f, tail)
}

// follow checks a line against the ones before it.
func (f *findings) follow(text []byte) (uint64, error) {
	if len(text) == 0 {
		return 0, errors.New("it is empty")
	}
	v, seq, err := head(text)
	switch {
	case err != nil:
		return 0, err
	case v > version:
		return 0, &newerError{v}
	case seq <= f.last:
		return 0, fmt.Errorf("number %d comes after %d", seq, f.last)
	}
	return seq, nil
}

// end judges what stands after the last line feed. A whole event that lacks
// nothing else is kept.
func (f *findings) end(text []byte) {
	if e, err := decodeLine(text); err == nil && e.Seq > f.last {
		f.unended, f.last = true, e.Seq
		f.size += int64(len(text))
		f.recent = []Event{e}
		if f.first == 0 {
			f.first = e.Seq
		}
		return
	}
	f.torn = int64(len(text))
}

// decodeTail decodes the lines that begin at tail. Only there is all of a line
// looked at: decoding a whole file would delay every start.
func (f *findings) decodeTail(from io.ReaderAt, tail []int64) error {
	if len(tail) == 0 {
		return nil
	}
	last := f.recent // the one without a line feed
	f.recent = make([]Event, 0, len(tail)+1)
	section := io.NewSectionReader(from, tail[0], f.size-tail[0])
	in := bufio.NewReaderSize(section, maxLine)
	for range tail {
		text, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		e, err := decodeLine(text[:len(text)-1])
		if err != nil {
			f.reason = fmt.Errorf("after event %d: %w", f.last, err)
			if n := len(f.recent); n > 0 {
				f.reason = fmt.Errorf("after event %d: %w", f.recent[n-1].Seq, err)
			}
			return nil
		}
		f.recent = append(f.recent, e)
	}
	f.recent = append(f.recent, last...)
	return nil
}

// rotated is a file that was rotated.
type rotated struct {
	name  string
	first uint64 // number of its first event
}

func rotatedName(first uint64) string { return fmt.Sprintf("events-%020d.jsonl", first) }

// rotatedFiles lists the rotated files, oldest first. A folder that is missing
// has none.
func rotatedFiles(dir string) ([]rotated, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []rotated
	for _, e := range entries {
		number, isRotated := strings.CutPrefix(e.Name(), "events-")
		number, isOurs := strings.CutSuffix(number, ".jsonl")
		first, err := strconv.ParseUint(number, 10, 64)
		if isRotated && isOurs && err == nil && first > 0 {
			out = append(out, rotated{e.Name(), first})
		}
	}
	slices.SortFunc(out, func(a, b rotated) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return out, nil
}
