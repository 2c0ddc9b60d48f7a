package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/runtime/process"
)

func TestMain(m *testing.M) {
	process.RunLauncher()
	goleak.VerifyTestMain(m)
}

func TestExpandPort(t *testing.T) {
	for arg, want := range map[string]string{
		"--port=$PORT":    "--port=9",
		"${PORT}":         "9",
		"$PORT":           "9",
		"$PORT:$PORT":     "9:9",
		"a$PORT/${PORT}b": "a9/9b",
		"$PORTAL":         "$PORTAL",
		"$PORTAL $PORT":   "$PORTAL 9",
		"$PORT_":          "$PORT_",
		"$$PORT":          "$9",
		"none":            "none",
	} {
		if got := expandPort(arg, 9); got != want {
			t.Errorf("%q became %q, want %q", arg, got, want)
		}
	}
}

// TestInstanceEnv: what is creel's alone does not reach the gateway, and what
// the gateway is promised does.
func TestInstanceEnv(t *testing.T) {
	got := instanceEnv([]string{"HOME=/h", "CREEL_DATA_DIR=/d", "CREEL_GATEWAY_ENV_KEY=secret", "NOTIFY_SOCKET=/n", "LISTEN_FDS=1", "PORT=1", "A=of creel"},
		map[string]string{"A": "of the configuration"}, 8081, 7)
	want := []string{"A=of the configuration", "CREEL_GENERATION=7", "HOME=/h", "PORT=8081"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPortStaysWhileItIsFree(t *testing.T) {
	var p port
	first, err := p.choose(0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first})
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.choose(0)
	if err != nil || second == first {
		t.Errorf("a taken port was chosen again: %d (%v)", second, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if third, err := p.choose(0); err != nil || third != second {
		t.Errorf("the port changed from %d to %d without need (%v)", second, third, err)
	}
	if got, err := p.choose(first); got != first || err != nil {
		t.Errorf("a fixed port became %d (%v)", got, err)
	}
}

func TestLockDataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	lock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v (%v)", info.Mode(), err)
	}
	var inUse *InUseError
	if _, err := lockDataDir(dir); !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("a second lock: %v", err)
	}
	if err := lock.close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.close(); err != nil {
		t.Error(err)
	}
}

func TestDataDirThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var refused *DataDirError
	if _, err := lockDataDir(filepath.Join(file, "below")); !errors.As(err, &refused) || !strings.Contains(err.Error(), "choose another one with --data-dir") {
		t.Errorf("got %v", err)
	}
	// In one that was used before there is what the gateway has.
	used := t.TempDir()
	lock, err := lockDataDir(used)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.close(), os.Remove(filepath.Join(used, lockName)), os.Mkdir(filepath.Join(used, lockName), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDataDir(used); !errors.As(err, &refused) || strings.Contains(err.Error(), "choose another") || !strings.Contains(err.Error(), "empty state") {
		t.Errorf("got %v", err)
	}
}

func TestListenNamesTheHolder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listen(l.Addr().String())
	var address *AddressError
	if !errors.As(err, &address) || !strings.Contains(err.Error(), filepath.Base(os.Args[0])) {
		t.Errorf("got %v", err)
	}
}

func TestBrowsable(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "host:80": "host:80",
	} {
		if got := browsable(listen); got != want {
			t.Errorf("%s became %s", listen, got)
		}
	}
}

// TestLockThatSomebodyWroteInto: the lock is the kernel's; what a stranger, or a
// creel that died, has written into the file locks nobody out.
func TestLockThatSomebodyWroteInto(t *testing.T) {
	for name, text := range map[string]string{"the pid of a stranger": "1\n", "nonsense": strings.Repeat("nonsense", 1<<15), "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, lockName)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			lock, err := lockDataDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(got)) != strconv.Itoa(os.Getpid()) {
				t.Errorf("the file says %.40q (%v)", got, err)
			}
			if err := lock.close(); err != nil {
				t.Error(err)
			}
		})
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, lockName), 0o700); err != nil {
		t.Fatal(err)
	}
	var refused *DataDirError
	if _, err := lockDataDir(dir); !errors.As(err, &refused) || !strings.Contains(err.Error(), lockName) {
		t.Errorf("a folder in its place: %v", err)
	}
}
