//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"creel/test/crashgw"
)

// Limits. They are for a busy machine and are reached only where something is
// wrong: a boot of OpenClaw takes 15 s on an idle one.
const (
	bootLimit    = 3 * time.Minute
	commandLimit = 4 * time.Minute
	endLimit     = time.Minute // creel stops, or refuses to start
	momentLimit  = 30 * time.Second
)

// folder is a data folder of creel's, and what goes with it.
type folder struct {
	root   string   // of all below; removed at the end of the test
	data   string   // creel's --data-dir
	tmp    string   // creel's $TMPDIR
	listen string   // where its creels listen
	path   string   // their $PATH
	extra  []string // more of their environment
	remote bool     // its snapshots are on an S3 server
	creels []*creel
	door   door // its clients' way in

	artifacts string // where the test leaves what is worth a look
}

// newFolder makes a folder with an installed OpenClaw and no configuration at all.
func newFolder(t *testing.T) *folder {
	t.Helper()
	f := newEmptyFolder(t)
	if err := os.Mkdir(filepath.Join(f.data, "openclaw"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(versions, filepath.Join(f.data, "openclaw", "versions")); err != nil {
		t.Fatal(err)
	}
	return f
}

// newEmptyFolder makes one in which nothing is installed.
func newEmptyFolder(t *testing.T) *folder {
	t.Helper()
	root := t.TempDir()
	f := &folder{
		root: root, data: filepath.Join(root, "data"), tmp: filepath.Join(root, "tmp"),
		listen: fmt.Sprintf("127.0.0.1:%d", crashgw.FreePort(t)), path: os.Getenv("PATH"),
		artifacts: filepath.Join(artifacts, t.Name()),
	}
	for _, dir := range []string{f.data, f.tmp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// What an earlier run has left stays beside it: make e2e runs a test that failed
	// once more, and both are worth a look then.
	before := f.artifacts + ".before"
	if err := os.RemoveAll(before); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.artifacts, before); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.killAll(t)
		if t.Failed() {
			f.keep(t)
		}
	})
	return f
}

func (f *folder) url(path string) string { return "http://" + f.listen + path }

// config is the gateway's configuration file.
func (f *folder) config() string {
	return filepath.Join(f.home(), ".openclaw", "openclaw.json")
}

// home is the gateway's $HOME: the state.
func (f *folder) home() string { return filepath.Join(f.data, "openclaw", "home") }

// environ is the whole environment of the folder's creels: no provider key, no
// setting but the folder's own, whatever the tests were started with.
func (f *folder) environ() []string {
	return append([]string{"PATH=" + f.path, "HOME=" + f.root, "TMPDIR=" + f.tmp, "LANG=C.UTF-8"}, f.extra...)
}

// result is what a command left.
type result struct {
	stdout, stderr string
	code           int
}

// command runs one of creel's commands on this folder.
func (f *folder) command(t *testing.T, args ...string) result {
	t.Helper()
	r, err := f.tryCommand(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tryCommand is command for other goroutines than the test's own. The error is
// not the command's: that is in the result.
func (f *folder) tryCommand(ctx context.Context, args ...string) (result, error) {
	return f.feed(ctx, "", args...)
}

// feed is tryCommand for a command that reads standard input.
func (f *folder) feed(ctx context.Context, input string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--data-dir", f.data}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = f.environ(), strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return result{}, fmt.Errorf("creel %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}, nil
}

// mustCommand is command for one that has to succeed.
func (f *folder) mustCommand(t *testing.T, args ...string) string {
	t.Helper()
	r := f.command(t, args...)
	if r.code != 0 {
		t.Fatalf("creel %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// artifact leaves a file to look at after the test.
func (f *folder) artifact(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(f.artifacts, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keep copies what explains a failure.
func (f *folder) keep(t *testing.T) {
	for _, pattern := range []string{
		"creel-*.txt", "data/journal/*", "data/gateways/*/*", "data/openclaw/logs/*", "data/openclaw/home/.openclaw/openclaw.json",
	} {
		found, err := filepath.Glob(filepath.Join(f.root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
				continue
			}
			name, err := filepath.Rel(f.root, path)
			if err != nil {
				t.Fatal(err)
			}
			f.artifact(t, name, content)
		}
	}
	t.Logf("what explains it is in %s", f.artifacts)
}

// eventually asks again and again until the answer is yes. An answer that is no
// says what was seen.
//
// The pauses grow: whoever runs a command of creel's each time takes the processor
// from the boot that is waited for.
func eventually(t *testing.T, limit time.Duration, what string, ask func() (yes bool, seen string)) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	const first, longest = 20 * time.Millisecond, 300 * time.Millisecond
	pause := first
	again := time.NewTimer(pause)
	defer again.Stop()
	for {
		yes, seen := ask()
		if yes {
			return
		}
		select {
		case <-again.C:
			pause = min(2*pause, longest)
			again.Reset(pause)
		case <-deadline.C:
			t.Fatalf("%s: not within %v; last seen: %s", what, limit, seen)
		}
	}
}
