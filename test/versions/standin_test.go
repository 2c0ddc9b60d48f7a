package versions

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/openclaw"
	"creel/test/harness"
)

// The test binary is creel, its launcher, npm and Node.js, by the name that it is
// called with.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "npm":
		npm()
	case "node":
		node()
	}
	harness.RunIfAsked()
	goleak.VerifyTestMain(m)
}

// exit ends a stand-in. os.Exit of a program with the race detector sleeps for a
// second first.
func exit(code int) { syscall.Exit(code) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		exit(99)
	}
}

// nodeSums are the checksums that creel demands of Node.js.
var nodeSums = map[string]string{
	"amd64": "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
	"arm64": "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
}

// npm installs a Node.js that is this test binary, and an OpenClaw of any version.
func npm() {
	if slices.Contains(os.Args, "--version") {
		fmt.Println("11.0.0")
		exit(0)
	}
	prefix := os.Args[slices.Index(os.Args, "--prefix")+1]
	var project struct{ Dependencies map[string]string }
	b, err := os.ReadFile(filepath.Join(prefix, "package.json"))
	must(err)
	must(json.Unmarshal(b, &project))
	modules := filepath.Join(prefix, "node_modules")
	for pkg, version := range project.Dependencies {
		dir := filepath.Join(modules, pkg)
		sum := ""
		if pkg == "openclaw" {
			must(os.MkdirAll(filepath.Join(dir, "dist"), 0o700))
			must(os.WriteFile(filepath.Join(dir, "openclaw.mjs"), []byte(version), 0o600))
			must(os.WriteFile(filepath.Join(dir, "package.json"), fmt.Appendf(nil, "{\"version\":%q}", version), 0o600))
			must(os.WriteFile(filepath.Join(dir, "dist", "index.js"), nil, 0o600))
		} else {
			sum = nodeSums[runtime.GOARCH]
			must(os.MkdirAll(filepath.Join(dir, "bin"), 0o700))
			self, err := os.Executable()
			must(err)
			must(os.Symlink(self, filepath.Join(dir, "bin", "node")))
		}
		must(os.WriteFile(filepath.Join(modules, ".package-lock.json"),
			fmt.Appendf(nil, `{"packages":{"node_modules/%s":{"version":%q,"integrity":%q}}}`, pkg, version, sum), 0o600))
	}
	exit(0)
}

// node is Node.js, and OpenClaw by what its version is called:
//
//	…-exit1     writes to the state and ends with exit code 1
//	…-exit78    the same with 78
//	…-never     is never ready
//	…-falls     gets ready and ends soon after
//	others      work
//
// Each gateway writes its version to the state, which no older one can read: it ends
// with exit code 78 on it, as the real one does.
func node() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("v" + openclaw.NodeVersion)
		exit(0)
	}
	b, err := os.ReadFile(os.Args[1])
	must(err)
	version := string(b)
	switch strings.Join(os.Args[2:min(len(os.Args), 4)], " ") {
	case "--version":
		fmt.Printf("OpenClaw %s (0000000)\n", version)
	case "config validate":
		fmt.Println(`{"valid":true,"warnings":[]}`)
	case "doctor --fix":
		note("doctor", version)
	default:
		serve(version, os.Args[slices.Index(os.Args, "--port")+1])
	}
	exit(0)
}

// note adds a line to a file of the state.
func note(name, line string) {
	dir := os.Getenv("OPENCLAW_STATE_DIR")
	must(os.MkdirAll(dir, 0o700))
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	_, err = fmt.Fprintln(f, line)
	must(err)
	must(f.Close())
}

func serve(version, port string) {
	state, _ := os.ReadFile(filepath.Join(os.Getenv("OPENCLAW_STATE_DIR"), "versions"))
	for _, before := range strings.Fields(string(state)) {
		if before > version {
			fmt.Printf("Gateway failed to start: the state schema of %s is newer than %s\n", before, version)
			exit(78)
		}
	}
	note("versions", version)
	switch {
	case strings.HasSuffix(version, "-exit1"):
		fmt.Println("TypeError: undefined is not a function")
		exit(1)
	case strings.HasSuffix(version, "-exit78"):
		fmt.Println("Gateway failed to start: Invalid config at openclaw.json:")
		exit(78)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	must(err)
	go func() {
		must(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(version, "-never") && r.URL.Path == "/readyz" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, version)
		})))
	}()
	if strings.HasSuffix(version, "-falls") {
		select {
		case <-time.After(500 * time.Millisecond):
			exit(1)
		case <-term:
		}
		exit(0)
	}
	<-term
	exit(0)
}
