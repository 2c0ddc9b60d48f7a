package event

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// DamageError says that a file of the journal, or the rest of it, was skipped
// because it cannot be understood.
type DamageError struct {
	Path string
	Line int // from 1
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("cannot read the journal file %s from line %d on: %v", e.Path, e.Line, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// Since yields the events with a number above after, oldest first, at most
// limit (0: all), up to the newest one at the time of the call. What is no
// longer in memory comes from the files.
//
// An error takes the place of what could not be read: *DamageError for the
// rest of one file, after which the next follows. What has been rotated away
// is left out without a word.
func (j *Journal) Since(after uint64, limit int) iter.Seq2[Event, error] {
	return limited(limit, func(yield func(Event, error) bool) {
		j.mu.Lock()
		oldest := j.ring.oldestSeq()
		recent := j.ring.after(after, len(j.ring.events))
		j.mu.Unlock()
		if oldest > after+1 {
			for e, err := range readFiles(j.opts.Dir, after) {
				if err == nil && e.Seq >= oldest {
					break
				}
				if !yield(e, err) {
					return
				}
			}
		}
		for _, e := range recent {
			if !yield(e, nil) {
				return
			}
		}
	})
}

// ReadDir yields events from the files in dir as Since does. It is for when no
// creel runs, and does no harm while one does: it changes nothing, takes no
// lock, and passes over a last line that is being written. A missing folder
// has no events.
func ReadDir(dir string, after uint64, limit int) iter.Seq2[Event, error] {
	return limited(limit, readFiles(dir, after))
}

// Tail returns the last n events in dir, oldest first, as ReadDir gives them.
// The error joins those of ReadDir; events may come with it.
func Tail(dir string, n int) ([]Event, error) {
	var (
		last []Event
		errs []error
	)
	for e, err := range readFiles(dir, 0) {
		switch {
		case err != nil:
			errs = append(errs, err)
		case n > 0:
			if len(last) == 2*n { // move now and then, not for every event
				last = append(last[:0], last[n:]...)
			}
			last = append(last, e)
		}
	}
	return last[max(0, len(last)-n):], errors.Join(errs...)
}

// limited yields the first limit events of seq, and errors besides.
func limited(limit int, seq iter.Seq2[Event, error]) iter.Seq2[Event, error] {
	if limit <= 0 {
		return seq
	}
	return func(yield func(Event, error) bool) {
		n := 0
		for e, err := range seq {
			if !yield(e, err) {
				return
			}
			if err == nil {
				n++
			}
			if n == limit {
				return
			}
		}
	}
}

// readFiles yields what the files hold above after, in order, each number
// once.
func readFiles(dir string, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		// The active file is opened before the others are listed: if it is
		// rotated in between it is read twice, which the numbers tell, rather
		// than not at all.
		newest, err := os.Open(filepath.Join(dir, active))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			if !yield(Event{}, err) {
				return
			}
		}
		if newest != nil {
			defer newest.Close()
		}
		names, err := rotatedFiles(dir)
		if err != nil {
			yield(Event{}, err)
			return
		}
		r := &fileReader{last: after, yield: yield}
		for i, n := range names {
			if i+1 < len(names) && names[i+1].first <= after+1 {
				continue // all of it is older
			}
			if !r.open(filepath.Join(dir, n.name)) {
				return
			}
		}
		if newest != nil {
			r.read(newest, true)
		}
	}
}

// fileReader yields the events of files with growing numbers.
type fileReader struct {
	last  uint64 // number of the last event yielded
	yield func(Event, error) bool
}

// open reads a rotated file. It tells whether to go on.
func (r *fileReader) open(path string) bool {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true // pruned just now
	}
	if err != nil {
		return r.yield(Event{}, err)
	}
	defer f.Close()
	return r.read(f, false)
}

// read reads f to its end, or to its first damage. A torn end is damage, except
// where a write may be under way. It tells whether to go on.
func (r *fileReader) read(f *os.File, written bool) bool {
	in := bufio.NewReaderSize(f, maxLine)
	for number := 1; ; number++ {
		text, err := in.ReadSlice('\n')
		atEnd := errors.Is(err, io.EOF)
		if atEnd && len(text) == 0 {
			return true
		}
		var e Event
		if err == nil || atEnd {
			e, err = r.decode(text)
		}
		if err != nil {
			if atEnd && written {
				return true
			}
			return r.yield(Event{}, &DamageError{f.Name(), number, err})
		}
		if e.Seq > r.last {
			r.last = e.Seq
			if !r.yield(e, nil) {
				return false
			}
		}
		if atEnd {
			return true
		}
	}
}

// decode decodes a line, unless it is older than what is wanted.
func (r *fileReader) decode(text []byte) (Event, error) {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	if len(text) == 0 {
		return Event{}, errors.New("it is empty")
	}
	v, seq, err := head(text)
	switch {
	case err != nil:
		return Event{}, err
	case v > version:
		return Event{}, &newerError{v}
	case seq <= r.last:
		return Event{Seq: seq}, nil
	}
	return decodeLine(text)
}
