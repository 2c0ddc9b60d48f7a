package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"creel/internal/logfile"
	"creel/internal/logline"
	"creel/internal/telemetry"
)

// Logs is the gateway's output. What comes out of it is not redacted yet.
type Logs interface {
	// Tail gives the last n lines.
	Tail(n int) ([]string, error)
	// Follow writes the last n lines and then those to come, until ctx ends.
	Follow(ctx context.Context, n int, out io.Writer) error
}

// LogFile is the output of a gateway in a file.
type LogFile string

// Tail implements Logs.
func (f LogFile) Tail(n int) ([]string, error) { return logfile.Tail(string(f), n) }

// Follow implements Logs.
func (f LogFile) Follow(ctx context.Context, n int, out io.Writer) error {
	return logfile.Follow(ctx, string(f), n, out)
}

// logsPage is what the page of logs shows.
type logsPage struct {
	Have    bool
	Lines   []logLine
	Query   string
	Level   string
	Levels  []levelChoice
	Problem string
	Shown   int
	Of      int
}

type levelChoice struct {
	Name, Title string
	Now         bool
}

// logLine is a line, with the level and the time that it was found to have.
type logLine struct {
	Level string `json:"level,omitempty"` // "error", "warn", "info", "debug"; empty: none was found
	At    string `json:"at,omitempty"`    // the time that it begins with, as it is shown; empty: with none
	Time  string `json:"time,omitempty"`  // the same as RFC 3339
	Text  string `json:"text"`            // what follows
}

// How many lines are shown, looked through, and given to be kept.
const (
	shownLines    = 500
	searchedLines = 5000
	loadedLines   = 50_000
	longestLine   = 8 << 10
)

func logsData(u *UI, r *http.Request) (any, error) {
	q := r.URL.Query()
	p := logsPage{Have: u.opts.Logs != nil, Query: clip(q.Get("q"), 200), Level: q.Get("level")}
	for _, l := range []levelChoice{{Name: "", Title: "All lines"}, {Name: "error", Title: "Errors"}, {Name: "warn", Title: "Warnings and errors"}, {Name: "info", Title: "Without debugging"}} {
		l.Now = l.Name == p.Level
		p.Levels = append(p.Levels, l)
	}
	if !p.Have {
		return p, nil
	}
	n := shownLines
	if p.Query != "" || p.Level != "" {
		n = searchedLines
	}
	lines, err := u.opts.Logs.Tail(n)
	if err != nil {
		p.Problem = sentence(err.Error())
		return p, nil
	}
	p.Of = len(lines)
	for _, line := range lines {
		l := lineOf(line)
		if passes(l, p.Query, p.Level) {
			p.Lines = append(p.Lines, l)
		}
	}
	p.Lines = p.Lines[max(0, len(p.Lines)-shownLines):]
	p.Shown = len(p.Lines)
	return p, nil
}

func passes(l logLine, query, level string) bool {
	if query != "" && !strings.Contains(strings.ToLower(l.At+" "+l.Text), strings.ToLower(query)) {
		return false
	}
	return levelPasses(l.Level, level)
}

// levelPasses: a line without a level is shown unless only grave ones are wanted.
func levelPasses(have, least string) bool {
	switch least {
	case "error":
		return have == "error"
	case "warn":
		return have == "error" || have == "warn"
	case "info":
		return have != "debug"
	}
	return true
}

// lineOf redacts a line and finds its level.
func lineOf(line string) logLine {
	text := clip(telemetry.Redact(plainText(line)), longestLine)
	l := logLine{Level: string(logline.LevelOf(text)), Text: text}
	// A time to the millisecond, with day and zone, is half a line on a phone. The file
	// that can be loaded has lines as they are.
	if at, rest := logline.Cut(text); !at.IsZero() && rest != "" {
		l.At, l.Time, l.Text = at.Local().Format(time.TimeOnly), at.Format(time.RFC3339Nano), rest
	}
	return l
}

// plainText takes the escape sequences of terminals out of a line (ECMA-48 §5.4:
// ESC [ … a byte from @ to ~), and what else cannot be shown.
func plainText(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0x1b && i+1 < len(s) && s[i+1] == '[':
			for i += 2; i < len(s) && (s[i] < '@' || s[i] > '~'); i++ {
			}
		case c < ' ' && c != '\t' || c == 0x7f:
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (u *UI) downloadLogs(w http.ResponseWriter, r *http.Request) {
	if u.opts.Logs == nil {
		u.refuse(w, r, &pageError{http.StatusNotFound, "There are no logs", "creel was not told where they are.", ""})
		return
	}
	lines, err := u.opts.Logs.Tail(loadedLines)
	if err != nil {
		u.refuse(w, r, err)
		return
	}
	h := w.Header()
	secure(h)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+u.opts.Supervisor.Status().Name+`-`+time.Now().UTC().Format("20060102T150405Z")+`.log"`)
	out := bufio.NewWriter(w)
	for _, line := range lines {
		if _, err := out.WriteString(telemetry.Redact(line) + "\n"); err != nil {
			return // the client is gone
		}
	}
	_ = out.Flush() // the client may be gone
}

// lineSplitter hands on whole lines, as one batch for each write.
type lineSplitter struct {
	rest string
	emit func([]logLine) error
}

// Write implements io.Writer.
func (s *lineSplitter) Write(b []byte) (int, error) {
	s.rest += string(b)
	var batch []logLine
	for {
		line, rest, whole := strings.Cut(s.rest, "\n")
		if !whole {
			if len(s.rest) > 64<<10 { // a line without an end
				batch, s.rest = append(batch, lineOf(s.rest)), ""
			}
			break
		}
		batch, s.rest = append(batch, lineOf(strings.TrimSuffix(line, "\r"))), rest
	}
	if len(batch) == 0 {
		return len(b), nil
	}
	return len(b), s.emit(batch)
}

// encode makes JSON of a value of this package's own. It is never part of a page,
// so that HTML in it stays as short as it is.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // such values always marshal
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
