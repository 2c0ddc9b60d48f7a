//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigRefused: a configuration that creel cannot read, then one that
// OpenClaw refuses, then a good one. The first two are said plainly and are not
// tried again and again.
func TestConfigRefused(t *testing.T) {
	f := newFolder(t)
	if err := os.MkdirAll(filepath.Dir(f.config()), 0o700); err != nil {
		t.Fatal(err)
	}
	f.configure(t, `{"gateway": {`)
	c := f.up(t)
	eventually(t, bootLimit, "creel says what is wrong and what to do", func() (bool, string) {
		said := read(t, c.stderr)
		_, said, found := strings.Cut(said, "The gateway is not running")
		return found && strings.Contains(said, f.config()) && strings.Contains(said, "creel restart"), said
	})
	f.wantRefused(t, 1, f.config(), "JSON")

	f.configure(t, `{logging: {level: 'shout'}} // JSON5`) // which its doctor cannot mend
	if r := f.command(t, "restart"); r.code != 1 {
		t.Errorf("creel restart with a bad configuration: %+v", r)
	}
	f.wantRefused(t, 2, "logging.level", "silent")
	if text := read(t, f.config()); !strings.Contains(text, `"level": "shout"`) || !strings.Contains(text, "// JSON5") {
		t.Errorf("the refused configuration is another one now:\n%s", text)
	}
	if list := f.events(t); count(list, "starting", 0) != 2 || count(list, "backoff", 0) != 0 {
		t.Errorf("it was tried again though that cannot help: %v", list)
	}

	// A person's own settings stay, whatever creel adds.
	f.configure(t, "{\n  // mine\n  \"agents\": {\"defaults\": {\"skipBootstrap\": true}},\n}\n")
	f.mustCommand(t, "restart")
	f.wantReady(t)
	if s := f.status(t); s.State != "ready" || s.Generation != 3 {
		t.Errorf("creel status: %v", s)
	}
	if text := read(t, f.config()); !strings.Contains(text, "skipBootstrap") {
		t.Errorf("a setting was lost:\n%s", text)
	}
	c.link(t)
	f.end(t, c)
}

func (f *folder) configure(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(f.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantRefused checks that everybody is told that the configuration is at fault:
// the owner with the message, strangers without it.
func (f *folder) wantRefused(t *testing.T, generation uint64, parts ...string) {
	t.Helper()
	s := f.status(t)
	if s.State != "failed" || s.PID != 0 || s.Generation != generation || s.LastEnd == nil || s.LastEnd.Cause != "config_refused" || s.LastEnd.Hint == "" {
		t.Fatalf("creel status --json: %v, %+v", s, s.LastEnd)
	}
	text := f.mustCommand(t, "status")
	for _, part := range append(parts, s.LastEnd.Hint) {
		if !strings.Contains(text, part) {
			t.Errorf("creel status does not say %q:\n%s", part, text)
		}
	}
	a := f.get(t.Context(), "/")
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusServiceUnavailable || p.Code != "config_refused" || p.Hint == "" {
		t.Errorf("a request: %v, %v", a, err)
	}
	if strings.Contains(a.body, f.root) {
		t.Errorf("strangers are told of the owner's folders: %v", a)
	}
	if a := f.get(t.Context(), "/_creel/readyz"); a.status != http.StatusServiceUnavailable {
		t.Errorf("creel's readiness: %v", a)
	}
}
