package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/internal/runtime/process"
)

func TestMain(m *testing.M) {
	process.RunLauncher()
	goleak.VerifyTestMain(m)
}

// creel runs a command line and returns its exit code and what it printed.
func creel(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, []string{"HOME=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}, &out, &errs)
	return code, out.String(), errs.String()
}

// TestMistakes: each gets one sentence with the next step, nothing on standard
// output, and the exit code that the contract promises.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("gatewey:\n  name: x\nlisten: nowhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no such command", []string{"rnu"}, 2, []string{"unknown command", "--help"}},
		{"no such verb for snapshots", []string{"snapshot", "crate"}, 2, []string{"crate", "creel snapshot --help"}},
		{"no such verb for the key", []string{"snapshot", "key", "x"}, 2, []string{"creel snapshot key --help"}},
		{"no such verb for the configuration", []string{"config", "chekc", "creel.yaml"}, 2, []string{"chekc"}},
		{"no such host to import from", []string{"import", "x"}, 2, []string{"creel import --help"}},
		{"no such flag", []string{"status", "--jsno"}, 2, []string{"unknown flag"}},
		{"arguments where none belong", []string{"status", "x"}, 2, []string{"status"}},
		{"no dashes before the command", []string{"run", "server"}, 2, []string{"creel run -- server"}},
		{"nothing to run", []string{"run", "--data-dir", dir}, 2, []string{"command"}},
		{"no such program", []string{"run", "--data-dir", dir, "--", "no-such-program"}, 2, []string{"no-such-program", "not found", "$PATH"}},
		{"a program that is a text", []string{"run", "--data-dir", dir, "--", file}, 2, []string{file, "permission denied"}},
		{"up knows openclaw only", []string{"up", "nginx"}, 2, []string{"creel run -- COMMAND"}},
		{"no exact version", []string{"up", "--version", "latest", "--data-dir", dir}, 2, []string{"--version", "latest", "exact"}},
		{"a data folder that cannot be", []string{"run", "--data-dir", filepath.Join(file, "x"), "--", "true"}, 2, []string{"data folder", "--data-dir"}},
		{"an address that cannot be", []string{"run", "--data-dir", dir, "--listen", "nowhere", "--", "true"}, 2, []string{"--listen"}},
		{"an unusable configuration", []string{"run", "--config", file}, 2, []string{file + ":1:1", file + ":3:9", "did you mean"}},
		{"no configuration there", []string{"config", "check", filepath.Join(dir, "none")}, 2, []string{"none"}},
		{"less than no events", []string{"events", "-n", "-1", "--data-dir", dir}, 2, []string{"-n", "negative"}},
		{"an empty data folder", []string{"stop", "--data-dir", ""}, 2, []string{"--data-dir is empty"}},
		{"no data folder to compare in", []string{"openclaw", "config", "diff", "--data-dir", filepath.Join(dir, "none")}, 1, []string{"no data folder", filepath.Join(dir, "none"), "--data-dir"}},
		{"no OpenClaw to compare", []string{"openclaw", "config", "diff", "--json", "--data-dir", dir}, 1, []string{"no OpenClaw", dir, "creel up openclaw"}},
		{"no daemon for status", []string{"status", "--data-dir", dir}, 3, []string{"no creel is running", "creel up"}},
		{"no daemon for devices", []string{"devices", "list", "--data-dir", dir}, 3, []string{"no creel is running"}},
		{"no device named", []string{"devices", "approve"}, 2, []string{"arg", "Usage: creel devices approve ID", "See `creel devices approve --help`"}},
		{"no such verb for devices", []string{"devices", "aprove", "x"}, 2, []string{"aprove"}},
		{"no dashes before OpenClaw's arguments", []string{"openclaw", "exec", "status"}, 2, []string{"creel openclaw exec -- status"}},
		{"no OpenClaw there", []string{"openclaw", "exec", "--data-dir", dir, "--", "status"}, 1, []string{"not installed", "creel up"}},
		{"no OpenClaw to look at", []string{"openclaw", "doctor", "--data-dir", dir}, 1, []string{"not installed"}},
		{"no daemon for restart", []string{"restart", "--data-dir", dir}, 3, []string{"no creel is running"}},
		{"no daemon for logs", []string{"logs", "--data-dir", dir}, 3, []string{"no creel is running"}},
		{"more lines than there are", []string{"logs", "-n", "10001", "--data-dir", dir}, 2, []string{"-n", "10000"}},
		{"no such level", []string{"logs", "--level", "grave", "--data-dir", dir}, 2, []string{"--level", "grave", "debug, info, warn, error"}},
		{"a wait that cannot be", []string{"restart", "--wait", "-1s", "--data-dir", dir}, 2, []string{"--wait", "negative"}},
		{"no such scope", []string{"tokens", "create", "x", "--scope", "read,all", "--data-dir", dir}, 2, []string{"--scope", "all", "read,use,operate,admin"}},
		{"no daemon and no journal", []string{"events", "--data-dir", dir}, 3, []string{"no creel is running"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := creel(test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if stdout != "" {
				t.Errorf("on standard output: %s", stdout)
			}
			for _, want := range test.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("it does not say %q: %s", want, stderr)
				}
			}
		})
	}
}

// full is a disk that takes so many bytes more.
type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	if f.left -= n; n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestOutputThatIsLost: a command whose output nobody gets has failed.
func TestOutputThatIsLost(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"--help"}, {"snapshot"}, {"status", "--help"}, {"config", "schema"}, {"doctor", "--data-dir", t.TempDir()}} {
		var errs bytes.Buffer
		code := Main(args, []string{"HOME=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}, &full{3}, &errs)
		if code != 1 || !strings.Contains(errs.String(), "standard output: no space left") {
			t.Errorf("%v: exit code %d: %s", args, code, errs.String())
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := creel("version")
	if code != 0 || !strings.HasPrefix(stdout, "creel ") {
		t.Errorf("%d %s", code, stdout)
	}
	if code, flag, _ := creel("--version"); code != 0 || flag != stdout {
		t.Errorf("--version: %d %s", code, flag)
	}
	var v map[string]string
	if _, stdout, _ := creel("version", "--json"); json.Unmarshal([]byte(stdout), &v) != nil || v["version"] == "" {
		t.Errorf("got %s", stdout)
	}
}

func TestConfigCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "creel.yaml")
	if err := os.WriteFile(file, []byte("gateway:\n  name: mine\n  command: [server]\n  env: {KEY: SECRET}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := creel("config", "check", file); code != 0 {
		t.Errorf("check: %d %s", code, stderr)
	}
	code, stdout, _ := creel("config", "show", file)
	if code != 0 || !strings.Contains(stdout, "name: mine") || !strings.Contains(stdout, file+":2") {
		t.Errorf("show: %d %s", code, stdout)
	}
	if strings.Contains(stdout, "SECRET") {
		t.Errorf("show shows secrets: %s", stdout)
	}
	var schema map[string]any
	if _, stdout, _ := creel("config", "schema"); json.Unmarshal([]byte(stdout), &schema) != nil || schema["$schema"] == nil {
		t.Errorf("schema: %s", stdout)
	}
}

func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := creel("doctor", "--json", "--data-dir", dir)
	var found []finding
	if err := json.Unmarshal([]byte(stdout), &found); err != nil {
		t.Fatalf("%v: %s %s", err, stdout, stderr)
	}
	if code != 0 || len(found) < 5 {
		t.Errorf("exit code %d, %+v", code, found)
	}
	if code, _, _ := creel("doctor", "--data-dir", "/proc/none"); code != 1 {
		t.Errorf("an impossible data folder: exit code %d", code)
	}
}

// TestHelp: every command says what it is for, and the contract's commands are
// all there.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"up"}, {"run"}, {"status"}, {"events"}, {"logs"}, {"restart"}, {"stop"}, {"start"}, {"doctor"}, {"config", "check"}, {"config", "show"}, {"config", "schema"}, {"version"}} {
		code, stdout, stderr := creel(append(args, "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "Usage:") {
			t.Errorf("creel %v --help: %d %s%s", args, code, stdout, stderr)
		}
	}
}

// TestUnreachable: who may not open the control socket is not told that no creel is
// running.
func TestUnreachable(t *testing.T) {
	err := &unreachableError{dataDir: "/var/lib/creel", err: syscall.EACCES}
	if text := err.Error(); !strings.Contains(text, "as root") || strings.Contains(text, "no creel is running") {
		t.Error(text)
	}
}

// TestStateWords: nothing is said twice.
func TestStateWords(t *testing.T) {
	for _, c := range []struct {
		state        gateway.State
		reason, want string
	}{
		{gateway.Ready, "ready", "ready for 3s"},
		{gateway.Stopped, "stopped because it was asked to", "stopped for 3s because it was asked to"},
		{gateway.Suspect, "suspected, and watched: it is silent", "suspect for 3s: suspected, and watched: it is silent"},
		{gateway.Failed, "given up", "failed for 3s: given up"},
	} {
		st := &api.Status{}
		st.State, st.Reason = c.state, c.reason
		if got := stateWords(st, " for 3s"); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
