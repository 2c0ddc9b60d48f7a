package openclaw

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"creel/internal/runtime"
)

// The texts are those of OpenClaw 2026.9.6, shortened.
func TestExitCause(t *testing.T) {
	const (
		second = `Doctor could not enter maintenance. StateDatabaseCoordinatorContentionError: another OpenClaw process owns gateway-lifecycle Stop the Gateway service
[gateway] requires state migration. Stop the service with openclaw gateway stop, then run openclaw doctor --fix`
		invalid = `2026-11-23T22:33:49.889+00:00 Gateway failed to start: Invalid config at /d/openclaw.json:
<root>: Unrecognized key: "nonsense"
Run "openclaw doctor --fix" to repair, then retry.
2026-11-23T22:33:49.892+00:00 Run "openclaw doctor --fix" to repair the config, then retry.`
		broken = `2026-11-23T22:33:43.538+00:00 Gateway start blocked: existing config is missing gateway.mode. Treat this as suspicious or clobbered config.`
		none   = "Missing config. Run `openclaw setup` or set gateway.mode=local (or pass --allow-unconfigured)."
		port   = `Gateway failed to start: another gateway instance is already listening on ws://127.0.0.1:28793 | listen EADDRINUSE: address already in use 127.0.0.1:28793 | EADDRINUSE
Port 28793 is already in use.
- pid 7168 root: python3 -m http.server (127.0.0.1:28793)
- Another process is listening on this port.`
		restart = `[admission] closed: restart (SIGUSR2)
[gateway] received SIGUSR2; restarting
[shutdown] completed cleanly in 181ms
[gateway] restart mode: full process restart (supervisor restart)`
		stop = `[admission] closed: stop (SIGTERM)
[gateway] received SIGTERM; shutting down
[shutdown] completed cleanly in 122ms`
		coloured = "\x1b[90m2026-11-23\x1b[39m \x1b[36m[gateway]\x1b[39m \x1b[36mreceived SIGTERM; shutting down\x1b[39m"
		heap     = `<--- Last few GCs --->
FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----`
	)
	code := func(n int) runtime.Exit { return runtime.Exit{Known: true, Code: n} }
	signal := func(s syscall.Signal) runtime.Exit { return runtime.Exit{Known: true, Signal: s} }
	tests := map[string]struct {
		exit      runtime.Exit
		log       string
		cause     string
		says      string // in the message
		permanent bool
	}{
		"invalid key":           {code(78), invalid, CauseConfigRefused, `/d/openclaw.json; <root>: Unrecognized key: "nonsense"`, true},
		"broken file":           {code(78), broken, CauseConfigRefused, "gateway.mode", true},
		"no file":               {code(78), none, CauseConfigRefused, "missing", true},
		"78 for another reason": {code(78), "newer schema", CauseConfigRefused, "exit code 78", true},
		"second instance":       {code(78), second, CauseStateInUse, "misleading", true},
		"self-restart":          {code(0), restart, CauseSelfRestart, "started again", false},
		"0 without a word":      {code(0), "", CauseSelfRestart, "started again", false},
		"stopped":               {code(0), stop, CauseStopped, "signal", false},
		"stopped in colours":    {code(0), coloured, CauseStopped, "signal", false},
		"stopped, then restart": {code(0), stop + "\n" + restart, CauseSelfRestart, "", false},
		"restart, then stopped": {code(0), restart + "\n" + stop, CauseStopped, "", false},
		"port taken":            {code(1), port, CausePortTaken, "pid 7168 root: python3", false},
		"1 for another reason":  {code(1), "TypeError", CauseExitCode, "exit code 1", false},
		"heap":                  {signal(syscall.SIGABRT), heap, CauseHeapExhausted, "heap", false},
		"abort":                 {signal(syscall.SIGABRT), "assertion failed", CauseSignal, "SIGABRT", false},
		"killed":                {signal(syscall.SIGKILL), heap, CauseSignal, "SIGKILL", false},
		"kernel":                {runtime.Exit{Known: true, Signal: syscall.SIGKILL, OOM: true}, "", CauseOOM, "memory", false},
		"adopted":               {runtime.Exit{}, invalid, CauseUnknown, "unknown", false},
		"adopted, heap":         {runtime.Exit{}, heap, CauseHeapExhausted, "heap", false},
		"adopted, restart":      {runtime.Exit{}, restart, CauseSelfRestart, "", false},
	}
	for name, test := range tests {
		got := ExitCause(test.exit, strings.Split(test.log, "\n"))
		if got.Cause != test.cause || got.Permanent != test.permanent || !strings.Contains(got.Message, test.says) || strings.HasSuffix(got.Message, ".") {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Permanent && got.Hint == "" {
			t.Errorf("%s: no next step", name)
		}
	}
}

// The table of the package comment.
func TestForwardingFor(t *testing.T) {
	tests := []struct {
		client  string
		claimed bool
		want    Forwarding
	}{
		{"127.0.0.1", false, Strip},
		{"127.8.9.10", false, Strip},
		{"::1", false, Strip},
		{"::ffff:127.0.0.1", false, Strip},
		{"127.0.0.1", true, Refuse},
		{"::1", true, Refuse},
		{"::ffff:127.0.0.1", true, Refuse},
		{"192.168.1.20", false, Set},
		{"192.168.1.20", true, Set},
		{"203.0.113.9", false, Set},
		{"2001:db8::1", true, Set},
		{"fe80::1%eth0", false, Set},
	}
	for _, test := range tests {
		if got := ForwardingFor(netip.MustParseAddr(test.client), test.claimed); got != test.want {
			t.Errorf("ForwardingFor(%s, %v) = %s, want %s", test.client, test.claimed, got, test.want)
		}
	}
	if got := ForwardingFor(netip.Addr{}, false); got != Refuse {
		t.Errorf("unknown client: %s", got)
	}
}

func TestLink(t *testing.T) {
	tests := map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080/#token=abc",
		"localhost:8080": "http://localhost:8080/#token=abc",
		":8080":          "http://127.0.0.1:8080/#token=abc",
		"0.0.0.0:80":     "http://127.0.0.1:80/#token=abc",
		"[::]:8080":      "http://127.0.0.1:8080/#token=abc",
		"[::1]:8080":     "http://[::1]:8080/#token=abc",
		"10.0.0.5:8080":  "http://10.0.0.5:8080/#token=abc",
	}
	for listen, want := range tests {
		if got, err := Link(listen, "abc"); got != want || err != nil {
			t.Errorf("Link(%q) = %q, %v; want %q", listen, got, err, want)
		}
	}
	if got, err := Link("localhost:1", "a b&c=d+e"); got != "http://localhost:1/#token=a+b%26c%3Dd%2Be" || err != nil {
		t.Errorf("Link = %q, %v", got, err)
	}
	if _, err := Link("8080", "abc"); err == nil {
		t.Error("no port was accepted")
	}
}

func TestOrigins(t *testing.T) {
	local := []string{"http://127.0.0.1:8080", "http://localhost:8080"}
	tests := map[string][]string{
		"127.0.0.1:8080": local, "localhost:8080": local, ":8080": local, "0.0.0.0:8080": local, "[::]:8080": local,
		"10.0.0.5:8080": append(slices.Clone(local), "http://10.0.0.5:8080"),
		"[::1]:8080":    append(slices.Clone(local), "http://[::1]:8080"),
	}
	for listen, want := range tests {
		if got, err := Origins(listen); !slices.Equal(got, want) || err != nil {
			t.Errorf("Origins(%q) = %q, %v; want %q", listen, got, err, want)
		}
	}
	if _, err := Origins("8080"); err == nil {
		t.Error("no port was accepted")
	}
}

// What is kept out is inside of what is protected, and is not the state itself.
func TestStateDirs(t *testing.T) {
	l := newLayout(t)
	dirs := l.StateDirs()
	if !slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(l.Config(), dir+"/") }) {
		t.Errorf("StateDirs = %q lacks %s", dirs, l.Config())
	}
	for _, kept := range []string{".openclaw/openclaw.json", ".openclaw/state/openclaw.sqlite", ".openclaw/agents/main", ".openclaw/workspace", ".openclaw/credentials", ".openclaw/media"} {
		for _, pattern := range l.StateIgnore() {
			if !strings.HasPrefix(pattern, "/") {
				t.Errorf("%s is not bound to a place, and may keep out what agents write", pattern)
			}
			if dir := strings.Trim(pattern, "/"); kept == dir || strings.HasPrefix(kept, dir+"/") {
				t.Errorf("%s is kept out by %s", kept, pattern)
			}
		}
	}
}
