package probe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// logFile is a log that a test writes.
type logFile struct {
	t    *testing.T
	path string
}

func newLogFile(t *testing.T) logFile {
	return logFile{t, filepath.Join(t.TempDir(), "gateway.log")}
}

func (l logFile) write(text string) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		l.t.Fatal(err)
	}
}

func (l logFile) truncate() {
	l.t.Helper()
	if err := os.Truncate(l.path, 0); err != nil {
		l.t.Fatal(err)
	}
}

func TestLogLine(t *testing.T) {
	log := newLogFile(t)
	p := NewLog(regexp.MustCompile(`^ready on \d+$`))
	target := Target{LogPath: log.path, LogOffset: 12}
	check := func(holds bool, says string) {
		t.Helper()
		err := p.Check(t.Context(), target)
		if holds && err != nil {
			t.Error(err)
		}
		if !holds {
			wantFailure(t, err, NotReady, says)
		}
	}
	check(false, "none of 0 log lines") // the file is not there yet
	log.write("ready on 80\n")          // 12 bytes, of an earlier instance
	check(false, "none of 0 log lines")
	log.write("starting\nnot ready on 80\nready")
	check(false, "none of 2 log lines since the start matches")
	log.write(" on 8080") // its end may still be something else
	check(false, "none of 2 log lines")
	log.write("\r\nmore\n")
	check(true, "")
	log.truncate()
	check(true, "") // it has held once

	target.LogOffset = 0 // the next instance
	check(false, "none of 0 log lines")
	log.write("ready on 1\n")
	check(true, "")
}

// Two instances may begin at the same offset, if the log was cut in between.
func TestLogOfTheNextInstanceAtTheSameOffset(t *testing.T) {
	log := newLogFile(t)
	p := NewLog(regexp.MustCompile("ready"))
	log.write("ready\n")
	if err := p.Check(t.Context(), Target{LogPath: log.path, Done: make(chan struct{})}); err != nil {
		t.Fatal(err)
	}
	log.truncate()
	err := p.Check(t.Context(), Target{LogPath: log.path, Done: make(chan struct{})})
	wantFailure(t, err, NotReady, "none of 0")
}

func TestLogCutWhileWaiting(t *testing.T) {
	log := newLogFile(t)
	p := NewLog(regexp.MustCompile("^ready$"))
	target := Target{LogPath: log.path}
	log.write("much ado about nothing\nrea")
	wantFailure(t, p.Check(t.Context(), target), NotReady, "none of 1")
	log.truncate()
	log.write("dy\nready\n")
	if err := p.Check(t.Context(), target); err != nil {
		t.Error(err)
	}
}

func TestLogLongLines(t *testing.T) {
	log := newLogFile(t)
	p := NewLog(regexp.MustCompile("ready"))
	target := Target{LogPath: log.path}
	log.write(strings.Repeat("x", 3*maxLogLine))
	wantFailure(t, p.Check(t.Context(), target), NotReady, "none of 0")
	if n := cap(p.place.line); n > 2*maxLogLine {
		t.Errorf("%d bytes are kept", n)
	}
	log.write("ready\n") // beyond what is looked at
	wantFailure(t, p.Check(t.Context(), target), NotReady, "none of 1")
	log.write("ready\n")
	if err := p.Check(t.Context(), target); err != nil {
		t.Error(err)
	}
}

func TestLogThatCannotBeRead(t *testing.T) {
	p := NewLog(regexp.MustCompile("ready"))
	wantFailure(t, p.Check(t.Context(), Target{LogPath: t.TempDir()}), Unchecked, "cannot read the log")
	wantFailure(t, p.Check(t.Context(), Target{}), Unchecked, "has none")
	log := newLogFile(t)
	log.write("ready\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Check(ctx, Target{LogPath: log.path}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestLogCut: where lines may have gone, their want says nothing; one that is there
// counts as ever.
func TestLogCut(t *testing.T) {
	log := newLogFile(t)
	p := NewLog(regexp.MustCompile(`^ready$`))
	log.write("what came after\n")
	target := Target{LogPath: log.path}
	wantFailure(t, p.Check(t.Context(), target), NotReady, "none of 1 log lines")
	target.LogCut = true
	if err := p.Check(t.Context(), target); err != nil {
		t.Error(err)
	}
	target.LogCut = false
	wantFailure(t, p.Check(t.Context(), target), NotReady, "none of 1 log lines")
}
