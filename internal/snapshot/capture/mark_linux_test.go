package capture

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMark: a mark is the cut's until something that is captured changes, and
// again afterwards.
func TestMark(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"a": "1", "d/b": "2", "x.lock": "3"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Options{Roots: []Root{{Name: "s", Path: root}}, Dir: t.TempDir(), Ignore: []string{"*.lock"}, MaxFreeze: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	mark := func() string {
		m, err := c.Mark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	cut := func() string {
		cut, err := c.Capture(t.Context(), atRest, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cut.Release(); err != nil {
			t.Fatal(err)
		}
		return cut.Mark
	}
	if before := mark(); cut() != before || mark() != before {
		t.Error("the mark changes though nothing else does")
	}
	for _, change := range []struct {
		name string
		do   func() error
		is   bool
	}{
		{"an excluded file is written", func() error { return os.WriteFile(filepath.Join(root, "y.lock"), nil, 0o644) }, false},
		{"a file is written", func() error { return os.WriteFile(filepath.Join(root, "a"), []byte("other"), 0o644) }, true},
		{"a file is removed", func() error { return os.Remove(filepath.Join(root, "d/b")) }, true},
		{"a folder is made", func() error { return os.Mkdir(filepath.Join(root, "e"), 0o755) }, true},
		{"a mode is changed", func() error { return os.Chmod(filepath.Join(root, "a"), 0o600) }, true},
		{"a time is changed", func() error { return os.Chtimes(filepath.Join(root, "a"), time.Time{}, time.Unix(1, 0)) }, true},
		{"a file is renamed", func() error { return os.Rename(filepath.Join(root, "a"), filepath.Join(root, "c")) }, true},
	} {
		before := mark()
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		if changed := mark() != before; changed != change.is {
			t.Errorf("%s: the mark has changed: %v", change.name, changed)
		}
		if m := mark(); cut() != m {
			t.Errorf("%s: the cut's mark is another", change.name)
		}
	}
}
