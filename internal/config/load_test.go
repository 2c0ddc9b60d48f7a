package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeFile makes a creel.yaml.
func writeFile(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "creel.yaml")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// problemsOf takes the problems out of an error.
func problemsOf(t *testing.T, err error) []*Problem {
	t.Helper()
	problems, ok := errors.AsType[*Problems](err)
	if !ok || len(problems.List) == 0 {
		t.Fatalf("not a *Problems with problems: %#v", err)
	}
	return problems.List
}

// checkPlaces fails unless each problem has a place in the file.
func checkPlaces(t *testing.T, err error, file string) {
	t.Helper()
	for _, p := range problemsOf(t, err) {
		if p.Origin != OriginFile || p.File != file || p.Line < 1 || p.Column < 1 {
			t.Errorf("a problem has no place in %s: %+v", file, p)
		}
	}
}

var appFlag = Flag{Name: "--", Key: "gateway.command", Values: []string{"app", "--port", "$PORT"}}

// TestPrecedence: defaults, preset, file, environment, flags, later ones winning,
// and each value knows its source.
func TestPrecedence(t *testing.T) {
	file := writeFile(t, "gateway:\n  preset: openclaw\n  name: from-file\n  alive: {timeout: 1s}\n  stop:\n    grace: 1s\n")
	cfg, sources, err := Load(LoadOptions{
		Path:    file,
		DataDir: "/d",
		Environ: []string{"CREEL_GATEWAY_STOP_GRACE=2s", "CREEL_GATEWAY_ALIVE_TIMEOUT=2s", "OTHER=1"},
		Flags:   []Flag{{"--grace", "gateway.stop.grace", []string{"3s"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key       string
		got, want any
		source    string
	}{
		{"gateway.stop.grace", cfg.Gateway.Stop.Grace, 3 * time.Second, "flag --grace"},
		{"gateway.alive.timeout", cfg.Gateway.Alive.Timeout, 2 * time.Second, "env CREEL_GATEWAY_ALIVE_TIMEOUT"},
		{"gateway.name", cfg.Gateway.Name, "from-file", file + ":3"},
		{"gateway.preset", cfg.Gateway.Preset, "openclaw", file + ":2"},
		{"gateway.ready.path", cfg.Gateway.Ready.Path, "/readyz", "preset openclaw"},
		{"gateway.ready.timeout", cfg.Gateway.Ready.Timeout, 3 * time.Minute, "preset openclaw"},
		{"listen", cfg.Listen, DefaultListen, "default"},
		{"data_dir", cfg.DataDir, "/d", "default"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %v, want %v", tt.key, tt.got, tt.want)
		}
		if src := sources.Of(tt.key).String(); src != tt.source {
			t.Errorf("%s comes from %q, want %q", tt.key, src, tt.source)
		}
	}
}

// TestPresetFromAnySource: whoever names the preset, its defaults stay weaker
// than the file.
func TestPresetFromAnySource(t *testing.T) {
	file := writeFile(t, "gateway: {name: mine}\n")
	for name, o := range map[string]LoadOptions{
		"environment": {Environ: []string{"CREEL_GATEWAY_PRESET=openclaw"}},
		"flag":        {Flags: []Flag{{"openclaw", "gateway.preset", []string{"openclaw"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			o.Path, o.DataDir = file, "/d"
			cfg, _, err := Load(o)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Gateway.Name != "mine" || cfg.Gateway.Version != OpenClawVersion {
				t.Errorf("name %q, version %q", cfg.Gateway.Name, cfg.Gateway.Version)
			}
		})
	}
	// A stronger source can take the preset of the file away.
	file = writeFile(t, "gateway: {preset: openclaw}\n")
	cfg, _, err := Load(LoadOptions{Path: file, DataDir: "/d", Environ: []string{"CREEL_GATEWAY_PRESET="}, Flags: []Flag{appFlag}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Gateway.Name != DefaultName || cfg.Gateway.Version != "" {
		t.Errorf("the preset was applied: %+v", cfg.Gateway)
	}
}

// TestConfigVariable: CREEL_CONFIG names the file, a path given wins, and empty
// means none.
func TestConfigVariable(t *testing.T) {
	one, two := writeFile(t, "gateway: {name: one}\n"), writeFile(t, "gateway: {name: two}\n")
	for _, tt := range []struct{ path, variable, want string }{
		{"", one, "one"},
		{two, one, "two"},
		{"", "", DefaultName},
	} {
		cfg, _, err := Load(LoadOptions{Path: tt.path, DataDir: "/d", Environ: []string{"CREEL_CONFIG=" + tt.variable}, Flags: []Flag{appFlag}})
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Gateway.Name != tt.want {
			t.Errorf("path %q, variable %q: name %q, want %q", tt.path, tt.variable, cfg.Gateway.Name, tt.want)
		}
	}
}

// TestRelativePaths: those of the file start at its folder, others at the
// working directory, and none stays relative.
func TestRelativePaths(t *testing.T) {
	file := writeFile(t, "data_dir: data\ngateway:\n  dir: .\n  state: [a, ../b, /c/]\n")
	cwd := t.TempDir()
	t.Chdir(cwd)
	cfg, _, err := Load(LoadOptions{Path: file, Flags: []Flag{appFlag}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	if cfg.DataDir != dir+"/data" || cfg.Gateway.Dir != dir {
		t.Errorf("data_dir %q, gateway.dir %q, want them in %q", cfg.DataDir, cfg.Gateway.Dir, dir)
	}
	want := []string{dir + "/a", filepath.Dir(dir) + "/b", "/c"}
	if !reflect.DeepEqual(cfg.Gateway.State, want) {
		t.Errorf("gateway.state %q, want %q", cfg.Gateway.State, want)
	}

	cfg, _, err = Load(LoadOptions{Path: file, Environ: []string{"CREEL_DATA_DIR=env"}, Flags: []Flag{
		appFlag, {"--state", "gateway.state", []string{"x", "y,z"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DataDir != cwd+"/env" || !reflect.DeepEqual(cfg.Gateway.State, []string{cwd + "/x", cwd + "/y,z"}) {
		t.Errorf("data_dir %q, gateway.state %q, want them in %q", cfg.DataDir, cfg.Gateway.State, cwd)
	}
}

// TestProblemsOfAllSources: one run names every mistake in the file, the
// environment and the flags, and each by its source.
func TestProblemsOfAllSources(t *testing.T) {
	file := writeFile(t, "gateway:\n  port: 70000\n  nmae: x\n")
	_, _, err := Load(LoadOptions{
		Path:    file,
		DataDir: "/d",
		Environ: []string{"CREEL_LISTN=x", "CREEL_GATEWAY_READY_TIMEOUT=5", "CREEL_LOG_LEVEL=loud"},
		Flags: []Flag{
			{"--listen", "listen", []string{"8080"}},
			{"--ready-path", "gateway.ready.path", nil},
			{"--odd", "gateway.env", []string{"A=B"}},
		},
	})
	var got []string
	for _, p := range problemsOf(t, err) {
		got = append(got, strings.TrimPrefix(p.Error(), filepath.Dir(file)+"/"))
	}
	want := []string{
		`creel.yaml:1:1: gateway.command: is missing; give the program to run, such as ["node", "server.js"], or gateway.preset: openclaw`,
		`creel.yaml:2:9: gateway.port: 70000 is not a port: 1 to 65535, or 0 for a free one`,
		`creel.yaml:3:3: gateway.nmae: unknown key; did you mean "name"?`,
		`environment variable CREEL_GATEWAY_READY_TIMEOUT: gateway.ready.timeout: 5 needs a unit; if seconds are meant, write "5s"`,
		`environment variable CREEL_LISTN: unknown variable; did you mean CREEL_LISTEN?`,
		`environment variable CREEL_LOG_LEVEL: log.level: "loud" is not one of "debug", "info", "warn", "error"`,
		`flag --listen: listen: "8080" is not host:port, such as 127.0.0.1:8080 or [::1]:8080; write "127.0.0.1:8080"`,
		`flag --odd: gateway.env: this key cannot be set by a flag`,
		`flag --ready-path: gateway.ready.path: takes one value, not 0`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestFilesThatCannotBeRead: each is said in words, and callers can branch on
// the cause.
func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# a comment\n", maxFileBytes/12+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, want string
		is               error
	}{
		{"missing", filepath.Join(dir, "no.yaml"), "there is no such file", fs.ErrNotExist},
		{"directory", dir, "is a directory", nil},
		{"pipe", pipe, "is not a regular file", nil},
		// Its first byte is at address 0, where no process has memory.
		{"unreadable", "/proc/self/mem", "cannot read the file: input/output error", nil},
		{"below a file", filepath.Join(big, "x"), "cannot read the file: not a directory", nil},
		{"too large", big, "is larger than 1 MiB", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A problem in the environment is still told.
			_, _, err := Load(LoadOptions{Path: tt.path, DataDir: "/d", Environ: []string{"CREEL_LISTN="}})
			problems := problemsOf(t, err)
			if len(problems) != 2 || problems[0].File != tt.path || problems[0].Line != 1 || !strings.HasPrefix(problems[0].Message, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}

// TestWithoutHome: data_dir is asked for only if nobody gives it.
func TestWithoutHome(t *testing.T) {
	cfg := Defaults()
	cfg.Gateway.Command = []string{"app"}
	err := Validate(&cfg, nil)
	if problems := problemsOf(t, err); len(problems) != 1 || problems[0].Key != "data_dir" {
		t.Errorf("got %v", err)
	}
	if _, _, err := Load(LoadOptions{Environ: []string{"CREEL_DATA_DIR=/d"}, Flags: []Flag{appFlag}}); err != nil {
		t.Error(err)
	}
	_, _, err = Load(LoadOptions{DataDir: "/d", Environ: []string{"CREEL_DATA_DIR="}, Flags: []Flag{appFlag}})
	if problems := problemsOf(t, err); problems[0].Message != "must not be empty" || problems[0].Name != "CREEL_DATA_DIR" {
		t.Errorf("got %v", err)
	}
}

func TestDefaultDataDir(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		uid  int
		want string
	}{
		{"root", map[string]string{"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, "/var/lib/creel"},
		{"state home", map[string]string{"HOME": "/home/a", "XDG_STATE_HOME": "/x"}, 1, "/x/creel"},
		{"home", map[string]string{"HOME": "/home/a"}, 1, "/home/a/.local/state/creel"},
		{"relative state home is ignored", map[string]string{"HOME": "/home/a", "XDG_STATE_HOME": "x"}, 1, "/home/a/.local/state/creel"},
		{"nothing", map[string]string{"HOME": ""}, 1, ""},
	} {
		got, err := DefaultDataDir(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }, tt.uid)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}
