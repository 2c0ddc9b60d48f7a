package tree_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/tree"
)

// TestWriteGivesBackWhatWasRead writes folders that hold all that a tree can
// say, and compares.
func TestWriteGivesBackWhatWasRead(t *testing.T) {
	from := richFolder(t)
	other := t.TempDir()
	put(t, filepath.Join(other, "b"), "beta")
	was := tree.OfDirs(map[string]string{"home": from, "work": other})
	var skipped []tree.Skipped
	was.Skipped = func(s tree.Skipped) { skipped = append(skipped, s) }

	to := t.TempDir()
	dirs := map[string]string{"home": filepath.Join(to, "h"), "work": filepath.Join(to, "w")}
	got, err := tree.Write(t.Context(), was, dirs, tree.WriteOptions{Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Losses) > 0 {
		t.Errorf("losses: %v", got.Losses)
	}
	if want := []tree.Skipped{{Path: "home/socket", Reason: "socket"}}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %v, want %v", skipped, want)
	}
	differ(t, was, tree.OfDirs(dirs))
	var want tree.Totals
	for e, err := range was.Walk(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		want.Add(e)
	}
	if got.Totals != want {
		t.Errorf("counted %+v, want %+v", got.Totals, want)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(to, "h", "sparse"), &st); err != nil {
		t.Fatal(err)
	}
	if onDisk := st.Blocks * 512; onDisk > 1<<20 {
		t.Errorf("a sparse file of %d bytes takes %d bytes of disk", st.Size, onDisk)
	}
}

// TestCompareSees makes one change at a time. The fidelity test above is worth
// what this shows.
func TestCompareSees(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"content": {func(t *testing.T, dir string) {
			keepTime(t, filepath.Join(dir, "single"), func(p string) { put(t, p, "PLAIN") })
		}, `changed "home/single": content`},
		"size": {func(t *testing.T, dir string) {
			keepTime(t, filepath.Join(dir, "single"), func(p string) { put(t, p, "longer than before") })
		}, `changed "home/single": size 5, now 18, content`},
		"mode": {func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, "single"), 0o600)) },
			`changed "home/single": mode -rw-r-----, now -rw-------`},
		"owner": {func(t *testing.T, dir string) { must(t, os.Lchown(filepath.Join(dir, "link"), 1, 2)) },
			`changed "home/link": owner 0:0, now 1:2`},
		"xattr": {func(t *testing.T, dir string) {
			must(t, unix.Setxattr(filepath.Join(dir, "single"), "user.note", []byte("y"), 0))
		}, `changed "home/single": xattrs`},
		"time of a folder": {func(t *testing.T, dir string) {
			must(t, os.Chtimes(filepath.Join(dir, "sub"), time.Time{}, time.Unix(5, 0)))
		}, `changed "home/sub": time 2001-02-03 04:05:06.000000007 +0000 UTC, now 1970-01-01 00:00:05 +0000 UTC`},
		"target": {func(t *testing.T, dir string) {
			keepTime(t, filepath.Join(dir, "link"), func(p string) { must(t, os.Remove(p)); must(t, os.Symlink("elsewhere", p)) })
		}, `changed "home/link": target`},
		"no hard link": {func(t *testing.T, dir string) {
			keepTime(t, filepath.Join(dir, "hard"), func(p string) { must(t, os.Remove(p)); put(t, p, "plain"); must(t, os.Chmod(p, 0o640)) })
		}, `changed "home/hard": xattrs, changed "home/plain": link to "home/hard", now ""`},
		"kind": {func(t *testing.T, dir string) {
			keepTime(t, filepath.Join(dir, "empty"), func(p string) { must(t, os.Remove(p)); must(t, os.Mkdir(p, 0o755)) })
		}, `changed "home/empty": kind`},
		"removed": {func(t *testing.T, dir string) {
			keepTime(t, dir, func(string) { must(t, os.Remove(filepath.Join(dir, "empty"))) })
		}, `removed "home/empty"`},
		"added": {func(t *testing.T, dir string) {
			keepTime(t, dir, func(string) { put(t, filepath.Join(dir, "new"), "") })
		},
			`added "home/new"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := richFolder(t)
			was := tree.OfDir("home", dir)
			copied := filepath.Join(t.TempDir(), "copy")
			_, err := tree.Write(t.Context(), was, map[string]string{"home": copied}, tree.WriteOptions{})
			must(t, err)
			keepTime(t, copied, func(string) { c.change(t, copied) })
			list, err := tree.Compare(t.Context(), was, tree.OfDir("home", copied), tree.CompareOptions{})
			must(t, err)
			var got []string
			for _, d := range list {
				got = append(got, d.String())
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), c.want)
			}
		})
	}
}

// TestWriteRefusesHostileTrees: nothing outside the target is touched.
func TestWriteRefusesHostileTrees(t *testing.T) {
	root := tree.Entry{Path: "home", Kind: tree.Dir, Mode: 0o700}
	file := func(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.File, Mode: 0o600, Size: 4} }
	outside := t.TempDir()
	for name, list := range map[string][]tree.Entry{
		"dot dot":                  {root, file("home/../x")},
		"dot dot as root":          {{Path: "..", Kind: tree.Dir}, file("../x")},
		"absolute":                 {root, file("/home/x")},
		"empty part":               {root, file("home//x")},
		"dot":                      {root, file("home/./x")},
		"zero byte":                {root, file("home/a\x00b")},
		"another root":             {root, {Path: "etc", Kind: tree.Dir}, file("etc/x")},
		"root as link":             {{Path: "home", Kind: tree.Symlink, Target: outside}, file("home/x")},
		"through a link":           {root, {Path: "home/l", Kind: tree.Symlink, Target: outside}, file("home/l/x")},
		"through a file":           {root, file("home/f"), file("home/f/x")},
		"folder in place of link":  {root, {Path: "home/l", Kind: tree.Symlink, Target: outside}, {Path: "home/l", Kind: tree.Dir}, file("home/l/x")},
		"file through a link":      {root, {Path: "home/l", Kind: tree.Symlink, Target: outside + "/x"}, file("home/l")},
		"twice":                    {root, file("home/f"), file("home/f")},
		"without parent":           {root, file("home/no/f")},
		"without root":             {file("home/f")},
		"hard link to the outside": {root, {Path: "home/h", Kind: tree.File, LinkTo: "home/../../../etc/passwd"}},
		"hard link to a link":      {root, {Path: "home/l", Kind: tree.Symlink, Target: "/etc/passwd"}, {Path: "home/h", Kind: tree.File, LinkTo: "home/l"}},
		"hard link forward":        {root, {Path: "home/h", Kind: tree.File, LinkTo: "home/i"}, file("home/i")},
		"device":                   {root, {Path: "home/null", Kind: "device"}},
		"mode with type bits":      {root, {Path: "home/null", Kind: tree.File, Mode: fs.ModeDevice}},
		"negative size":            {root, {Path: "home/f", Kind: tree.File, Size: -1}},
		"no root at all":           {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "target")
			_, err := tree.Write(t.Context(), listed(list), map[string]string{"home": dir}, tree.WriteOptions{})
			if err == nil {
				t.Error("it was written")
			}
			if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
				t.Errorf("outside the target: %v, %v", left, err)
			}
			beside, err := os.ReadDir(filepath.Dir(dir))
			must(t, err)
			for _, e := range beside {
				if e.Name() != "target" {
					t.Errorf("beside the target: %s", e.Name())
				}
			}
		})
	}
}

func TestWriteRefusesWhatIsThere(t *testing.T) {
	src := tree.OfDir("home", richFolder(t))
	full := t.TempDir()
	put(t, filepath.Join(full, "mine"), "mine")
	elsewhere := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(elsewhere, link))
	for name, dir := range map[string]string{
		"not empty": full, "a file": filepath.Join(full, "mine"), "a link": link,
		"no parent": filepath.Join(full, "no", "such"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tree.Write(t.Context(), src, map[string]string{"home": dir}, tree.WriteOptions{}); err == nil {
				t.Error("it was written")
			}
			if list, err := os.ReadDir(elsewhere); err != nil || len(list) > 0 {
				t.Errorf("behind the link: %v, %v", list, err)
			}
		})
	}
	if list, err := os.ReadDir(full); err != nil || len(list) != 1 {
		t.Errorf("the folder that was not empty holds %v (%v)", list, err)
	}
}

// TestWriteReportsLengths: an entry and its content must agree.
func TestWriteReportsLengths(t *testing.T) {
	for _, size := range []int64{3, 5, 1 << 30} {
		list := listed{{Path: "home", Kind: tree.Dir}, {Path: "home/f", Kind: tree.File, Size: size}}
		_, err := tree.Write(t.Context(), list, map[string]string{"home": filepath.Join(t.TempDir(), "x")}, tree.WriteOptions{})
		if err == nil || !strings.Contains(err.Error(), `"home/f"`) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

// TestWriteKeepsSetuidForItsOwner: as root, who may give the file to its owner.
// Others may not: see TestWriteAsSomebody.
func TestWriteKeepsSetuidForItsOwner(t *testing.T) {
	list := listed{{Path: "home", Kind: tree.Dir, Mode: 0o755}, {Path: "home/f", Kind: tree.File, Size: 4, UID: 12, GID: 13, Mode: 0o755 | fs.ModeSetuid}}
	dir := filepath.Join(t.TempDir(), "x")
	got, err := tree.Write(t.Context(), list, map[string]string{"home": dir}, tree.WriteOptions{})
	must(t, err)
	info, err := os.Stat(filepath.Join(dir, "f"))
	must(t, err)
	if info.Mode()&fs.ModeSetuid == 0 || len(got.Losses) > 0 {
		t.Errorf("mode %v, losses %v", info.Mode(), got.Losses)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	list := listed{{Path: "home", Kind: tree.Dir}}
	for i := range 1000 {
		list = append(list, tree.Entry{Path: fmt.Sprintf("home/%04d", i), Kind: tree.File, Size: 4})
	}
	_, err := tree.Write(ctx, list, map[string]string{"home": filepath.Join(t.TempDir(), "x")}, tree.WriteOptions{
		Done: func(files, _ int64) {
			if files > 0 {
				cancel(stop)
			}
		},
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestHeads(t *testing.T) {
	from := t.TempDir()
	put(t, filepath.Join(from, "db"), "SQLite format 3\x00"+strings.Repeat("x", 200))
	put(t, filepath.Join(from, "none"), "")
	heads := make(chan string, 8)
	_, err := tree.Write(t.Context(), tree.OfDir("home", from), map[string]string{"home": filepath.Join(t.TempDir(), "x")}, tree.WriteOptions{
		Head: func(e tree.Entry, head []byte) { heads <- fmt.Sprintf("%s %d %.6s", e.Path, len(head), head) },
	})
	must(t, err)
	close(heads)
	var got []string
	for h := range heads {
		got = append(got, h)
	}
	slices.Sort(got)
	if want := []string{"home/db 64 SQLite", "home/none 0 "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// listed is a tree that says what it is told to. Each file holds "data".
type listed []tree.Entry

func (l listed) Walk(context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range l {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (l listed) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader([]byte("data"))), nil
}

// richFolder is a folder with everything that a tree can say.
func richFolder(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test gives files to other owners, which only root may: run it as root")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	put(t, in("plain"), "plain")
	must(t, os.Chmod(in("plain"), 0o640))
	must(t, unix.Setxattr(in("plain"), "user.note", []byte{0, 1, 0xff}, 0))
	must(t, os.Link(in("plain"), in("hard")))
	put(t, in("single"), "plain")
	must(t, os.Chmod(in("single"), 0o640))
	put(t, in("empty"), "")
	must(t, os.Symlink("dangling/\xff", in("link")))
	must(t, unix.Mkfifo(in("fifo"), 0o620))
	put(t, in("not utf-8 \xff\xfe\n"), "bytes")
	must(t, os.Chown(in("not utf-8 \xff\xfe\n"), 1234, 4321))
	put(t, in("setuid"), "#!")
	must(t, os.Chown(in("setuid"), 77, 78))
	must(t, os.Chmod(in("setuid"), 0o4711|fs.ModeSetuid|fs.ModeSetgid))
	must(t, os.MkdirAll(in("sub/deep/er"), 0o755))
	put(t, in("sub/deep/er/f"), strings.Repeat("0123456789abcdef", 100_000))
	must(t, os.Link(in("sub/deep/er/f"), in("sub/zz")))
	must(t, os.Mkdir(in("locked"), 0o700))
	put(t, in("locked/f"), "x")
	must(t, os.Chmod(in("locked"), 0o500))
	must(t, os.Mkdir(in("sticky"), 0o777))
	must(t, os.Chmod(in("sticky"), 0o777|fs.ModeSticky))
	put(t, in("acl"), "x")
	must(t, unix.Setxattr(in("acl"), "system.posix_acl_access", someACL, 0))
	must(t, unix.Setxattr(in("sub/deep"), "system.posix_acl_default", someACL, 0))
	sparse, err := os.Create(in("sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("in the middle"), 8<<20)
	must(t, err)
	must(t, sparse.Truncate(32<<20))
	must(t, sparse.Close())
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	short := "/proc/self/fd/" // the path of a socket is short
	d, err := os.Open(dir)
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("%s%d/socket", short, d.Fd())}))
	must(t, unix.Close(fd))
	must(t, d.Close())
	when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	var all []string
	must(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error { all = append(all, p); return err }))
	for _, p := range slices.Backward(all) {
		setTime(t, p, when)
	}
	return dir
}

// someACL: user::rw- user:1000:r-- group::r-- mask::r-- other::---, as in
// linux/posix_acl_xattr.h.
var someACL = []byte{
	2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	2, 0, 4, 0, 0xe8, 3, 0, 0,
	4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
}

func differ(t *testing.T, was, is tree.Tree) {
	t.Helper()
	list, err := tree.Compare(t.Context(), was, is, tree.CompareOptions{})
	must(t, err)
	for _, d := range list {
		t.Error(d)
	}
}

// keepTime makes a change and sets the time back to what it was.
func keepTime(t *testing.T, path string, change func(string)) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	change(path)
	setTime(t, path, info.ModTime())
}

func setTime(t *testing.T, path string, when time.Time) {
	t.Helper()
	ts := unix.NsecToTimespec(when.UnixNano())
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
}

func put(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
