//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What keeps `creel up` from coming up at all is said in one sentence, on
// standard error, with an exit code: nobody has to look into a log.
func TestRefusals(t *testing.T) {
	t.Run("port taken", func(t *testing.T) {
		f := newFolder(t)
		l, err := net.Listen("tcp", f.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f.wantEnd(t, 1, "cannot listen on "+f.listen, fmt.Sprintf("pid %d", os.Getpid()), "--listen")
	})
	t.Run("no npm", func(t *testing.T) {
		f := newEmptyFolder(t)
		f.path = filepath.Join(f.root, "bin") // an empty folder
		if err := os.Mkdir(f.path, 0o700); err != nil {
			t.Fatal(err)
		}
		f.wantEnd(t, 1, "cannot install OpenClaw", "there is no npm in PATH", "install Node.js with npm")
	})
}

// wantEnd checks that `creel up` ends by itself and says why.
func (f *folder) wantEnd(t *testing.T, code int, parts ...string) {
	t.Helper()
	c := f.up(t)
	if got := c.exit(t); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	said := read(t, c.stderr)
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("it does not say %q:\n%s", part, said)
		}
	}
	if out := read(t, c.stdout); out != "" {
		t.Errorf("standard output: %q", out)
	}
	for _, p := range f.processes(t) {
		t.Errorf("still running: %s", p)
	}
	if left := list(t, f.root, "tmp/*", "data/creel.sock"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
