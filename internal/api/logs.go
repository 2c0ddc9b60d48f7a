package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/logfile"
	"creel/internal/logline"
	"creel/internal/telemetry"
)

// LogQuery are the parameters of GET logs.
type LogQuery struct {
	Tail   int    `query:"tail" default:"100" max:"10000" doc:"how many lines back to begin; with follow and a filter: of those before the filter"`
	Follow bool   `query:"follow" doc:"of a text and of JSON lines: go on with what is to come, as server-sent events do anyway"`
	Level  string `query:"level" enum:"debug,info,warn,error" doc:"only lines that say that they are of this level or a worse one, and what belongs to them"`
	Search string `query:"search" max:"200" doc:"only lines with this text, small or capital letters alike"`
}

// Level is how grave a line of output is by its own words: "debug", "info", "warn",
// "error", or empty.
type Level = logline.Level

// LogLine is a line of the gateway's output, redacted.
type LogLine struct {
	Text string `json:"text"`
	// Level is what the line says of itself, or the level of the line that it
	// belongs to; empty: none.
	Level Level `json:"level,omitempty"`
	// Time is what the line says of itself; without it, it says none.
	Time time.Time `json:"time,omitzero"`
}

// LogLines is the answer to GET logs.
type LogLines struct {
	Lines []LogLine `json:"lines"` // oldest first
}

// MostLines is how far back a filter looks, and how many lines there are at most.
const MostLines = 10000

func (a *API) logRoutes() []route {
	return []route{
		handle("GET", v1("logs"), auth.Read, "getLogs", "The gateway's output, with secrets redacted",
			a.logs, bytesOf(mediaText), jsonOf[LogLines](), linesOf[LogLine](), eventsOf[LogLine]()),
	}
}

func (a *API) logs(w http.ResponseWriter, r *http.Request, q LogQuery) {
	media := choose(w, r, mediaText, mediaJSON, mediaNDJSON, mediaSSE)
	switch {
	case media == "":
	case media == mediaSSE || media != mediaJSON && q.Follow:
		a.stream(w, r, media, true, func(ctx context.Context, emit func(item) bool) { a.followLogs(ctx, media, q, emit) })
	default:
		lines, err := a.logTail(q)
		if err != nil {
			failed(w, err)
			return
		}
		if media == mediaJSON {
			writeJSON(w, http.StatusOK, LogLines{lines})
			return
		}
		out := newWriter(w, media)
		for _, l := range lines {
			if out.write(l.as(media)) != nil {
				return // the client is gone
			}
		}
	}
}

// logTail gives the last lines that pass the filter.
func (a *API) logTail(q LogQuery) ([]LogLine, error) { return q.take(a.opts.LogPath, logfile.Tail) }

// LogsAtRest gives what GET logs would, and goes on in older files: for output that no
// creel looks after at the moment.
func LogsAtRest(path string, q LogQuery) ([]LogLine, error) { return q.take(path, logfile.History) }

func (q LogQuery) take(path string, tail func(path string, n int) ([]string, error)) ([]LogLine, error) {
	n := q.Tail
	if q.filters() {
		n = MostLines
	}
	texts, err := tail(path, n)
	if err != nil {
		return nil, err
	}
	lines := []LogLine{}
	f := sieve{q: q}
	for _, text := range texts {
		if l, ok := f.take(telemetry.Redact(text)); ok {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-q.Tail):], nil
}

func (a *API) followLogs(ctx context.Context, media string, q LogQuery, emit func(item) bool) {
	f := sieve{q: q}
	out := &lineWriter{each: func(text string) bool {
		l, ok := f.take(text)
		return !ok || emit(l.as(media))
	}}
	if err := logfile.Follow(ctx, a.opts.LogPath, q.Tail, out); err != nil && ctx.Err() == nil {
		a.opts.Logger.Warn("the gateway's output can no longer be followed", "error", err)
	}
}

// as is a line as an item of a media type.
func (l LogLine) as(media string) item {
	if media == mediaText {
		return item{data: l.Text}
	}
	return item{data: l}
}

func (q LogQuery) filters() bool { return q.Level != "" || q.Search != "" }

// sieve lets lines pass that are asked for. A line that is indented belongs to the
// one before it.
type sieve struct {
	q    LogQuery
	last Level
}

func (s *sieve) take(text string) (LogLine, bool) {
	level := logline.LevelOf(text)
	if level == "" && (strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t")) {
		level = s.last
	}
	s.last = level
	passes := level.AtLeast(Level(s.q.Level)) && (s.q.Search == "" || strings.Contains(strings.ToLower(text), strings.ToLower(s.q.Search)))
	if !passes {
		return LogLine{}, false
	}
	return LogLine{text, level, logline.TimeOf(text)}, true
}

// lineWriter redacts whole lines and hands them on.
type lineWriter struct {
	each func(line string) bool
	rest []byte
}

func (f *lineWriter) Write(b []byte) (int, error) {
	f.rest = append(f.rest, b...)
	whole := lastLineEnd(f.rest)
	if whole == 0 {
		return len(b), nil
	}
	text := telemetry.Redact(string(f.rest[:whole]))
	f.rest = append(f.rest[:0], f.rest[whole:]...)
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if !f.each(strings.TrimSuffix(line, "\r")) {
			return 0, context.Canceled
		}
	}
	return len(b), nil
}

// longestLine is how much of a line without an end is waited for.
const longestLine = 64 << 10

func lastLineEnd(b []byte) int {
	for i := len(b); i > 0; i-- {
		if b[i-1] == '\n' {
			return i
		}
	}
	if len(b) > longestLine {
		return len(b)
	}
	return 0
}
