//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// life is one creel with its OpenClaw, through all that happens to them in
// TestLife. A boot takes 15 s, so the steps share it.
type life struct {
	*folder
	creel *creel
	link  string
	token string
}

// TestLife takes one gateway from the first `creel up` to the last stop. Each
// step leaves it ready for the next one.
func TestLife(t *testing.T) {
	l := &life{folder: newFolder(t)}
	l.settings(t, "")
	l.creel = l.up(t)
	l.link = l.creel.link(t)
	l.token = tokenOf(t, l.folder, l.link)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *life)
	}{
		{"up", testUp},
		{"management", testManagement},
		{"devices", testDevices},
		{"strangers", testStrangers},
		{"second creel", testSecondCreel},
		{"crash", testCrash},
		{"restart", testRestart},
		{"takeover", testTakeover},
		{"secrets", testSecrets},
		{"stop", testStop},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, l) }) {
			t.Fatalf("%q failed, and the next steps build on it", step.name)
		}
	}
}

// testUp: no provider key, no configuration, and yet it comes up, and the link
// that leads to it is all that standard output says.
func testUp(t *testing.T, l *life) {
	l.wantReady(t)
	s := l.status(t)
	if s.State != "ready" || !s.OK || s.Generation != 1 || s.Restarts != 0 || s.Adopted || s.Creel.Link != l.link ||
		s.Creel.Listen != l.listen || s.Creel.PID != l.creel.cmd.Process.Pid {
		t.Errorf("creel status --json: %+v", s)
	}
	main, ok := readProcess(s.PID)
	if !ok || !strings.HasPrefix(main.name, "openclaw-gatew") {
		t.Errorf("the process that creel watches is not the gateway itself: %v", main)
	}
	if !slices.ContainsFunc(l.processes(t), func(p process) bool { return p.pid == s.PID }) {
		t.Error("the gateway is not found by what nothingLeft looks for")
	}
	if text := l.mustCommand(t, "status"); !strings.Contains(text, "ready for") {
		t.Errorf("creel status:\n%s", text)
	}
	if kinds := l.events(t); count(kinds, "starting", 0) != 1 || count(kinds, "ready", 0) != 1 {
		t.Errorf("events: %v", kinds)
	}
}

// tokenOf checks the link, and gives the token that opens the gateway: creel tells
// it to those who have signed in, in a fragment.
func tokenOf(t *testing.T, f *folder, link string) string {
	t.Helper()
	if !f.isLink(link) {
		t.Fatalf("standard output is %q, not a link to click", link)
	}
	if a := f.get(t.Context(), "/_creel/open"); a.err != nil || a.status != http.StatusSeeOther || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("opening the gateway: %v %v", a, a.header)
	} else if token, ok := strings.CutPrefix(a.header.Get("Location"), "/#token="); ok && len(token) >= 32 {
		return token
	} else {
		t.Fatalf("the gateway is opened at %s", a.header.Get("Location"))
	}
	return ""
}

// isLink tells whether a text is a link that signs in, and no more.
func (f *folder) isLink(text string) bool {
	code, ok := strings.CutPrefix(text, f.url("/_creel/login?code="))
	return ok && len(code) > 40 && !strings.ContainsFunc(code, func(r rune) bool { return r < '0' || r > 'Z' })
}

// testManagement: a management client on this host is one to OpenClaw too, though
// creel is between them. With one header too many, OpenClaw would refuse it or
// take its scopes away.
func testManagement(t *testing.T, l *life) {
	o, err := l.dial(t.Context(), l.token)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	for _, scope := range operatorScopes {
		if !slices.Contains(o.scopes, scope) {
			t.Errorf("scopes are %v, without %s", o.scopes, scope)
		}
	}
	// A program on this machine that passes on somebody else's request, and that
	// creel was not told of, would make a stranger one of this machine.
	for _, field := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded"} {
		a := l.do(t.Context(), http.MethodGet, "/", "", http.Header{field: {"for=203.0.113.9"}})
		if a.err != nil || a.status != http.StatusForbidden || !strings.Contains(a.body, "proxy_not_trusted") {
			t.Errorf("with %s: %v", field, a)
		}
	}
	var health struct{ OK bool }
	if err := o.call(t.Context(), "health", map[string]any{}, &health); err != nil || !health.OK {
		t.Errorf("health: %+v, %v", health, err)
	}
}

// testSecondCreel: one data folder, one creel.
func testSecondCreel(t *testing.T, l *life) {
	second := l.up(t)
	if code := second.exit(t); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	said := read(t, second.stderr)
	for _, part := range []string{"already", l.data, "--data-dir", "pid "} {
		if !strings.Contains(said, part) {
			t.Errorf("it does not say %q: %s", part, said)
		}
	}
	if out := read(t, second.stdout); out != "" {
		t.Errorf("standard output: %q", out)
	}
	if s := l.status(t); s.Creel.PID != l.creel.cmd.Process.Pid || !s.OK {
		t.Errorf("the first one was disturbed: %+v", s)
	}
}

// testTakeover: creel is killed, the gateway lives on, and the next creel has it
// at once.
func testTakeover(t *testing.T, l *life) {
	before := l.status(t)
	gateway, ok := readProcess(before.PID)
	if !ok {
		t.Fatal("the gateway does not run")
	}
	l.creel.signal(t, syscall.SIGKILL)
	l.creel.exit(t)
	if r := l.command(t, "status"); r.code != 3 || !strings.Contains(r.stderr, "no creel is running") {
		t.Errorf("creel status without a creel: exit code %d, %s", r.code, r.stderr)
	}
	if now, ok := readProcess(before.PID); !ok || now.started != gateway.started {
		t.Fatal("the gateway died with creel")
	}
	l.creel = l.up(t)
	if link := l.creel.link(t); link == l.link || !l.isLink(link) {
		t.Errorf("the link is %s", link) // the one before was good for the creel before
	}
	if now, ok := readProcess(before.PID); !ok || now.started != gateway.started {
		t.Fatal("the gateway is not the one that ran before")
	}
	l.wantReady(t)
	s := l.status(t)
	if s.PID != before.PID || s.Generation != before.Generation || !s.Adopted || s.Restarts != 0 || s.State != "ready" {
		t.Errorf("after the takeover: %v, before: %v", s, before)
	}
	if o, err := l.dial(t.Context(), l.token); err != nil {
		t.Error(err)
	} else {
		o.close()
	}
}

// testSecrets: after all that has happened the token is nowhere but in OpenClaw's
// own files, and what the first link signs in with nowhere but in the link.
func testSecrets(t *testing.T, l *life) {
	if text := l.mustCommand(t, "status"); !strings.Contains(text, "/_creel/login?code=") || strings.Contains(text, l.token) {
		t.Error("creel status does not show the link, or shows the token")
	}
	for _, p := range allProcesses(t) {
		if strings.Contains(p.command, l.token) || strings.Contains(p.environ, l.token) {
			t.Errorf("the token is in the command line or the environment of pid %d (%s)", p.pid, p.name)
		}
	}
	texts := map[string]string{
		"creel events":        l.mustCommand(t, "events", "-n", "1000"),
		"creel events --json": l.mustCommand(t, "events", "--json", "-n", "1000"),
		"creel logs":          l.mustCommand(t, "logs", "-n", "10000"),
		"creel doctor":        l.command(t, "doctor").stdout,
	}
	for _, path := range []string{"/_creel/status", "/_creel/metrics", "/_creel/readyz", "/_creel/nothing"} {
		texts["GET "+path] = l.get(t.Context(), path).body
	}
	for _, c := range l.creels {
		texts[c.stderr] = read(t, c.stderr)
	}
	for _, name := range list(t, l.root, "data/journal/*", "data/gateways/*/*") {
		if info, err := os.Stat(filepath.Join(l.root, name)); err == nil && info.IsDir() {
			continue // copies of OpenClaw's own files
		}
		texts[name] = read(t, l.root+"/"+name)
	}
	for where, text := range texts {
		if text == "" {
			t.Errorf("%s is empty: that shows nothing", where)
		}
		if _, code, _ := strings.Cut(l.link, "code="); strings.Contains(text, l.token) || strings.Contains(text, code) {
			t.Errorf("the token, or the code of the link, is in %s", where)
		}
	}
	for _, c := range l.creels {
		if out := read(t, c.stdout); out != "" && !l.isLink(strings.TrimSuffix(out, "\n")) {
			t.Errorf("standard output is more than the link: %q", out)
		}
	}
}
