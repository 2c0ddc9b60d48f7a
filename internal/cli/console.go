package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
)

// console tells a person how a daemon comes up: progress on standard error, the
// link on standard output.
type console struct {
	out, err io.Writer
	mu       sync.Mutex
	phase    openclaw.Phase
	open     bool // the last line has no end yet
	shown    bool
	onDemand bool
	quiet    bool // a successor: the link was printed long ago
}

// install shows the progress of an installation: on a terminal in one line that
// changes, else a line for each phase.
func (c *console) install(p openclaw.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isTerminal(c.err) {
		fmt.Fprintf(c.err, "\r\x1b[K%s", p.Message)
		if p.Total > 0 {
			fmt.Fprintf(c.err, " (%v)", p.Total.Round(time.Second))
		}
		c.open = true
		if p.Phase == openclaw.PhaseDone {
			c.endLine()
		}
		return
	}
	if p.Phase != c.phase {
		c.phase = p.Phase
		fmt.Fprintln(c.err, p.Message)
	}
}

// state prints the link once the gateway is ready for the first time, and says
// what is the matter if it fails.
func (c *console) state(st gateway.Status, link string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLine()
	switch {
	case c.asleep(st) && !c.shown && !c.quiet:
		c.shown = true
		fmt.Fprintln(c.err, "The gateway starts with the first request of somebody who may use it. Open this link:")
		fmt.Fprintln(c.out, link)
	case st.State == gateway.Ready && !c.shown && !c.quiet:
		c.shown = true
		fmt.Fprintln(c.err, "Ready. Open this link:")
		fmt.Fprintln(c.out, link)
	case st.State == gateway.Failed:
		fmt.Fprintln(c.err, "The gateway is not running:", st.Reason)
		if st.LastEnd != nil && st.LastEnd.Hint != "" {
			fmt.Fprintln(c.err, "Next:", st.LastEnd.Hint)
		}
	}
}

// asleep tells whether the gateway waits for somebody to want it.
func (c *console) asleep(st gateway.Status) bool {
	return c.onDemand && st.State == gateway.Stopped && !st.StopAsked
}

func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLine()
}

func (c *console) endLine() {
	if c.open {
		fmt.Fprintln(c.err)
		c.open = false
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
