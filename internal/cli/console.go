package cli

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"creel/internal/config"
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

	elsewhere string // how other machines reach creel, if the link does not say it
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
		c.show("The gateway starts with the first request of somebody who may use it. Open this link:", link)
	case st.State == gateway.Ready && !c.shown && !c.quiet:
		c.show("Ready. Open this link:", link)
	case st.State == gateway.Failed:
		fmt.Fprintln(c.err, "The gateway is not running:", st.Reason)
		lines, next := givenUp(st.LastEnd)
		for _, line := range lines {
			fmt.Fprintln(c.err, "  "+line)
		}
		if next != "" {
			fmt.Fprintln(c.err, "Next:", next)
		}
	}
}

// show prints the link. c.mu is held.
func (c *console) show(what, link string) {
	c.shown = true
	fmt.Fprintln(c.err, what)
	fmt.Fprintln(c.out, link)
	if c.elsewhere != "" {
		fmt.Fprintln(c.err, c.elsewhere)
	}
}

// elsewhere says how other machines reach a creel that listens on all addresses.
func elsewhere(cfg *config.Config) string {
	addresses := addressesOf(cfg.Listen, cfg.Auth.Hosts)
	if len(addresses) == 0 {
		return ""
	}
	text := "On another machine, put in the place of 127.0.0.1 what it reaches this one by: " + strings.Join(addresses, ", ") + "."
	if _, port, err := net.SplitHostPort(cfg.Listen); err == nil && cfg.Gateway.Preset == config.PresetOpenClaw && cfg.TLS.Cert == "" {
		text += fmt.Sprintf("\nOpenClaw's own page works there over HTTPS only (tls.cert, or a proxy before creel), or through a tunnel: ssh -L %s:127.0.0.1:%[1]s %s", port, strings.Trim(addresses[0], "[]"))
	}
	return text
}

// addressesOf gives what other machines may reach a creel by that listens on all
// addresses: the names that it is told of, and the addresses of this machine.
func addressesOf(listen string, names []string) []string {
	host, _, err := net.SplitHostPort(listen)
	if addr, parseErr := netip.ParseAddr(host); err != nil || host != "" && (parseErr != nil || !addr.IsUnspecified()) {
		return nil
	}
	found := slices.Clone(names)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return found // a hint, no more: the link is good without it
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil:
			found = append(found, n.IP.String())
		case host != "0.0.0.0":
			found = append(found, "["+n.IP.String()+"]")
		}
	}
	return found
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
