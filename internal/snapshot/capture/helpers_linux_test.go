package capture

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/tree"
)

// atRest is the Still of a gateway that does not run.
func atRest(ctx context.Context, do func(ctx context.Context) error) (time.Duration, error) {
	return 0, do(ctx)
}

// newCapturer gives a capturer of one root, "home", that is made.
func newCapturer(t testing.TB, change ...func(*Options)) (c *Capturer, root string) {
	t.Helper()
	base := t.TempDir()
	root = filepath.Join(base, "live")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	o := Options{Roots: []Root{{Name: "home", Path: root}}, Dir: filepath.Join(base, "copies"),
		MaxFreeze: time.Minute} // on a busy machine anything may take long
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, root
}

func mustCapture(t testing.TB, c *Capturer) *Cut {
	t.Helper()
	cut, err := c.Capture(t.Context(), atRest, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cut.Release(); err != nil {
			t.Error(err)
		}
	})
	return cut
}

// put makes a file, and the folders above it.
func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// describe says all of an entry in one line; content is asked for files only.
func describe(e tree.Entry, content func() (io.ReadCloser, error)) (string, error) {
	s := fmt.Sprintf("%s %v %d:%d %d", e.Kind, e.Mode, e.UID, e.GID, e.ModTime.UnixNano())
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		s += fmt.Sprintf(" %s=%q", name, e.Xattrs[name])
	}
	switch e.Kind {
	case tree.Symlink:
		s += fmt.Sprintf(" -> %q", e.Target)
	case tree.File:
		r, err := content()
		if err != nil {
			return "", err
		}
		defer r.Close()
		h := sha256.New()
		n, err := io.Copy(h, r)
		if err != nil {
			return "", err
		}
		s += fmt.Sprintf(" %d (%d) %x", e.Size, n, h.Sum(nil)[:8])
	}
	return s, nil
}

// contents describes every entry of a tree, and checks the order of its walk.
func contents(t testing.TB, tr tree.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	last := ""
	for e, err := range tr.Walk(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.LastIndexByte(e.Path, '/'); i >= 0 {
			if _, found := all[e.Path[:i]]; !found {
				t.Errorf("%q comes before its directory", e.Path)
			}
		}
		if tree.ComparePaths(last, e.Path) >= 0 {
			t.Errorf("%q comes after %q", e.Path, last)
		}
		last = e.Path
		if e.LinkTo != "" {
			if _, found := all[e.LinkTo]; !found {
				t.Errorf("%q links to %q, which does not come before it", e.Path, e.LinkTo)
			}
		}
		all[e.Path], err = describe(e, func() (io.ReadCloser, error) { return tr.Open(t.Context(), e.Path) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// live describes what is in a folder, independently of the code under test.
// Sockets and devices are left out.
func live(t testing.TB, name, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		sys, rel := info.Sys().(*syscall.Stat_t), strings.TrimPrefix(path, root)
		e := tree.Entry{Path: name + rel, UID: sys.Uid, GID: sys.Gid, ModTime: info.ModTime(), Size: info.Size()}
		e.Mode = info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
		switch info.Mode().Type() {
		case 0:
			e.Kind = tree.File
		case fs.ModeDir:
			e.Kind = tree.Dir
		case fs.ModeSymlink:
			e.Kind = tree.Symlink
			if e.Target, err = os.Readlink(path); err != nil {
				return err
			}
		case fs.ModeNamedPipe:
			e.Kind = tree.FIFO
		default:
			return nil
		}
		e.Xattrs = liveXattrs(t, path)
		all[e.Path], err = describe(e, func() (io.ReadCloser, error) { return os.Open(path) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func liveXattrs(t testing.TB, path string) map[string][]byte {
	t.Helper()
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(path, list)
	if err != nil || n == 0 {
		return nil
	}
	attrs := map[string][]byte{}
	for _, name := range strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		value := make([]byte, 65536)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		attrs[name] = value[:n]
	}
	return attrs
}

// same reports the differences of two descriptions.
func same(t interface {
	Helper()
	Errorf(format string, args ...any)
}, got, want map[string]string) {
	t.Helper()
	for path, w := range want {
		if g, found := got[path]; !found {
			t.Errorf("%q is missing: %s", path, w)
		} else if g != w {
			t.Errorf("%q is\n%s, want\n%s", path, g, w)
		}
	}
	for path, g := range got {
		if _, found := want[path]; !found {
			t.Errorf("%q is too much: %s", path, g)
		}
	}
}

// keys gives the keys of all files.
func keys(t testing.TB, tr tree.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	for e, err := range tr.Walk(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == tree.File {
			all[e.Path] = e.Key
		}
	}
	return all
}

// pastTick waits until the clock of file times has moved on, so that what was
// written before is provably old.
func pastTick(t testing.TB) {
	t.Helper()
	start := coarseNow()
	for deadline := time.Now().Add(5 * time.Second); coarseNow() <= start; {
		if time.Now().After(deadline) {
			t.Fatal("the coarse clock stands still")
		}
	}
}

// quantiles says how durations are distributed.
func quantiles(d []time.Duration) string {
	d = slices.Sorted(slices.Values(d))
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(time.Microsecond) }
	return fmt.Sprintf("p50 %v, p90 %v, p99 %v, max %v", at(0.5), at(0.9), at(0.99), at(1))
}
