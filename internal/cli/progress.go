package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"creel/internal/snapshot"
	"creel/internal/wording"
)

// barAfter is how long something may take before its progress is shown.
const barAfter = time.Second

// plainEvery is how often progress is printed where there is no terminal.
const plainEvery = 10 * time.Second

// bar shows the progress of one call on standard error: on a terminal in one line
// that changes, else a line now and then. Nothing is shown of what is quick.
type bar struct {
	out      io.Writer
	terminal bool
	begun    time.Time
	printed  time.Time
	open     bool
}

func newBar(out io.Writer) *bar {
	return &bar{out: out, terminal: isTerminal(out), begun: time.Now()}
}

func (b *bar) show(text string) {
	now := time.Now()
	switch {
	case now.Sub(b.begun) < barAfter:
	case b.terminal:
		fmt.Fprintf(b.out, "\r\x1b[K%s", text)
		b.open = true
	case now.Sub(b.printed) >= plainEvery:
		b.printed = now
		fmt.Fprintln(b.out, text)
	}
}

// end takes the line away. It may be called again.
func (b *bar) end() {
	if b.open {
		fmt.Fprint(b.out, "\r\x1b[K")
		b.open = false
	}
}

// progressText says how far something is, such as
// "copying [#####     ] 52%, 31.2 MiB of 60.0 MiB, 12 s".
func progressText(d snapshot.Doing) string {
	text := d.Stage
	switch {
	case d.OfBytes > 0:
		done := min(d.Bytes, d.OfBytes)
		text += fmt.Sprintf(" [%-20s] %d%%, %s of %s", strings.Repeat("#", int(20*done/d.OfBytes)), 100*done/d.OfBytes, size(done), size(d.OfBytes))
	case d.OfFiles > 0:
		text += fmt.Sprintf(" %d of %d files", d.Files, d.OfFiles)
	case d.Bytes > 0:
		text += " " + size(d.Bytes)
	}
	return text + ", " + wording.Span(time.Since(d.Since))
}

// size shows a number of bytes, such as "1.5 MiB".
func size(n int64) string { return wording.Size(n) }
