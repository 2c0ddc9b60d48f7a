package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate checks a configuration, whatever it was made by; Load has done it
// already. s may be nil. Its error is a *Problems.
func Validate(cfg *Config, s *Sources) error {
	p := &problems{}
	validate(cfg, s, p)
	return p.err()
}

func validate(cfg *Config, s *Sources, p *problems) {
	v := &validator{problems: p, cfg: cfg, sources: s}
	v.general()
	v.gateway()
	v.conditions()
	v.limits()
	v.lifecycle()
	v.snapshots()
	v.hang()
	v.replay()
	v.connections()
	v.auth()
	v.providers()
}

// validator checks values against each other and against the world. What was
// found wrong with a value already is not said twice.
type validator struct {
	*problems
	cfg     *Config
	sources *Sources
}

// refuse reports a problem with key at the place of its value.
func (v *validator) refuse(key, format string, args ...any) {
	if !v.isFailed(key) {
		v.add(v.sources.near(key), key, format, args...)
	}
}

// refusePair reports two values that do not fit together, at the one that a
// person chose; at the first if both are chosen.
func (v *validator) refusePair(key, other, format string, args ...any) {
	if v.isFailed(key) || v.isFailed(other) {
		return
	}
	src := v.sources.near(key)
	if !v.sources.Of(key).chosen() && v.sources.Of(other).chosen() {
		src = v.sources.Of(other)
	}
	v.add(src, key, format, args...)
}

// words checks all keys that allow certain words alone.
func (v *validator) words() {
	for _, k := range ordered() {
		if k.Enum == nil {
			continue
		}
		switch value := k.value(v.cfg).(type) {
		case string:
			v.word(k.Path, value, k.Enum)
		case []string:
			for i, item := range value {
				v.word(fmt.Sprintf("%s[%d]", k.Path, i), item, k.Enum)
			}
		}
	}
}

func (v *validator) word(key, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	hint := ""
	if best := nearest(strings.ToLower(value), allowed); best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	}
	v.refuse(key, "%q is not one of %s%s", clip(value), strings.Join(quoted(allowed), ", "), hint)
}

func quoted(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, strconv.Quote(w))
	}
	return out
}

// texts refuses NUL in all texts but variables, which are looked at apart: no
// file name, argument or header can hold one.
func (v *validator) texts() {
	for _, k := range ordered() {
		switch value := k.value(v.cfg).(type) {
		case string:
			if strings.Contains(value, "\x00") {
				v.refuse(k.Path, "must not contain a NUL character")
			}
		case []string:
			for i, item := range value {
				if strings.Contains(item, "\x00") {
					v.refuse(fmt.Sprintf("%s[%d]", k.Path, i), "must not contain a NUL character")
				}
			}
		}
	}
}

// durations refuses 0 where it would mean that nothing can ever succeed, and
// durations below it everywhere.
func (v *validator) durations() {
	zeroMeans := map[string]bool{
		"gateway.stop.drain":           true,
		"upgrade.drain":                true,
		"gateway.stop.grace":           true,
		"gateway.restart.retry_failed": true,
		"snapshots.every":              true,
		"snapshots.settle":             true,
		"snapshots.old_state":          true,
		"proxy.replay.crash_window":    true,
		"proxy.timeouts.response":      true,
	}
	for _, k := range ordered() {
		d, ok := k.value(v.cfg).(time.Duration)
		switch {
		case !ok:
		case d < 0:
			v.refuse(k.Path, "%s must not be negative", formatDuration(d))
		case d == 0 && !zeroMeans[k.Path]:
			v.refuse(k.Path, "must be longer than 0")
		}
	}
}

func (v *validator) general() {
	v.words()
	v.texts()
	v.durations()
	if problem := checkListen(v.cfg.Listen); problem != "" {
		v.refuse("listen", "%s", problem)
	}
	if v.cfg.TLS.Cert == "" && v.cfg.TLS.Key != "" {
		v.refuse("tls.key", "needs tls.cert, too")
	}
	if v.cfg.TLS.Cert != "" && v.cfg.TLS.Key == "" {
		v.refuse("tls.cert", "needs tls.key, too")
	}
	switch dir := v.cfg.DataDir; {
	case dir != "":
	case v.sources.Of("data_dir").chosen():
		v.refuse("data_dir", "must not be empty")
	default:
		v.refuse("data_dir", "there is no default, because neither XDG_STATE_HOME nor HOME is an absolute path; set data_dir, CREEL_DATA_DIR or --data-dir")
	}
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// checkListen says what is wrong with a "host:port", or nothing.
func checkListen(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		hint := ""
		if _, err := strconv.ParseUint(listen, 10, 16); err == nil {
			hint = fmt.Sprintf("; write %q", "127.0.0.1:"+listen)
		}
		return fmt.Sprintf("%q is not host:port, such as 127.0.0.1:8080 or [::1]:8080%s", clip(listen), hint)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("port %q is not a number from 0 to 65535", clip(port))
	}
	ip, _, _ := strings.Cut(host, "%") // an IPv6 address may name its interface
	if host != "" && net.ParseIP(ip) == nil && !hostPattern.MatchString(host) {
		return fmt.Sprintf("%q is neither an IP address nor a host name", clip(host))
	}
	return ""
}

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	versionPattern  = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,63}$`)
	variablePattern = regexp.MustCompile(`^[^=\x00]+$`)
)

func (v *validator) gateway() {
	g := &v.cfg.Gateway
	if !namePattern.MatchString(g.Name) {
		v.refuse("gateway.name", `%q is not a name: 1 to 40 of a-z, 0-9 and "-", not "-" at either end`, clip(g.Name))
	}
	// It becomes part of file names and of a package to install.
	if g.Version != "" && !versionPattern.MatchString(g.Version) {
		v.refuse("gateway.version", "%q is not an exact version, such as 1.2.3", clip(g.Version))
	}
	if len(g.Command) == 0 && g.Preset == PresetNone {
		v.refuse("gateway.command", `is missing; give the program to run, such as ["node", "server.js"], or gateway.preset: openclaw`)
	}
	for i, key := range g.OpenClaw.Lock {
		if key == "" || strings.HasPrefix(key, ".") || strings.HasSuffix(key, ".") || strings.Contains(key, "..") {
			v.refuse(fmt.Sprintf("gateway.openclaw.lock[%d]", i), "%q is not a key of openclaw.json, such as channels.telegram.botToken", clip(key))
		}
	}
	v.program("gateway.command", g.Command)
	v.environment()
	v.port()
	v.state()
}

// program checks that a command has a program.
func (v *validator) program(key string, command []string) {
	if len(command) > 0 && strings.TrimSpace(command[0]) == "" {
		v.refuse(key+"[0]", "the name of the program is empty")
	}
}

func (v *validator) environment() {
	env := v.cfg.Gateway.Env
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		key := variablesKey + "." + shownName(name)
		switch {
		case !variablePattern.MatchString(name):
			v.refuse(key, `the name of a variable must not be empty nor contain "=" or NUL`)
		case strings.Contains(value, "\x00"):
			v.refuse(key, "its value must not contain a NUL character")
		case name == "PORT":
			v.refuse(key, "creel sets PORT; write gateway.port instead")
		}
	}
}

func (v *validator) port() {
	port := v.cfg.Gateway.Port
	if port < 0 || port > 65535 {
		v.refuse("gateway.port", "%d is not a port: 1 to 65535, or 0 for a free one", port)
		return
	}
	// The gateway listens on 127.0.0.1, which a listener on all addresses, on
	// loopback or on a name may cover too.
	if _, own, err := net.SplitHostPort(v.cfg.Listen); err == nil && port != 0 && own == strconv.Itoa(port) {
		v.refusePair("gateway.port", "listen", "%d is also the port of listen (%s)", port, clip(v.cfg.Listen))
	}
}

// state refuses folders that would be captured twice, or that hold creel's own
// data, of which the captures are part.
func (v *validator) state() {
	dirs := v.cfg.Gateway.State
	for i, dir := range dirs {
		key := fmt.Sprintf("gateway.state[%d]", i)
		switch {
		case dir == "":
			v.refuse(key, "is empty")
			continue
		case v.cfg.DataDir != "" && isWithin(v.cfg.DataDir, dir):
			v.refusePair(key, "data_dir", "%s holds creel's own data_dir (%s)", clip(dir), clip(v.cfg.DataDir))
		}
		for j, other := range dirs {
			if other != "" && i != j && isWithin(dir, other) && (i > j || !isWithin(other, dir)) {
				v.refuse(key, "%s is within %s, which is in the list too", clip(dir), clip(other))
				break
			}
		}
	}
}

// isWithin tells whether path is dir or below it.
func isWithin(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
