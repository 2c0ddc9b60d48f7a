package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// Bounds of max_header_bytes.
const (
	minHeaderBytes = 4 << 10  // less refuses browsers with a few cookies
	maxHeaderBytes = 16 << 20 // more is a body
)

// conditions checks gateway.ready and gateway.alive.
func (v *validator) conditions() {
	ready, alive := &v.cfg.Gateway.Ready, &v.cfg.Gateway.Alive
	v.path("gateway.ready.path", ready.Path)
	v.path("gateway.alive.path", alive.Path)
	for i, code := range ready.Status {
		if code < 100 || code > 599 {
			v.refuse(fmt.Sprintf("gateway.ready.status[%d]", i), "%d is not an HTTP status code (100 to 599)", code)
		}
	}
	if len(ready.Status) > 0 && ready.Path == "" {
		v.refusePair("gateway.ready.status", "gateway.ready.path", "has no meaning without gateway.ready.path")
	}
	if _, err := regexp.Compile(ready.Log); err != nil {
		v.refuse("gateway.ready.log", "is not a regular expression (RE2): %s", clip(strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
	}
	v.program("gateway.ready.command", ready.Command)
}

// path checks a path to ask the gateway for, with a query if need be. Empty:
// none.
func (v *validator) path(key, path string) {
	switch {
	case path == "":
	case !strings.HasPrefix(path, "/"):
		v.refuse(key, `%q must begin with "/"`, clip(path))
	case !isRequestTarget(path):
		v.refuse(key, "%q is not a path that HTTP can ask for; encode special characters as %%XX", clip(path))
	}
}

// isRequestTarget tells whether a path can stand in a request line as it is (RFC
// 9112 section 3.2.1, origin-form).
func isRequestTarget(path string) bool {
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" || strings.Contains(path, "#") {
		return false
	}
	return !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7F })
}

// The least limits that are allowed: with less a program cannot even be loaded,
// and what comes of it looks like a defect of the app.
const (
	minMemory    = 8 << 20
	minPIDs      = 16
	minOpenFiles = 16

	maxCPU   = 1_000_000 // 10,000 cores
	maxCount = 1 << 22   // PID_MAX_LIMIT of 64-bit Linux, and far above its default fs.nr_open
)

// limits checks gateway.limits. 0 is no limit.
func (v *validator) limits() {
	l := &v.cfg.Gateway.Limits
	if l.Memory != 0 && l.Memory < minMemory {
		v.refuse("gateway.limits.memory", "%s must be at least %s, or 0 for no limit", formatBytes(l.Memory), formatBytes(minMemory))
	}
	for _, n := range []struct {
		key         string
		value, most int
		least       int
	}{
		{"gateway.limits.cpu", l.CPU, maxCPU, 1},
		{"gateway.limits.pids", l.PIDs, maxCount, minPIDs},
		{"gateway.limits.open_files", l.OpenFiles, maxCount, minOpenFiles},
	} {
		if n.value != 0 && (n.value < n.least || n.value > n.most) {
			v.refuse(n.key, "%d must be from %d to %d, or 0 for no limit", n.value, n.least, n.most)
		}
	}
}

// hang checks gateway.hang: each stage is to come after the one before.
func (v *validator) hang() {
	h := &v.cfg.Gateway.Hang
	if h.SuspectAfter > 0 && h.Interval > h.SuspectAfter/2 {
		v.refusePair("gateway.hang.interval", "gateway.hang.suspect_after",
			"%s is longer than half of gateway.hang.suspect_after (%s): a single lost answer must not be enough", formatDuration(h.Interval), formatDuration(h.SuspectAfter))
	}
	if h.RestartAfter > 0 && h.SuspectAfter > h.RestartAfter {
		v.refusePair("gateway.hang.suspect_after", "gateway.hang.restart_after",
			"%s is longer than gateway.hang.restart_after (%s)", formatDuration(h.SuspectAfter), formatDuration(h.RestartAfter))
	}
	if h.BusyRestartAfter > 0 && h.RestartAfter > h.BusyRestartAfter {
		v.refusePair("gateway.hang.restart_after", "gateway.hang.busy_restart_after",
			"%s is longer than gateway.hang.busy_restart_after (%s)", formatDuration(h.RestartAfter), formatDuration(h.BusyRestartAfter))
	}
}

// lifecycle checks gateway.restart.
func (v *validator) lifecycle() {
	r := &v.cfg.Gateway.Restart
	if r.MaxDelay > 0 && r.Delay > r.MaxDelay {
		v.refusePair("gateway.restart.delay", "gateway.restart.max_delay", "%s is longer than gateway.restart.max_delay (%s)",
			formatDuration(r.Delay), formatDuration(r.MaxDelay))
	}
	if r.Fruitless < 1 {
		v.refuse("gateway.restart.fruitless", "%d must be at least 1", r.Fruitless)
	}
}

// replay checks proxy.hold and proxy.replay.
func (v *validator) replay() {
	if n := v.cfg.Proxy.Hold.Requests; n < 1 {
		v.refuse("proxy.hold.requests", "%d must be at least 1", n)
	}
	r := &v.cfg.Proxy.Replay
	for _, size := range []struct {
		key   string
		bytes int64
	}{
		{"proxy.replay.body_memory", r.BodyMemory},
		{"proxy.replay.body_max", r.BodyMax},
		{"proxy.replay.budget", r.Budget},
	} {
		if size.bytes < 0 {
			v.refuse(size.key, "%d must not be negative", size.bytes)
		}
	}
	if r.BodyMemory > r.BodyMax {
		v.refusePair("proxy.replay.body_memory", "proxy.replay.body_max", "%s is more than proxy.replay.body_max (%s)",
			formatBytes(r.BodyMemory), formatBytes(r.BodyMax))
	}
	if r.BodyMax > r.Budget {
		v.refusePair("proxy.replay.body_max", "proxy.replay.budget", "%s is more than proxy.replay.budget (%s)",
			formatBytes(r.BodyMax), formatBytes(r.Budget))
	}
	for i, route := range r.IdempotentRoutes {
		v.route(fmt.Sprintf("proxy.replay.idempotent_routes[%d]", i), route)
	}
}

// headerPattern is a token (RFC 9110 section 5.6.2), as header names are.
var headerPattern = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (v *validator) route(key string, route IdempotentRoute) {
	fixed := strings.TrimSuffix(route.Path, "*")
	switch {
	case route.Path == "":
		v.refuse(key+".path", "is missing")
	case !strings.HasPrefix(route.Path, "/"):
		v.refuse(key+".path", `%q must begin with "/"`, clip(route.Path))
	case strings.Contains(fixed, "*"):
		v.refuse(key+".path", `%q: "*" may stand at the end alone`, clip(route.Path))
	case strings.ContainsAny(fixed, "?#") || !isRequestTarget(fixed):
		v.refuse(key+".path", "%q is not a path (without a query); encode special characters as %%XX", clip(route.Path))
	}
	switch {
	case route.Header == "":
		v.refuse(key+".header", "is missing; it is usually Idempotency-Key")
	case !headerPattern.MatchString(route.Header):
		v.refuse(key+".header", "%q is not the name of a header", clip(route.Header))
	}
}

// connections checks what else proxy has.
func (v *validator) connections() {
	p := &v.cfg.Proxy
	for i, proxy := range p.TrustedProxies {
		if problem := checkNetwork(proxy); problem != "" {
			v.refuse(fmt.Sprintf("proxy.trusted_proxies[%d]", i), "%s", problem)
		}
	}
	if n := p.MaxHeaderBytes; n < minHeaderBytes || n > maxHeaderBytes {
		v.refuse("proxy.max_header_bytes", "%s is not between %s and %s", formatBytes(int64(n)), formatBytes(minHeaderBytes), formatBytes(maxHeaderBytes))
	}
}

// checkNetwork says what is wrong with an address or a CIDR, or nothing.
func checkNetwork(s string) string {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return ""
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Sprintf("%q is neither an IP address nor a network, such as 10.0.0.0/8", clip(s))
	}
	if masked := prefix.Masked(); masked != prefix {
		return fmt.Sprintf("%q has bits set beyond its prefix; write %s, or %s for the one address", s, masked, prefix.Addr())
	}
	return ""
}
