package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"creel/internal/event"
	"creel/internal/wording"
)

// eventTable prints events for people, in columns: when (by the clock here), what,
// which instance, and what is said of it, with sizes and durations rounded. On a
// terminal the kind has the colour of its tone. --json has all of it as it is.
//
// A list has columns as wide as it needs. What is followed is not known beforehand: its
// columns grow.
type eventTable struct {
	out              io.Writer
	colour           bool
	kind, generation int // widths
}

// fit makes the columns wide enough for events.
func (t *eventTable) fit(list ...event.Event) {
	for _, ev := range list {
		t.kind = max(t.kind, len(printable(string(ev.Kind))))
		t.generation = max(t.generation, len(generationWord(ev)))
	}
}

func generationWord(ev event.Event) string {
	if ev.Generation == 0 {
		return ""
	}
	return fmt.Sprintf("#%d", ev.Generation)
}

// print prints an event, and beneath it what can be done.
func (t *eventTable) print(ev event.Event) error {
	t.fit(ev)
	when := ev.Time.Local().Format(time.DateTime)
	kind := fmt.Sprintf("%-*s", t.kind, printable(string(ev.Kind)))
	indent := len(when) + 2 + t.kind + 2
	if t.generation > 0 {
		kind += fmt.Sprintf("  %-*s", t.generation, generationWord(ev))
		indent += t.generation + 2
	}
	lines := textLines(ev.Message)
	if hint, ok := ev.Fields["hint"].(string); ok && hint != "" {
		lines = append(lines, textLines(hint)...)
	}
	text := strings.Join(lines, "\n"+strings.Repeat(" ", indent))
	_, err := fmt.Fprintf(t.out, "%s  %s  %s\n", t.paint(faint, when), t.paint(colours[wording.Event(ev).Tone], kind), text)
	return err
}

// textLines is a text in lines that are fit for a terminal: nothing in it moves the
// cursor, and its numbers are those of people.
func textLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = wording.Spoken(printable(strings.TrimSpace(line)), "`")
	}
	return lines
}

// Attributes of text on a terminal (ECMA-48 §8.3.117).
const faint = "2"

var colours = map[string]string{
	wording.ToneOK: "32", wording.ToneBusy: "36", wording.ToneWarn: "33", wording.ToneBad: "31", wording.ToneOff: faint,
}

func (t *eventTable) paint(attribute, text string) string {
	if !t.colour || attribute == "" {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}
