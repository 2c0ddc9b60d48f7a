package openclaw

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeDir is a folder that a test and the programs it runs share. They tell
// each other by files what to do and what was done:
//
//	fail-N       the output with which the Nth run of "npm install" fails
//	hang         the place at which to stop for good: node, openclaw, verify, or
//	             child, which is a child process of npm
//	hung         pid of the program that stopped there
//	runs         one line per run of "npm install": package, version, whether install scripts are run, and by which Node.js
//	version      what "npm --version" says, instead of 11.0.0
//	integrity    the checksum that npm reports, instead of the right one
//	says         what "openclaw --version" says, instead of the right one
//	pending      exists: openclaw does not finish its own installation
type fakeDir string

func newFakeDir(t *testing.T) fakeDir { return fakeDir(t.TempDir()) }

func (d fakeDir) path(name string) string { return filepath.Join(string(d), name) }

func (d fakeDir) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read returns a file's text, or "" if there is none.
func (d fakeDir) read(name string) string {
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (d fakeDir) runs() []string {
	var runs []string
	for line := range strings.Lines(d.read("runs")) {
		runs = append(runs, strings.TrimSpace(line))
	}
	return runs
}

// hang stops the program for good if the test says so.
func (d fakeDir) hang(place string) {
	if d.read("hang") != place {
		return
	}
	// By rename, so that whoever waits for the file sees all of it.
	must(os.WriteFile(d.path("hung.part"), fmt.Append(nil, os.Getpid()), 0o600))
	must(os.Rename(d.path("hung.part"), d.path("hung")))
	<-time.After(time.Minute) // nothing outlives a test that broke
	exit(9)
}

// exit ends a stand-in. os.Exit of a program with the race detector sleeps for
// a second first.
func exit(code int) { syscall.Exit(code) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake:", err)
		exit(99)
	}
}

// fakeNPM behaves like npm as far as creel looks.
func fakeNPM() {
	d := fakeDir(os.Getenv("FAKE_DIR"))
	if slices.Contains(os.Args, "--version") {
		version := d.read("version")
		if version == "" {
			version = "11.0.0"
		}
		// npm warns on standard error, also when asked for its version.
		fmt.Fprintln(os.Stderr, "npm warn Unknown user config")
		fmt.Println(version)
		exit(0)
	}
	prefix := os.Args[slices.Index(os.Args, "--prefix")+1]
	var project struct{ Dependencies map[string]string }
	b, err := os.ReadFile(filepath.Join(prefix, "package.json"))
	must(err)
	must(json.Unmarshal(b, &project))
	must(os.MkdirAll(os.Args[slices.Index(os.Args, "--cache")+1], 0o700))
	for pkg, version := range project.Dependencies {
		first, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
		_, err := os.Stat(filepath.Join(first, "node"))
		ownNode := err == nil && strings.HasPrefix(first, filepath.Dir(prefix))
		d.record(fmt.Sprintf("%s@%s scripts=%v own-node=%v", pkg, version, !slices.Contains(os.Args, "--ignore-scripts"), ownNode))
		if failure := d.read(fmt.Sprintf("fail-%d", len(d.runs()))); failure != "" {
			fmt.Fprintln(os.Stderr, failure)
			exit(1)
		}
		d.installFake(prefix, pkg, version)
	}
	exit(0)
}

func (d fakeDir) record(line string) {
	f, err := os.OpenFile(d.path("runs"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(err)
	_, err = fmt.Fprintln(f, line)
	must(err)
	must(f.Close())
}

func (d fakeDir) installFake(prefix, pkg, version string) {
	modules := filepath.Join(prefix, "node_modules")
	dir := filepath.Join(modules, pkg)
	sum := integrity[pkg+"@"+version]
	if forged := d.read("integrity"); forged != "" {
		sum = forged
	}
	if pkg != "openclaw" {
		must(os.MkdirAll(filepath.Join(dir, "bin"), 0o700))
		d.hang("node")
		if d.read("hang") == "child" {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "FAKE=child")
			must(child.Run())
		}
		self, err := os.Executable()
		must(err)
		must(os.Symlink(self, filepath.Join(dir, "bin", "node")))
	} else {
		must(os.MkdirAll(filepath.Join(dir, "dist"), 0o700))
		d.hang("openclaw")
		must(os.WriteFile(filepath.Join(dir, "openclaw.mjs"), []byte(string(d)), 0o600))
		must(os.WriteFile(filepath.Join(dir, "package.json"), fmt.Appendf(nil, "{\"version\":%q}", version), 0o600))
		must(os.WriteFile(filepath.Join(dir, "dist", "index.js"), nil, 0o600))
		must(os.WriteFile(filepath.Join(dir, lifecycleMarker), nil, 0o600))
	}
	lock := fmt.Sprintf(`{"packages":{"node_modules/%s":{"version":%q,"integrity":%q}}}`, pkg, version, sum)
	must(os.WriteFile(filepath.Join(modules, ".package-lock.json"), []byte(lock), 0o600))
}

// fakeNode behaves like the Node.js of an installation: it says its version,
// runs "openclaw.mjs --version", or else prints its environment, arguments and
// working directory.
func fakeNode() {
	args := os.Args[1:]
	switch {
	case len(args) == 1 && args[0] == "--version":
		fmt.Println("v" + NodeVersion)
	case len(args) == 2 && args[1] == "--version":
		// The test's folder is what fakeNPM wrote into openclaw.mjs: the
		// environment has nothing of the test's.
		b, err := os.ReadFile(args[0])
		must(err)
		d := fakeDir(b)
		d.hang("verify")
		pkg := filepath.Dir(args[0])
		if d.read("pending") == "" {
			must(os.Remove(filepath.Join(pkg, lifecycleMarker)))
		}
		var manifest struct{ Version string }
		b, err = os.ReadFile(filepath.Join(pkg, "package.json"))
		must(err)
		must(json.Unmarshal(b, &manifest))
		if says := d.read("says"); says != "" {
			manifest.Version = says
		}
		fmt.Printf("OpenClaw %s (0000000)\n", manifest.Version)
	default:
		dir, err := os.Getwd()
		must(err)
		must(json.NewEncoder(os.Stdout).Encode(map[string]any{"args": args, "env": os.Environ(), "dir": dir}))
	}
	exit(0)
}

// fakeInstaller is a creel that installs into the folder FAKE_DATA.
func fakeInstaller() {
	_, err := testInstaller(os.Getenv("FAKE_DATA"), fakeDir(os.Getenv("FAKE_DIR"))).Install(context.Background())
	must(err)
	exit(0)
}

// testInstaller installs with the fake npm and without pauses.
func testInstaller(data string, d fakeDir) *Installer {
	layout, err := LayoutIn(data)
	must(err)
	self, err := os.Executable()
	must(err)
	return &Installer{
		Layout:  layout,
		NPM:     self,
		Environ: append(os.Environ(), "FAKE=npm", "FAKE_DIR="+string(d)),
		pauses:  []time.Duration{0, 0},
	}
}

// await waits until ok, or fails the test.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("did not happen in time: " + what)
		case <-tick.C:
		}
	}
}

// running reports whether a process exists and is no zombie.
func running(pid string) bool {
	f, err := os.Open("/proc/" + pid + "/status")
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if state, ok := strings.CutPrefix(s.Text(), "State:"); ok {
			return !strings.HasPrefix(strings.TrimSpace(state), "Z")
		}
	}
	return false
}
