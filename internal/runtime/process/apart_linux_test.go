package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// snoop tries to get at what is hidden, by every way that a program has which runs
// as the same user, and writes what it has found.
const snoop = `
exec > "$OUT" 2>&1
try() { printf '%s: ' "$1"; shift; "$@" 2>/dev/null | grep -q "$SECRET" && echo SEEN || echo unseen; }
try file cat "$DATA/private/key"
try elsewhere cat "$ELSEWHERE"
try list ls -laR "$DATA"
try creel-root cat "/proc/$CREEL/root$DATA/private/key"
try creel-cwd cat "/proc/$CREEL/cwd/private/key"
try init-root cat "/proc/1/root$DATA/private/key"
try creel-environ cat "/proc/$CREEL/environ"
for fd in /proc/"$CREEL"/fd/*; do try "creel-fd" cat "$fd"; done
try up cat ../../private/key
umount "$DATA" 2>/dev/null; umount -l "$DATA" 2>/dev/null
try umounted cat "$DATA/private/key"
try entered nsenter -t "$CREEL" -m cat "$DATA/private/key"
mount -t tmpfs none "$DATA/app" 2>/dev/null && echo "mounted: SEEN"
unshare -m umount "$DATA" 2>/dev/null && echo "unshared: SEEN"
echo later > "$DATA/app/state/written" && echo "kept: fine"
cat "$DATA/app/state/there" 
pwd
touch "$DATA/new" 2>/dev/null && echo "hidden folder is writable: SEEN"
mv "$OUT" "$OUT.done"
sleep 60 & wait
`

// TestKeptApart: an instance does not see what it must not, whatever it tries, and
// sees what it may.
func TestKeptApart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can keep instances apart; run the tests as root")
	}
	const secret = "s3cr3t-of-creel"
	dir, out := t.TempDir(), t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "credentials")
	for name, text := range map[string]string{
		filepath.Join(dir, "private", "key"): secret, elsewhere: secret,
		filepath.Join(dir, "app", "state", "there"): "here I am\n", filepath.Join(dir, "later"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir) // as creel's working directory may be
	open, err := os.Open(filepath.Join(dir, "private", "key"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	r := testRuntime(t, dir, Describe())
	report := filepath.Join(out, "report")
	spec := runtime.Spec{
		Gateway: "contract", Generation: 1, Port: freePort(t), Command: []string{"/bin/sh", "-c", snoop},
		Dir:   filepath.Join(dir, "app", "state"),
		Env:   []string{"PATH=" + os.Getenv("PATH"), "OUT=" + report, "DATA=" + dir, "ELSEWHERE=" + elsewhere, "SECRET=" + secret, fmt.Sprintf("CREEL=%d", os.Getpid())},
		Apart: &runtime.Apart{Hide: []string{dir, elsewhere, filepath.Join(dir, "nowhere")}, Keep: []string{filepath.Join(dir, "app"), filepath.Join(dir, "none")}, Required: true},
	}
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer mustKill(t, i)
	runtimetest.Await(t, "the report", func() bool { _, err := os.Stat(report + ".done"); return err == nil })
	b, err := os.ReadFile(report + ".done")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if strings.Contains(text, "SEEN") || strings.Contains(text, secret) {
		t.Errorf("it sees what it must not:\n%s", text)
	}
	for _, want := range []string{"kept: fine", "here I am", filepath.Join(dir, "app", "state") + "\n", "file: unseen", "umounted: unseen"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "app", "state", "written")); err != nil || string(b) != "later\n" {
		t.Errorf("what it wrote is %q, %v", b, err)
	}
	// Outside nothing is mounted.
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(b), "creel-apart") {
		t.Errorf("the folders are hidden from creel too (%v)", err)
	}
}

// TestApartIsImpossible: whether it is required decides.
func TestApartIsImpossible(t *testing.T) {
	dir := t.TempDir()
	r := testRuntime(t, dir, Describe())
	r.apart = func() error { return unix.EPERM }
	spec := roleSpec(freePort(t), "touch", filepath.Join(dir, "trace"))
	spec.Apart = &runtime.Apart{Hide: []string{filepath.Join(dir, "x")}, Required: true}
	_, err := r.Start(t.Context(), spec)
	var apart *runtime.ApartError
	if !errors.As(err, &apart) {
		t.Fatalf("got %v", err)
	}
	spec.Apart.Required = false
	i, err := r.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	awaitDone(t, i)
	mustKill(t, i)
}
