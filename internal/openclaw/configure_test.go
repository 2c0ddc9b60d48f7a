package openclaw

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"creel/internal/telemetry"
)

func newLayout(t *testing.T) Layout {
	t.Helper()
	l, err := LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var testSettings = Settings{Port: 18789, Origins: []string{"http://127.0.0.1:8080", "http://localhost:8080"}}

// putConfig puts text where the configuration is.
func putConfig(t *testing.T, l Layout, text string) {
	t.Helper()
	if err := os.MkdirAll(l.State(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.Config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func getConfig(t *testing.T, l Layout) string {
	t.Helper()
	b, err := os.ReadFile(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestConfigureFresh(t *testing.T) {
	l := newLayout(t)
	got, err := Configure(l, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Created || !got.Changed || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(got.Token.Reveal()) {
		t.Errorf("Configure = %+v", got)
	}
	want := fmt.Sprintf(`{
  "gateway": {
    "mode": "local",
    "port": 18789,
    "bind": "loopback",
    "auth": {
      "mode": "token",
      "token": %q
    },
    "trustedProxies": ["127.0.0.1", "::1"],
    "controlUi": {
      "allowedOrigins": ["http://127.0.0.1:8080", "http://localhost:8080"]
    }
  },
  "logging": {
    "file": %q
  }
}
`, got.Token.Reveal(), l.GatewayLog())
	if text := getConfig(t, l); text != want {
		t.Errorf("configuration:\n%s\nwant:\n%s", text, want)
	}
	for _, path := range []string{l.Config(), l.TokenFile()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	for _, dir := range []string{l.Home(), l.Tmp(), l.Logs(), l.State()} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	if kept, err := ReadToken(l); err != nil || kept != got.Token {
		t.Errorf("ReadToken = %q, %v", kept.Reveal(), err)
	}

	// The second time nothing is written, not even the same bytes.
	before, err := os.Stat(l.Config())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Configure(l, testSettings)
	if err != nil || again.Changed || again.Created || again.Token != got.Token {
		t.Errorf("second Configure = %+v, %v", again, err)
	}
	after, err := os.Stat(l.Config())
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced (%v)", err)
	}
	if _, err := os.Stat(l.Config() + BackupSuffix); err == nil {
		t.Error("there is a backup of nothing")
	}
}

// Configure changes what creel owns and no other byte.
func TestConfigureMerge(t *testing.T) {
	l := newLayout(t)
	const before = `// mine
{
  "agents": { "defaults": { "model": { "primary": "fake/fake-1" } } }, // keep
  "gateway": {
    "port": 4000,   // old
    "bind": "lan",
    "auth": { "token": "mine-and-known-to-my-browser", "rateLimit": {"maxAttempts": 3}, },
    "trustedProxies": ["10.0.0.1"], /* mine too */
    "controlUi": {
      "allowedOrigins": [
        "https://bot.example.com",
      ],
    },
  },
  "unknown": [1, 2.50, 1e3],
}
`
	putConfig(t, l, before)
	if err := os.Chmod(l.Config(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Configure(l, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	if got.Created || !got.Changed || got.Token.Reveal() != "mine-and-known-to-my-browser" {
		t.Errorf("Configure = %+v", got)
	}
	want := fmt.Sprintf(`// mine
{
  "agents": { "defaults": { "model": { "primary": "fake/fake-1" } } }, // keep
  "gateway": {
    "port": 18789,   // old
    "bind": "loopback",
    "auth": { "token": "mine-and-known-to-my-browser", "rateLimit": {"maxAttempts": 3}, "mode": "token", },
    "trustedProxies": ["10.0.0.1", "127.0.0.1", "::1"], /* mine too */
    "controlUi": {
      "allowedOrigins": [
        "https://bot.example.com",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
      ],
    },
    "mode": "local",
  },
  "unknown": [1, 2.50, 1e3],
  "logging": {
    "file": %q
  },
}
`, l.GatewayLog())
	if text := getConfig(t, l); text != want {
		t.Errorf("configuration:\n%s\nwant:\n%s", text, want)
	}
	if b, err := os.ReadFile(l.Config() + BackupSuffix); err != nil || string(b) != before {
		t.Errorf("backup: %v\n%s", err, b)
	}
	for _, path := range []string{l.Config(), l.Config() + BackupSuffix} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if kept, err := ReadToken(l); err != nil || kept != got.Token {
		t.Errorf("kept token %q, %v", kept.Reveal(), err)
	}
	if again, err := Configure(l, testSettings); err != nil || again.Changed {
		t.Errorf("second Configure = %+v, %v", again, err)
	}
}

// Whatever the shape of a document, what is added is read back by any reader.
func TestConfigureShapes(t *testing.T) {
	shapes := []string{
		`{}`, "{\n}", `{ }`, `{/* c */}`, "{\n  // c\n}\n", `{"a":1}`, `{"a":1,}`, `{"a":1 /* c */}`, "{\"a\":1 // c\n}", "{\"a\":1, // c\n}",
		`{"gateway":{}}`, `{"gateway":{"controlUi":{"allowedOrigins":[]}}}`, `{"gateway":{"controlUi":{"allowedOrigins":["x",]}}}`,
		"{\"gateway\":{\"trustedProxies\":[\"10.0.0.1\" // c\n]}}", "{\"gateway\":{\"trustedProxies\":[\n// c\n]}}",
		"{\"gateway\":{\"auth\":{\n    \"mode\": \"password\" // c\n  }}}", "\xef\xbb\xbf{}", "// c\n{}// d", `{"gateway":{"auth":{"token":""}}}`, `{"gateway":{"auth":{"token":null}}}`,
		`{"\u0067ateway":{"port":1.8789e4}}`,
	}
	for _, shape := range shapes {
		l := newLayout(t)
		putConfig(t, l, shape)
		got, err := Configure(l, testSettings)
		if err != nil {
			t.Errorf("%q: %v", shape, err)
			continue
		}
		text := getConfig(t, l)
		standard, err := hujson.Standardize([]byte(text))
		if err != nil {
			t.Errorf("%q became %q: %v", shape, text, err)
			continue
		}
		var doc struct {
			A       int
			Gateway struct {
				Mode, Bind     string
				Port           float64
				Auth           struct{ Mode, Token string }
				TrustedProxies []string
				ControlUI      struct{ AllowedOrigins []string } `json:"controlUi"`
			}
			Logging struct{ File string }
		}
		if err := json.Unmarshal(standard, &doc); err != nil {
			t.Errorf("%q became %q: %v", shape, text, err)
			continue
		}
		g := doc.Gateway
		if g.Mode != "local" || g.Bind != "loopback" || g.Port != 18789 || g.Auth.Mode != "token" || g.Auth.Token != got.Token.Reveal() || len(g.Auth.Token) != 64 ||
			len(g.TrustedProxies) < 2 || len(g.ControlUI.AllowedOrigins) < 2 || doc.Logging.File == "" || strings.Contains(shape, `"a"`) != (doc.A == 1) {
			t.Errorf("%q became %q", shape, text)
		}
		if strings.Count(shape, "// c\n") != strings.Count(text, "// c\n") || strings.Count(shape, "/* c */") != strings.Count(text, "/* c */") {
			t.Errorf("%q lost a comment: %q", shape, text)
		}
		if again, err := Configure(l, testSettings); err != nil || again.Changed {
			t.Errorf("%q: second Configure = %+v, %v", shape, again, err)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	tests := map[string]struct {
		text   string
		reason ConfigReason
		says   string
	}{
		"no JSON5":            {"{\n  gateway: on}", ConfigSyntax, "line 2, column 12"},
		"half a file":         {"{\n\n\"gateway\": {x", ConfigSyntax, "line 3"},
		"empty file":          {``, ConfigSyntax, "move it away"},
		"not an object":       {`[]`, ConfigSyntax, "not an object"},
		"gateway no object":   {`{"gateway": 5}`, ConfigConflict, "gateway is not an object"},
		"origins no list":     {`{"gateway": {"controlUi": {"allowedOrigins": "*"}}}`, ConfigConflict, "gateway.controlUi.allowedOrigins is not a list"},
		"key twice":           {`{"gateway": {"port": 1, "port": 2}}`, ConfigConflict, "gateway.port is there twice"},
		"gateway twice":       {`{"gateway": {}, "gateway": {}}`, ConfigConflict, "gateway is there twice"},
		"token elsewhere":     {`{"gateway": {"auth": {"token": {"source": "env", "id": "T"}}}}`, ConfigConflict, "gateway.auth.token"},
		"token from variable": {`{"gateway": {"auth": {"token": "${TOKEN}"}}}`, ConfigConflict, "environment variable"},
		"TLS":                 {`{"gateway": {"tls": {"enabled": true}}}`, ConfigConflict, "gateway.tls"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLayout(t)
			putConfig(t, l, test.text)
			_, err := Configure(l, testSettings)
			assertRefused(t, l, err, test.reason, test.says)
			if text := getConfig(t, l); text != test.text {
				t.Errorf("the file was changed: %q", text)
			}
			if _, err := os.Stat(l.TokenFile()); err == nil {
				t.Error("a token was kept")
			}
		})
	}
}

func assertRefused(t *testing.T, l Layout, err error, reason ConfigReason, says string) {
	t.Helper()
	failure, ok := errors.AsType[*ConfigError](err)
	if !ok || failure.Reason != reason || !strings.Contains(err.Error(), says) ||
		!strings.HasPrefix(err.Error(), "cannot ") || !strings.Contains(err.Error(), l.Config()) || failure.Next == "" {
		t.Errorf("Configure = %v (%#v), want reason %s and %q", err, failure, reason, says)
	}
	if _, err := os.Stat(l.Config() + BackupSuffix); err == nil {
		t.Error("there is a backup")
	}
}

func TestConfigureFolderInPlace(t *testing.T) {
	l := newLayout(t)
	if err := os.MkdirAll(l.Config(), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Configure(l, testSettings)
	assertRefused(t, l, err, ConfigUnreadable, "it is no file")
}

func TestConfigureReadOnlyFile(t *testing.T) {
	l := newLayout(t)
	putConfig(t, l, `{}`)
	if err := os.Chmod(l.Config(), 0o400); err != nil {
		t.Fatal(err)
	}
	_, err := Configure(l, testSettings)
	assertRefused(t, l, err, ConfigReadOnly, "chmod u+w")
	if text := getConfig(t, l); text != `{}` {
		t.Errorf("the file was changed: %q", text)
	}

	// Where nothing is to be changed, a read-only file is as good as any.
	if err := os.Remove(l.Config()); err != nil {
		t.Fatal(err)
	}
	if _, err := Configure(l, testSettings); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(l.Config(), 0o400); err != nil {
		t.Fatal(err)
	}
	if got, err := Configure(l, testSettings); err != nil || got.Changed {
		t.Errorf("Configure = %+v, %v", got, err)
	}
}

// A file that others could read is closed to them, even if its text is right.
func TestConfigureCloses(t *testing.T) {
	l := newLayout(t)
	if _, err := Configure(l, testSettings); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.Config(), l.TokenFile()} {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Configure(l, testSettings); err != nil || got.Changed {
		t.Fatalf("Configure = %+v, %v", got, err)
	}
	for _, path := range []string{l.Config(), l.TokenFile()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// A link stays a link; what it points to is changed.
func TestConfigureLink(t *testing.T) {
	l := newLayout(t)
	target := filepath.Join(t.TempDir(), "dotfiles.json")
	if err := os.MkdirAll(l.State(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, l.Config()); err != nil {
		t.Fatal(err)
	}
	_, err := Configure(l, testSettings)
	assertRefused(t, l, err, ConfigUnreadable, "correct the link")

	if err := os.WriteFile(target, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Configure(l, testSettings); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(l.Config()); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("%v, %v: no link any more", info, err)
	}
	if b, err := os.ReadFile(target); err != nil || !strings.Contains(string(b), "loopback") {
		t.Errorf("target: %v %s", err, b)
	}
}

func TestConfigureToken(t *testing.T) {
	l := newLayout(t)
	first, err := Configure(l, testSettings)
	if err != nil {
		t.Fatal(err)
	}
	// A configuration that was lost gets the token that browsers know.
	if err := os.Remove(l.Config()); err != nil {
		t.Fatal(err)
	}
	if got, err := Configure(l, testSettings); err != nil || got.Token != first.Token || !got.Created {
		t.Errorf("without configuration: %+v, %v", got, err)
	}
	// A token that was lost is taken from the configuration.
	if err := os.Remove(l.TokenFile()); err != nil {
		t.Fatal(err)
	}
	if got, err := Configure(l, testSettings); err != nil || got.Token != first.Token || got.Changed {
		t.Errorf("without token: %+v, %v", got, err)
	}
	// One that was changed in the configuration, because the old one leaked,
	// is not changed back.
	putConfig(t, l, strings.Replace(getConfig(t, l), first.Token.Reveal(), "new-token", 1))
	if got, err := Configure(l, testSettings); err != nil || got.Token != "new-token" {
		t.Errorf("changed token: %+v, %v", got, err)
	}
	if kept, err := ReadToken(l); err != nil || kept != telemetry.Secret("new-token") {
		t.Errorf("kept: %q, %v", kept.Reveal(), err)
	}
	if other, err := Configure(newLayout(t), testSettings); err != nil || other.Token == first.Token {
		t.Errorf("two gateways share a token (%v)", err)
	}
}

// A change of creel's port or address is all that is changed.
func TestConfigureAgain(t *testing.T) {
	l := newLayout(t)
	if _, err := Configure(l, testSettings); err != nil {
		t.Fatal(err)
	}
	before := getConfig(t, l)
	if _, err := Configure(l, Settings{Port: 20000, Origins: []string{"https://bot.example.com"}}); err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("18789", "20000", `localhost:8080"]`, `localhost:8080", "https://bot.example.com"]`).Replace(before)
	if text := getConfig(t, l); text != want {
		t.Errorf("configuration:\n%s\nwant:\n%s", text, want)
	}
}

// A comment stays with what it speaks of.
func TestDocumentComments(t *testing.T) {
	tests := map[string]string{
		"{\n  \"a\": 1 // of a\n}\n":   "{\n  \"a\": 1, // of a\n  \"b\": 2\n}\n",
		"{\n  \"a\": 1, // of a\n}\n":  "{\n  \"a\": 1, // of a\n  \"b\": 2,\n}\n",
		"{\n  \"a\": 1\n  // end\n}\n": "{\n  \"a\": 1,\n  // end\n  \"b\": 2\n}\n",
		"{\n  // top\n}\n":             "{\n  // top\n  \"b\": 2\n}\n",
		"{ \"b\": 1 /* old */ }\n":     "{ \"b\": 2 /* old */ }\n",
	}
	for text, want := range tests {
		doc, err := parseDocument([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if changed, err := doc.set([]string{"b"}, 2); !changed || err != nil || string(doc.bytes()) != want {
			t.Errorf("%q became %q, %v; want %q", text, doc.bytes(), err, want)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"gateway":{"port":1,},"a":[1,/*c*/],}`))
	f.Add([]byte("{\"gateway\":{\"auth\":{} // c\n}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := parseDocument(b)
		if err != nil {
			return
		}
		_, err1 := doc.set([]string{"gateway", "auth", "token"}, "t")
		_, err2 := doc.add([]string{"gateway", "trustedProxies"}, []string{"::1"})
		if err1 != nil || err2 != nil {
			return
		}
		again, err := parseDocument(doc.bytes())
		if err != nil {
			t.Fatalf("%q became %q: %v", b, doc.bytes(), err)
		}
		if token, ok, err := again.text("gateway", "auth", "token"); token != "t" || !ok || err != nil {
			t.Errorf("%q became %q", b, doc.bytes())
		}
		if changed, err := again.add([]string{"gateway", "trustedProxies"}, []string{"::1"}); changed || err != nil {
			t.Errorf("%q became %q", b, doc.bytes())
		}
	})
}
