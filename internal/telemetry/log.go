package telemetry

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
)

// Keys of log attributes. A thing has one name in all of creel's log lines.
const (
	KeyGateway    = "gateway"     // name of the gateway
	KeyGeneration = "generation"  // number of the instance
	KeyRequestID  = "request_id"  // see RequestID
	KeyError      = "error"       // an error, or its text
	KeyState      = "state"       // state of the supervisor
	KeyCause      = "cause"       // stable word: why
	KeyPID        = "pid"         // process id
	KeyPort       = "port"        // TCP port
	KeyPath       = "path"        // a file, or the path of a URL
	KeyMethod     = "method"      // HTTP method
	KeyStatus     = "status"      // HTTP status code
	KeyDuration   = "duration"    // how long it took
	KeyAttempt    = "attempt"     // number of the attempt, from 1
	KeyRemoteAddr = "remote_addr" // address of a client
	KeyEvent      = "event"       // kind of a journal event
	KeySeq        = "seq"         // sequence number of a journal event
	KeyCount      = "count"       // how many
)

// Formats of the log.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Level is the least that a logger lets pass, which may change while it logs.
// The zero Level is info.
type Level struct{ now slog.LevelVar }

// Level implements slog.Leveler.
func (l *Level) Level() slog.Level { return l.now.Level() }

// Set changes the level to debug, info, warn or error; empty means info.
func (l *Level) Set(word string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "": slog.LevelInfo, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[word]
	if !ok {
		return fmt.Errorf("cannot log at level %q: use debug, info, warn or error", word)
	}
	l.now.Set(level)
	return nil
}

// MustSet is Set for a word that was checked before, as those of a Config are.
func (l *Level) MustSet(word string) {
	if err := l.Set(word); err != nil {
		panic(err)
	}
}

// NewLogger returns creel's logger: one line per record on w, secrets removed.
// format is text or json, and empty means text. Text is coloured if w is a
// terminal and the environment does not object (NO_COLOR, see no-color.org, or
// TERM=dumb).
func NewLogger(w io.Writer, level slog.Leveler, format string) (*slog.Logger, error) {
	return newLogger(w, level, format, WantsColour(w, os.LookupEnv))
}

func newLogger(w io.Writer, least slog.Leveler, format string, colour bool) (*slog.Logger, error) {
	var h slog.Handler
	switch format {
	case FormatJSON:
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})
	case "", FormatText:
		if colour {
			h = tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: "15:04:05.000"})
		} else {
			h = slog.NewTextHandler(w, &slog.HandlerOptions{Level: least})
		}
	default:
		return nil, fmt.Errorf("cannot log in format %q: use text or json", format)
	}
	return slog.New(NewRedactHandler(h)), nil
}

// WantsColour tells whether w is a terminal, or at least the kind of device
// that terminals are, that may be sent colours: env looks NO_COLOR and TERM up.
func WantsColour(w io.Writer, env func(name string) (string, bool)) bool {
	f, ok := w.(interface{ Stat() (fs.FileInfo, error) })
	unwanted, _ := env("NO_COLOR")
	term, _ := env("TERM")
	if !ok || unwanted != "" || term == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// redactHandler removes secrets before another handler formats a record.
type redactHandler struct{ next slog.Handler }

// NewRedactHandler returns a handler that passes records on to next without
// secrets in the message, in attributes and in groups. Values that are neither
// numbers, times nor strings are passed on as RedactValue gives them.
func NewRedactHandler(next slog.Handler) slog.Handler { return redactHandler{next} }

func (h redactHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l)
}

func (h redactHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, Redact(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(redactAttr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h redactHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redactAttr(a)
	}
	return redactHandler{h.next.WithAttrs(clean)}
}

func (h redactHandler) WithGroup(name string) slog.Handler {
	return redactHandler{h.next.WithGroup(name)}
}

func redactAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(redactNamed(classify(a.Key) != plainName, v.String()))
	case slog.KindAny:
		v = slog.AnyValue(RedactValue(a.Key, v.Any()))
	case slog.KindGroup:
		group := v.Group()
		clean := make([]slog.Attr, len(group))
		for i, member := range group {
			clean[i] = redactAttr(member)
		}
		v = slog.GroupValue(clean...)
	case slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		if classify(a.Key) != plainName {
			v = slog.StringValue(Mask)
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
