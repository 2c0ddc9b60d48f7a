package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/internal/snapshot/tree"
)

// Tree is a tree in memory.
type Tree struct {
	entries map[string]tree.Entry
	content map[string]func() io.Reader

	// Opening is called before a file is opened, if it is set.
	Opening func(ctx context.Context, path string) error
}

var _ tree.Tree = (*Tree)(nil)

// At is the time that entries of a Tree have if nothing else is said.
var At = time.Date(2026, 11, 26, 1, 2, 3, 456789012, time.UTC)

// NewTree makes a tree of directories, which are the roots.
func NewTree(roots ...string) *Tree {
	t := &Tree{entries: make(map[string]tree.Entry), content: make(map[string]func() io.Reader)}
	for _, r := range roots {
		t.Add(tree.Entry{Path: r, Kind: tree.Dir, Mode: 0o700})
	}
	return t
}

// Add adds or replaces an entry. What lies above it is added too.
func (t *Tree) Add(e tree.Entry) {
	if e.ModTime.IsZero() {
		e.ModTime = At
	}
	t.entries[e.Path] = e
	if i := strings.LastIndexByte(e.Path, '/'); i > 0 {
		if _, there := t.entries[e.Path[:i]]; !there {
			t.Add(tree.Entry{Path: e.Path[:i], Kind: tree.Dir, Mode: 0o755})
		}
	}
}

// File adds a file with this content.
func (t *Tree) File(path string, data []byte) {
	t.Entry(tree.Entry{Path: path, Kind: tree.File, Mode: 0o644}, data)
}

// Entry adds a file with this content.
func (t *Tree) Entry(e tree.Entry, data []byte) {
	e.Size = int64(len(data))
	t.Add(e)
	t.content[e.Path] = func() io.Reader { return bytes.NewReader(data) }
}

// Large adds a file of size bytes, of which only a few are not zero.
func (t *Tree) Large(path string, size int64) {
	t.Add(tree.Entry{Path: path, Kind: tree.File, Mode: 0o600, Size: size})
	t.content[path] = func() io.Reader {
		end := strings.NewReader("the end")
		return io.MultiReader(strings.NewReader("start"), io.LimitReader(zeros{}, size-5-end.Size()), end)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Link adds a hard link.
func (t *Tree) Link(path, to string) {
	e := t.entries[to]
	e.Path, e.LinkTo = path, to
	t.Add(e)
	t.content[path] = t.content[to]
}

// Clone copies a tree.
func (t *Tree) Clone() *Tree {
	return &Tree{entries: maps.Clone(t.entries), content: maps.Clone(t.content)}
}

// Remove takes an entry out.
func (t *Tree) Remove(path string) {
	delete(t.entries, path)
	delete(t.content, path)
}

// Walk implements tree.Tree.
func (t *Tree) Walk(ctx context.Context) iter.Seq2[tree.Entry, error] {
	paths := slices.SortedFunc(maps.Keys(t.entries), func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
	return func(yield func(tree.Entry, error) bool) {
		for _, p := range paths {
			if ctx.Err() != nil {
				yield(tree.Entry{}, context.Cause(ctx))
				return
			}
			if !yield(t.entries[p], nil) {
				return
			}
		}
	}
}

// Open implements tree.Tree.
func (t *Tree) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if t.Opening != nil {
		if err := t.Opening(ctx, path); err != nil {
			return nil, err
		}
	}
	open := t.content[path]
	if open == nil {
		return nil, fmt.Errorf("open %q: %w", path, fs.ErrNotExist)
	}
	return io.NopCloser(open()), nil
}

// Noise is data that does not compress, the same for the same seed.
func Noise(seed uint64, size int) []byte {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = r.Read(data)
	return data
}

// Everything is a tree with all that a tree can say, in small.
func Everything() *Tree {
	t := NewTree("state", "workspace")
	t.File("state/empty", nil)
	t.File("state/text", []byte("some text\n"))
	t.File("state/noise", Noise(1, 300_000)) // more than one piece
	t.Entry(tree.Entry{Path: "state/keyed", Kind: tree.File, Mode: 0o600, Key: "dev1-ino2-gen3"}, []byte("found by its key"))
	t.Entry(tree.Entry{Path: "state/bits", Kind: tree.File, Mode: 0o755 | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky, UID: 4_000_000_000, GID: 1234}, []byte("x"))
	t.Entry(tree.Entry{Path: "state/forbidden", Kind: tree.File}, []byte("mode 0"))
	t.Add(tree.Entry{Path: "state/sticky", Kind: tree.Dir, Mode: 0o777 | fs.ModeSticky})
	t.Entry(tree.Entry{Path: "state/old", Kind: tree.File, Mode: 0o644, ModTime: time.Unix(-1, 1).UTC()}, []byte("old"))
	t.Entry(tree.Entry{Path: "state/older", Kind: tree.File, Mode: 0o644, ModTime: time.Date(1600, 1, 1, 0, 0, 0, 7, time.UTC)}, []byte("older"))
	t.Entry(tree.Entry{Path: "state/future", Kind: tree.File, Mode: 0o644, ModTime: time.Date(2446, 5, 10, 22, 38, 55, 999999999, time.UTC)}, []byte("future"))
	t.Add(tree.Entry{Path: "state/link", Kind: tree.Symlink, Mode: 0o777, Target: "text"})
	t.Add(tree.Entry{Path: "state/dangling", Kind: tree.Symlink, Mode: 0o777, Target: "/nowhere/../at all/\xff\xfe"})
	t.Add(tree.Entry{Path: "state/pipe", Kind: tree.FIFO, Mode: 0o600})
	xattrs := map[string][]byte{"user.a": []byte("value"), "user.empty": {}, "user.bin\xff": {0, 1, 0xff}}
	t.Entry(tree.Entry{Path: "state/xattrs", Kind: tree.File, Mode: 0o644, Xattrs: xattrs}, []byte("x"))
	t.Add(tree.Entry{Path: "state/xattrdir", Kind: tree.Dir, Mode: 0o755, Xattrs: xattrs})
	t.Link("state/zlink", "state/noise")
	t.Link("workspace/linked", "state/text")
	t.Add(tree.Entry{Path: "workspace/emptydir/below", Kind: tree.Dir, Mode: 0o700})
	for _, name := range []string{
		"with space", "\u00fcml\u00e4ut", "new\nline", "quote\"back\\slash", "\xff\xfe not utf8", ".creel", ".creel-name-ff",
		"-dash", "...", "a", "a-b", "a.b", "percent%00", ".kopiaignore", "<&>\u2028", strings.Repeat("n", 255),
	} {
		t.File("workspace/names/"+name, []byte(name))
	}
	t.File("workspace/names/a!/in a dir that sorts oddly", []byte("1"))
	t.File("workspace/names/dir\xff/\xffin", []byte("2"))
	t.File("workspace/.kopiaignore", []byte("*\n"))
	return t
}

// Compare reports where got is not the tree that want is, content included.
func Compare(t testing.TB, want, got tree.Tree) {
	t.Helper()
	ctx := t.Context()
	a, b := collect(t, want), collect(t, got)
	for path, e := range a {
		f, there := b[path]
		if !there {
			t.Errorf("%q is missing", path)
			continue
		}
		if d := diff(e, f); d != "" {
			t.Errorf("%q: %s", path, d)
		}
		if e.Kind == tree.File && f.Kind == tree.File {
			if err := sameContent(ctx, want, got, path); err != nil {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
	for path := range b {
		if _, there := a[path]; !there {
			t.Errorf("%q is there and should not be", path)
		}
	}
}

// collect walks, and holds the walk to its order.
func collect(t testing.TB, from tree.Tree) map[string]tree.Entry {
	t.Helper()
	all := make(map[string]tree.Entry)
	last := ""
	for e, err := range from.Walk(t.Context()) {
		if err != nil {
			t.Fatalf("walk: %v", err)
		}
		if last != "" && slices.Compare(strings.Split(last, "/"), strings.Split(e.Path, "/")) >= 0 {
			t.Errorf("%q comes after %q", e.Path, last)
		}
		if i := strings.LastIndexByte(e.Path, '/'); i > 0 {
			if _, there := all[e.Path[:i]]; !there {
				t.Errorf("%q comes before its directory", e.Path)
			}
		}
		last, all[e.Path] = e.Path, e
	}
	return all
}

func diff(a, b tree.Entry) string {
	if !a.ModTime.Equal(b.ModTime) {
		return fmt.Sprintf("has the time %s and not %s", b.ModTime, a.ModTime)
	}
	same := maps.EqualFunc(a.Xattrs, b.Xattrs, bytes.Equal)
	b.ModTime, b.Xattrs = a.ModTime, a.Xattrs
	if !same || fmt.Sprintf("%#v", a) != fmt.Sprintf("%#v", b) {
		return fmt.Sprintf("is %#v and not %#v", b, a)
	}
	return ""
}

func sameContent(ctx context.Context, a, b tree.Tree, path string) error {
	x, err := a.Open(ctx, path)
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := b.Open(ctx, path)
	if err != nil {
		return err
	}
	defer y.Close()
	p, q := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, err1 := io.ReadFull(x, p)
		m, err2 := io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return errors.New("the content differs")
		}
		if err1 != nil || err2 != nil {
			end := func(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
			if end(err1) && end(err2) {
				return nil
			}
			return errors.Join(err1, err2)
		}
	}
}
