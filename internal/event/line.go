package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"creel/internal/telemetry"
)

// version of the line format. A reader refuses lines of a later one; fields
// that it does not know it ignores, so adding one needs no new version.
const version = 1

// Bounds of one event, in bytes. They keep a line below maxLine.
const (
	maxMessage = 8 << 10
	maxFields  = 32 << 10
	maxWord    = 256
	maxLine    = 256 << 10 // longer than any line that is written
	minLine    = 40        // shorter than any line that is written
)

// line is an event as it stands in a file.
type line struct {
	Version int `json:"v"`
	Event
}

// newerError is given for a line of a later version.
type newerError struct{ version int }

func (e *newerError) Error() string {
	return fmt.Sprintf("it has version %d of the journal's format, and this creel knows version %d", e.version, version)
}

// appendLine appends e as a line, with its line feed.
func appendLine(b []byte, e Event) []byte {
	text, err := json.Marshal(line{version, e})
	if err != nil {
		// clean leaves nothing that JSON refuses. Should it be wrong, the
		// fields go and the event stays.
		e.Fields = map[string]any{"dropped": err.Error()}
		text, err = json.Marshal(line{version, e})
		if err != nil {
			panic("event: an event without fields does not marshal: " + err.Error())
		}
	}
	return append(append(b, text...), '\n')
}

// decodeLine reads one line, without its line feed. Numbers in Fields become
// json.Number.
func decodeLine(text []byte) (Event, error) {
	var l line
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&l); err != nil {
		return Event{}, fmt.Errorf("not an event: %w", err)
	}
	switch {
	case l.Version > version:
		return Event{}, &newerError{l.Version}
	case l.Version < 1 || l.Seq == 0 || l.Kind == "":
		return Event{}, errors.New("not an event: it lacks a version, a number or a kind")
	case dec.InputOffset() != int64(len(text)):
		return Event{}, errors.New("not an event: more follows it")
	}
	return l.Event, nil
}

// head reads version and number of a line without decoding the rest, as
// appendLine writes them. A line written otherwise is decoded.
func head(text []byte) (v int, seq uint64, err error) {
	if rest, found := bytes.CutPrefix(text, []byte(`{"v":`)); found && text[len(text)-1] == '}' {
		digits, rest, _ := bytes.Cut(rest, []byte(`,"seq":`))
		number, _, found := bytes.Cut(rest[:min(len(rest), 24)], []byte{','})
		v, err1 := strconv.Atoi(string(digits))
		seq, err2 := strconv.ParseUint(string(number), 10, 64)
		if found && err1 == nil && err2 == nil && v > 0 && seq > 0 {
			return v, seq, nil
		}
	}
	e, err := decodeLine(text)
	var newer *newerError
	if errors.As(err, &newer) {
		return newer.version, 0, nil
	}
	return version, e.Seq, err
}

// clean makes e fit to be kept: redacted, bounded, in UTC, and without memory
// that the caller may still change.
func clean(e Event) Event {
	if e.Time.IsZero() || e.Time.Year() < 1 || e.Time.Year() > 9999 { // RFC 3339 has no other years
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC().Round(0)
	e.Kind = Kind(short(string(e.Kind), maxWord))
	if e.Kind == "" {
		e.Kind = "unknown"
	}
	e.Gateway = short(e.Gateway, maxWord)
	e.Cause = short(e.Cause, maxWord)
	e.Message = short(e.Message, maxMessage)
	e.Fields = cleanFields(e.Fields)
	return e
}

func cleanFields(fields map[string]any) map[string]any {
	if len(fields) == 0 {
		return nil
	}
	shown, ok := telemetry.RedactValue("", fields).(map[string]any)
	if !ok {
		return map[string]any{"dropped": "cannot be shown"}
	}
	b, err := json.Marshal(shown)
	if err != nil {
		return map[string]any{"dropped": err.Error()}
	}
	if len(b) > maxFields {
		return map[string]any{"dropped": fmt.Sprintf("%d bytes of fields are too many", len(b))}
	}
	return shown
}

// short is text redacted and cut to at most limit bytes, on the border of a
// character.
func short(text string, limit int) string {
	text = telemetry.Redact(text)
	if len(text) <= limit {
		return text
	}
	const more = " …"
	cut := limit - len(more)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + more
}
