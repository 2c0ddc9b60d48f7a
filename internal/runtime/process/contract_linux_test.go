package process

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/runtime/runtimetest"
)

// TestContract runs the suite in each way in which the processes of an instance
// can be kept together on this machine.
func TestContract(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			runtimetest.Run(t, func(t *testing.T) runtimetest.Harness {
				dir := t.TempDir()
				t.Cleanup(func() { requireNoCgroup(t, parent, dir) })
				plain := filepath.Join(dir, "plain.txt")
				if err := os.WriteFile(plain, []byte("not a program"), 0o644); err != nil {
					t.Fatal(err)
				}
				return runtimetest.Harness{
					Open:          func(t *testing.T) runtimetest.Runtime { return openRuntime(t, dir, parent) },
					Command:       []string{testBinary(t)},
					Env:           []string{role + "=app"},
					Scratch:       dir,
					NotExecutable: plain,
				}
			})
		})
	}
}

// parents are the modes that this machine offers, each with a parent for
// cgroups: "none" everywhere, the others where they are writable.
func parents(t testing.TB) []Support {
	t.Helper()
	found := []Support{{Mode: ModeNone, Path: NoCgroup}}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hierarchies(mounts, own) {
		seen := slices.ContainsFunc(found, func(s Support) bool { return s.Mode == h.mode })
		if s := detect([]hierarchy{h}, usable); s.Mode != ModeNone && !seen {
			found = append(found, s)
		}
	}
	return found
}

// configured is how creel is told to use parent: not at all, if it finds that one by
// itself. Then it may set limits elsewhere if they cannot be set there.
func configured(parent Support) string {
	if own := Describe(); parent.Mode == own.Mode && parent.Path == own.Path {
		return ""
	}
	return parent.Path
}

// openRuntime opens the runtime of a gateway whose data folder is dir.
func openRuntime(t *testing.T, dir string, parent Support) *Runtime {
	t.Helper()
	r, err := New(Options{
		Dir: filepath.Join(dir, "gateways", "contract"), DataDir: dir,
		CgroupParent: configured(parent), Logger: testLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	chooseLauncher(r)
	return r
}

// testRuntime is openRuntime for a test that does not close it itself.
func testRuntime(t *testing.T, dir string, parent Support) *Runtime {
	t.Helper()
	r := openRuntime(t, dir, parent)
	t.Cleanup(r.Close) // after the clean-up of what is started with it
	return r
}

// testLogger logs to the test.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func testBinary(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// requireNoCgroup checks that no cgroup of the gateways of dir is left.
func requireNoCgroup(t *testing.T, parent Support, dir string) {
	t.Helper()
	if parent.Mode == ModeNone {
		return
	}
	data, err := canonical(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, limiter, err := findCgroups(configured(parent))
	if err != nil {
		t.Fatal(err)
	}
	main := cgroup{path: cgroupBase(parent.Path, data, "contract")}
	for _, base := range append(limiter.bases(data, "contract"), main) {
		if _, err := os.Stat(base.path); err == nil {
			t.Errorf("the cgroup %s is left behind", base.path)
		}
	}
}

var _ runtimetest.Runtime = (*Runtime)(nil)
