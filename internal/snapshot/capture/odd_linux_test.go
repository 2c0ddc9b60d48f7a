package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needRoot fails a test that cannot be made by another user.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes devices, mounts and other users' files: run it as root")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// acl is a POSIX ACL as it stands in an attribute (acl(5), include/linux/posix_acl_xattr.h):
// owner rw, user 1234 r, group r, mask r, others none.
func acl() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, ^uint32(0)}, {2, 4, 1234}, {4, 4, ^uint32(0)}, {16, 4, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

// Everything that a state folder can hold comes out as it is: the live folder
// is described by code that knows nothing of captures.
func TestOddFiles(t *testing.T) {
	needRoot(t)
	latin1, name255 := "caf\xe9", strings.Repeat("n", 255)
	tests := []struct {
		name string
		make func(t *testing.T, root string)
	}{
		{"nothing", func(*testing.T, string) {}},
		{"empty file", func(t *testing.T, root string) { put(t, root+"/f", "") }},
		{"nothing but a hole", func(t *testing.T, root string) {
			put(t, root+"/f", "")
			must(t, os.Truncate(root+"/f", 100<<20))
		}},
		{"not UTF-8", func(t *testing.T, root string) {
			put(t, root+"/"+latin1+"/"+latin1, "x")
			must(t, os.Symlink(latin1, root+"/link"))
		}},
		{"odd names", func(t *testing.T, root string) {
			for _, n := range []string{" ", "\n", "a\tb", "-rf", "...", "\\", "*", "a ", name255, "\u202e", "ä", "a\u0308"} {
				put(t, root+"/"+n, n)
			}
		}},
		{"byte order of names", func(t *testing.T, root string) {
			for _, n := range []string{"a.b", "a/x", "a-b", "B", "Z/1", "\xff"} {
				put(t, root+"/"+n, n)
			}
		}},
		{"hard links", func(t *testing.T, root string) {
			put(t, root+"/z/one", "same")
			must(t, os.Mkdir(root+"/a", 0o755))
			must(t, os.Link(root+"/z/one", root+"/a/two"))
			must(t, os.Link(root+"/z/one", root+"/three"))
		}},
		{"symbolic links", func(t *testing.T, root string) {
			put(t, root+"/d/f", "x")
			for n, to := range map[string]string{"up": "..", "self": "self", "a": "b", "b": "a", "dangling": "no/where", "abs": "/etc/passwd", "dir": "d", "long": strings.Repeat("x/", 500) + "y"} {
				must(t, os.Symlink(to, root+"/"+n))
			}
			must(t, os.Lchown(root+"/dangling", 12, 34))
		}},
		{"fifo", func(t *testing.T, root string) { must(t, unix.Mkfifo(root+"/fifo", 0o640)) }},
		{"modes and owners", func(t *testing.T, root string) {
			for i, mode := range []uint32{0, 0o7777, 0o4711, 0o2755, 0o1777, 0o444, 0o200} {
				f := fmt.Sprintf("%s/f%d", root, i)
				put(t, f, "x")
				must(t, os.Chown(f, 1000+i, 2000+i))
				must(t, unix.Chmod(f, mode)) // chown takes setuid away
				must(t, os.Mkdir(fmt.Sprintf("%s/d%d", root, i), 0o755))
				must(t, unix.Chmod(fmt.Sprintf("%s/d%d", root, i), mode))
			}
			must(t, os.Chown(root, 77, 88))
		}},
		{"times", func(t *testing.T, root string) {
			for i, at := range []time.Time{time.Unix(0, 1), time.Unix(-86400, 5), time.Date(2100, 1, 1, 0, 0, 0, 999999999, time.UTC)} {
				f := fmt.Sprintf("%s/%d", root, i)
				put(t, f, "x")
				must(t, os.Chtimes(f, at, at))
			}
		}},
		{"attributes", func(t *testing.T, root string) {
			put(t, root+"/f", "x")
			put(t, root+"/d/g", "x")
			must(t, os.Symlink("f", root+"/l"))
			must(t, unix.Mkfifo(root+"/p", 0o600))
			for name, value := range map[string][]byte{
				"user.x": []byte("y"), "user.empty": nil, "user.bytes": {0, 255, 0}, "user.long": bytes.Repeat([]byte("z"), 3000),
				"system.posix_acl_access": acl(),
			} {
				must(t, unix.Setxattr(root+"/f", name, value, 0))
			}
			must(t, unix.Setxattr(root+"/d", "system.posix_acl_default", acl(), 0))
			for _, n := range []string{"f", "d", "l", "p"} {
				must(t, unix.Lsetxattr(root+"/"+n, "trusted.creel", []byte(n), 0))
			}
			// File capabilities: cap_net_bind_service=ep.
			must(t, unix.Setxattr(root+"/d/g", "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
		}},
		{"many", func(t *testing.T, root string) {
			for i := range 3000 {
				put(t, fmt.Sprintf("%s/%d/%d", root, i%7, i), fmt.Sprint(i))
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, root := newCapturer(t)
			tt.make(t, root)
			for range 2 { // from nothing, and with a base
				cut := mustCapture(t, c)
				same(t, contents(t, cut), live(t, "home", root))
				if len(cut.Skipped) != 0 || len(cut.Excluded) != 0 {
					t.Errorf("skipped %v, excluded %v", cut.Skipped, cut.Excluded)
				}
				must(t, cut.Release())
			}
		})
	}
}

// A sparse file takes no more in the copy than it does in the state, also one of
// more than 4 GiB that changes while the gateway is held still.
func TestSparse(t *testing.T) {
	const size, at = 6 << 30, 5 << 30
	c, root := newCapturer(t)
	f, err := os.Create(root + "/f")
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	_, err = f.WriteAt([]byte("first"), at)
	must(t, err)
	cut, err := c.Capture(t.Context(), func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
		if _, err := f.WriteAt([]byte("last"), 2*chunk-2); err != nil {
			return 0, err
		}
		return time.Millisecond, do(ctx)
	}, nil)
	must(t, err)
	defer cut.Release()
	var st unix.Stat_t
	must(t, unix.Stat(cut.blobs[cut.byPath["home/f"]], &st))
	if st.Size != size || st.Blocks > 1<<11 {
		t.Errorf("a copy of %d bytes takes %d blocks", st.Size, st.Blocks)
	}
	r, err := cut.Open(t.Context(), "home/f")
	must(t, err)
	defer r.Close()
	for off, want := range map[int64]string{0: "\x00", at: "first", 2*chunk - 2: "last", size - 1: "\x00"} {
		got := make([]byte, len(want))
		if _, err := r.(io.ReaderAt).ReadAt(got, off); err != nil || string(got) != want {
			t.Errorf("at %d: %q, %v, want %q", off, got, err, want)
		}
	}
}

// Links are links within a root, and counted where they lead outside.
func TestHardLinks(t *testing.T) {
	c, root := newCapturer(t)
	put(t, root+"/b/one", "inside")
	must(t, os.Link(root+"/b/one", root+"/z"))
	put(t, root+"/c", "outside")
	must(t, os.Link(root+"/c", filepath.Dir(root)+"/elsewhere"))
	cut := mustCapture(t, c)
	links := map[string]string{}
	contents(t, cut) // checks the order
	for e := range cut.Walk(t.Context()) {
		if e.LinkTo != "" {
			links[e.Path] = e.LinkTo
		}
	}
	if len(links) != 1 || links["home/z"] != "home/b/one" {
		t.Errorf("links %v", links)
	}
	if cut.OutsideLinks != 1 {
		t.Errorf("%d files with links outside, want 1", cut.OutsideLinks)
	}
	if cut.Totals.Bytes != int64(len("inside")+len("outside")) {
		t.Errorf("totals %+v: a file with two names counts twice", cut.Totals)
	}
}

// skips gives the reasons of what was skipped by path.
func skips(cut *Cut) map[string]string {
	all := map[string]string{}
	for _, s := range cut.Skipped {
		all[s.Path] = s.Reason
	}
	return all
}

// Sockets, devices and mount points are not in the cut, and it says so.
func TestSkipped(t *testing.T) {
	needRoot(t)
	c, root := newCapturer(t)
	put(t, root+"/f", "x")
	ln, err := net.Listen("unix", root+"/sock\xff")
	must(t, err)
	defer ln.Close()
	must(t, unix.Mknod(root+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(root+"/block", unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))))
	for _, d := range []string{"tmpfs", "bind"} {
		must(t, os.Mkdir(root+"/"+d, 0o755))
	}
	put(t, filepath.Dir(root)+"/other/in", "x")
	must(t, unix.Mount("tmpfs", root+"/tmpfs", "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(root+"/tmpfs", unix.MNT_DETACH) })
	put(t, root+"/tmpfs/in", "x")
	must(t, unix.Mount(filepath.Dir(root)+"/other", root+"/bind", "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(root+"/bind", unix.MNT_DETACH) })

	cut := mustCapture(t, c)
	got := skips(cut)
	for path, reason := range map[string]string{
		`"home/sock\xff"`: "socket", "home/null": "device", "home/block": "device",
		"home/tmpfs": "mount point", "home/bind": "mount point",
	} {
		if !strings.HasPrefix(got[path], reason) {
			t.Errorf("%s is skipped for %q, want %q", path, got[path], reason)
		}
	}
	if len(got) != 5 {
		t.Errorf("skipped: %v", got)
	}
	paths := slices.Sorted(func(yield func(string) bool) {
		for e := range cut.Walk(t.Context()) {
			if !yield(e.Path) {
				return
			}
		}
	})
	if want := []string{"home", "home/bind", "home/f", "home/tmpfs"}; !slices.Equal(paths, want) {
		t.Errorf("the cut has %v, want %v", paths, want)
	}
}

// What creel may not read is skipped with the reason, and the rest is there.
// The test runs itself as another user.
func TestUnreadable(t *testing.T) {
	if dir := os.Getenv("CREEL_TEST_UNREADABLE"); dir != "" {
		c, err := New(Options{Roots: []Root{{Name: "home", Path: dir + "/live"}}, Dir: dir + "/copies"})
		must(t, err)
		cut := mustCapture(t, c)
		got := skips(cut)
		if len(got) != 2 || got["home/secret"] != "unreadable: permission denied" || got["home/closed"] != "unreadable: permission denied" {
			t.Errorf("skipped: %v", got)
		}
		if got := contents(t, cut); len(got) != 4 || got["home/closed"] == "" || got["home/theirs"] == "" {
			t.Errorf("the cut has %v", got)
		}
		return
	}
	needRoot(t)
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755))
	}
	put(t, dir+"/live/secret", "x")
	must(t, os.Chmod(dir+"/live/secret", 0))
	put(t, dir+"/live/closed/in", "x")
	must(t, os.Chmod(dir+"/live/closed", 0o711))
	put(t, dir+"/live/theirs", "belongs to root, so O_NOATIME is refused")
	put(t, dir+"/live/mine", "x")
	must(t, os.Chown(dir+"/live/mine", 65534, 65534))
	must(t, os.Chown(dir, 65534, 65534))
	exe := filepath.Join(dir, "test")
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(exe, self, 0o755))
	cmd := exec.Command(exe, "-test.run=^TestUnreadable$", "-test.v")
	cmd.Env = append(os.Environ(), "CREEL_TEST_UNREADABLE="+dir, "TMPDIR="+dir)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestUnreadable")) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

// Paths longer than PATH_MAX are reached from folder to folder.
func TestDeepPaths(t *testing.T) {
	c, root := newCapturer(t)
	part := strings.Repeat("d", 255)
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	depth := 40 // 10,240 bytes
	for range depth {
		must(t, unix.Mkdirat(fd, part, 0o755))
		next, err := unix.Openat(fd, part, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	f, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
	must(t, err)
	_, err = unix.Write(f, []byte("at the bottom"))
	must(t, err)
	must(t, unix.Fsetxattr(f, "user.deep", []byte("yes"), 0))
	unix.Close(f)
	unix.Close(fd)

	cut := mustCapture(t, c)
	path := "home/" + strings.Repeat(part+"/", depth) + "file"
	if got := contents(t, cut)[path]; !strings.Contains(got, "user.deep") || !strings.Contains(got, " 13 (13) ") {
		t.Errorf("the deepest file is %q", got)
	}
	if cut.Totals.Dirs != int64(depth)+1 {
		t.Errorf("totals %+v", cut.Totals)
	}
}

// Looking does not change the live state: no time of any file moves (I5).
func TestLeavesNoTrace(t *testing.T) {
	c, root := newCapturer(t)
	put(t, root+"/d/f", "x")
	must(t, os.Symlink("f", root+"/d/l"))
	old := time.Now().Add(-48 * time.Hour)
	var before []unix.Stat_t
	paths := []string{root + "/d/f", root + "/d", root}
	for _, p := range paths {
		must(t, os.Chtimes(p, old, old)) // relatime would move these
	}
	for _, p := range paths {
		var st unix.Stat_t
		must(t, unix.Lstat(p, &st))
		before = append(before, st)
	}
	mustCapture(t, c)
	for i, p := range paths {
		var st unix.Stat_t
		must(t, unix.Lstat(p, &st))
		if st != before[i] {
			t.Errorf("%s was\n%+v and is\n%+v", p, before[i], st)
		}
	}
}

// Roots: one that is missing, one that is a link, one in another, creel's own.
func TestRoots(t *testing.T) {
	base := t.TempDir()
	put(t, base+"/real/f", "x")
	put(t, base+"/real/creel/secret.key", "x")
	put(t, base+"/second/f", "y")
	must(t, os.Symlink("real", base+"/link"))
	c, err := New(Options{
		Roots:   []Root{{Name: "z", Path: base + "/link"}, {Name: "a", Path: base + "/second"}, {Name: "none", Path: base + "/missing"}},
		Dir:     base + "/real/creel/copies",
		Exclude: []string{base + "/link/creel", base + "/not-there"},
	})
	must(t, err)
	cut := mustCapture(t, c)
	var paths []string
	for e := range cut.Walk(t.Context()) {
		paths = append(paths, e.Path)
	}
	if want := []string{"a", "a/f", "z", "z/f"}; !slices.Equal(paths, want) {
		t.Errorf("the cut has %v, want %v", paths, want)
	}
	got := skips(cut)
	if got["z/creel"] != "creel's own data" || !strings.HasPrefix(got["none"], "there is no such folder") || len(got) != 2 {
		t.Errorf("skipped: %v", got)
	}
	must(t, cut.Release())

	for name, o := range map[string]Options{
		"nested":          {Roots: []Root{{Name: "a", Path: base}, {Name: "b", Path: base + "/real"}}, Dir: base + "/x"},
		"the same twice":  {Roots: []Root{{Name: "a", Path: base}, {Name: "b", Path: base + "/"}}, Dir: base + "/x"},
		"one name":        {Roots: []Root{{Name: "a", Path: base + "/real"}, {Name: "a", Path: base + "/second"}}, Dir: base + "/x"},
		"slash":           {Roots: []Root{{Name: "a/b", Path: base}}, Dir: "/x"},
		"relative":        {Roots: []Root{{Name: "a", Path: "state"}}, Dir: "/x"},
		"relative copies": {Roots: []Root{{Name: "a", Path: base}}, Dir: "x"},
		"none":            {Dir: base + "/x"},
		"in the copies":   {Roots: []Root{{Name: "a", Path: base + "/x/y"}}, Dir: base + "/x"},
		"budget":          {Roots: []Root{{Name: "a", Path: base + "/real"}}, Dir: base + "/x", Budget: time.Second, MaxFreeze: time.Millisecond},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c, err = New(Options{Roots: []Root{{Name: "a", Path: base + "/real"}, {Name: "b", Path: base + "/link"}}, Dir: base + "/x"})
	must(t, err)
	if _, err := c.Capture(t.Context(), atRest, nil); err == nil || !strings.Contains(err.Error(), "inside") {
		t.Errorf("two ways to one folder: %v", err)
	}
	put(t, base+"/file", "x")
	c, err = New(Options{Roots: []Root{{Name: "a", Path: base + "/file"}}, Dir: base + "/x"})
	must(t, err)
	if _, err := c.Capture(t.Context(), atRest, nil); err == nil {
		t.Error("a root that is a file: no error")
	}
}
