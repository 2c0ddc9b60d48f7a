package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
)

// maxLogLine is how much of one line is looked at, in bytes.
const maxLogLine = 64 << 10

// Log holds once a whole line that matches has been written to the instance's
// log since its start. It is then asked no more of the log: it holds for as
// long as the target stays the same.
//
// Only what is new is read by each check. If the log was cut in between
// (copy and truncate), reading begins at its start again; lines that came and
// went between two checks are missed. Where lines may have gone before the first
// check (Target.LogCut) nothing can be told, and it holds.
type Log struct {
	pattern *regexp.Regexp

	mu    sync.Mutex // held for a whole check
	place logPlace
}

// logPlace is how far the log of one instance has been read.
type logPlace struct {
	path   string
	start  int64           // Target.LogOffset
	done   <-chan struct{} // Target.Done: after a rotation the offset alone may be that of an earlier instance
	next   int64           // where the next read begins
	line   []byte          // beginning of a line whose end has not come yet
	found  bool
	counts int // lines seen
}

// NewLog returns a probe for lines that match pattern (RE2).
func NewLog(pattern *regexp.Regexp) *Log { return &Log{pattern: pattern} }

// Check implements Probe.
func (p *Log) Check(ctx context.Context, t Target) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.LogPath == "" {
		return &Failure{Verdict: Unchecked, Seen: "cannot read the log: the instance has none"}
	}
	if at := &p.place; at.path != t.LogPath || at.start != t.LogOffset || at.done != t.Done {
		p.place = logPlace{path: t.LogPath, start: t.LogOffset, done: t.Done, next: t.LogOffset}
	}
	if !p.place.found {
		if err := p.read(ctx, &p.place); err != nil {
			return err
		}
	}
	if !p.place.found && !t.LogCut {
		return &Failure{Verdict: NotReady,
			Seen: fmt.Sprintf("none of %d log lines since the start matches %q", p.place.counts, p.pattern)}
	}
	return nil
}

// read reads what is new, to the end of the file or the first match.
func (p *Log) read(ctx context.Context, at *logPlace) error {
	f, err := os.Open(at.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing was written yet
	}
	if err != nil {
		return &Failure{Verdict: Unchecked, Seen: fmt.Sprintf("cannot read the log: %v", err), Err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return &Failure{Verdict: Unchecked, Seen: fmt.Sprintf("cannot read the log: %v", err), Err: err}
	}
	if info.Size() < at.next {
		at.next, at.line = 0, nil
	}
	buf := make([]byte, 32<<10)
	for !at.found {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.ReadAt(buf, at.next)
		at.next += int64(n)
		p.take(at, buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &Failure{Verdict: Unchecked, Seen: fmt.Sprintf("cannot read the log: %v", err), Err: err}
		}
	}
	return nil
}

// take looks at the lines in data, of which the last may lack its end.
func (p *Log) take(at *logPlace, data []byte) {
	for len(data) > 0 && !at.found {
		piece, rest, whole := bytes.Cut(data, []byte{'\n'})
		data = rest
		at.line = append(at.line, piece[:min(len(piece), maxLogLine-len(at.line))]...)
		if !whole {
			return
		}
		at.counts++
		at.found = p.pattern.Match(bytes.TrimSuffix(at.line, []byte{'\r'}))
		at.line = at.line[:0]
	}
}
