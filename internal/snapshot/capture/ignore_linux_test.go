package capture

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// git is the authority on gitignore(5).
type git struct {
	dir   string
	paths []string // of all files and folders; folders end in "/"
}

func newGit(t testing.TB, paths []string) *git {
	t.Helper()
	g := &git{dir: t.TempDir()}
	seen := map[string]bool{}
	for _, p := range paths {
		put(t, filepath.Join(g.dir, p), "")
		for d := filepath.Dir(p); d != "."; d = filepath.Dir(d) {
			seen[d+"/"] = true
		}
		seen[p] = true
	}
	for p := range seen {
		g.paths = append(g.paths, p)
	}
	slices.Sort(g.paths)
	if out, err := g.run("", "init", "-q"); err != nil {
		t.Fatalf("this test needs git: %v\n%s", err, out)
	}
	return g
}

func (g *git) run(in string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", append([]string{"-C", g.dir, "-c", "core.excludesFile=/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	cmd.Stdin = strings.NewReader(in)
	return cmd.Output()
}

// ignored gives the paths that git ignores.
func (g *git) ignored(t testing.TB, patterns string) []string {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(g.dir, ".gitignore"), []byte(patterns), 0o644))
	var in strings.Builder
	for _, p := range g.paths {
		in.WriteString(strings.TrimSuffix(p, "/") + "\x00")
	}
	out, err := g.run(in.String(), "check-ignore", "--no-index", "-z", "--stdin")
	if exit, failed := errors.AsType[*exec.ExitError](err); failed && exit.ExitCode() > 1 || err != nil && !failed {
		t.Fatalf("git check-ignore: %v", err)
	}
	var list []string
	for name := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		if len(name) > 0 {
			list = append(list, string(name))
		}
	}
	slices.Sort(list)
	return list
}

// ours gives the paths that a walk leaves out.
func (g *git) ours(t testing.TB, patterns string) []string {
	t.Helper()
	parsed, err := parseRules(strings.Split(patterns, "\n"), "test")
	must(t, err)
	r := rules{parsed}
	var list []string
	out := map[string]bool{}
	for _, p := range g.paths {
		path := strings.TrimSuffix(p, "/")
		if out[filepath.Dir(path)] || r.match(path, path != p) != notIgnored {
			out[path] = true
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return list
}

var gitPaths = []string{
	"a", "b", "ab", "abc", "d/a", "d/b", "d/d/a", "d/d/d/ab", "e/a b", "e/a ", "e/#x", "e/!x", "#x", "!x", "x]",
	"e/[ab]", "e/a*b", `e/a\b`, "f/d/a", "f/ab/c", "f/ab/abc", "a.lock", "d/a.lock", "d/.hidden", ".hidden/x", "A", "e/é", "e/-", "e/1",
}

// Whatever is written in a .creelignore means what git takes it for.
func TestIgnoreAsGit(t *testing.T) {
	g := newGit(t, gitPaths)
	token := rapid.SampledFrom([]string{
		"a", "b", "ab", "c", "d", "e", "f", "/", "/", "*", "**", "**/", "/**", "/**/", "?", "[ab]", "[!a]", "[^a]", "[a-c]", "[]ab]",
		"[[:alpha:]]", "[[:digit:]-]", "[a", `\`, `\a`, `\*`, `\#`, `\!`, " ", `\ `, ".lock", ".", "#", "x", "!", "é", "[[:nope:]]", "[b-a]", `[\]]`, "]", "-",
	})
	line := rapid.Custom(func(t *rapid.T) string {
		s := strings.Join(rapid.SliceOfN(token, 1, 6).Draw(t, "tokens"), "")
		return rapid.SampledFrom([]string{"", "", "", "!"}).Draw(t, "sign") + s + rapid.SampledFrom([]string{"", "", "/", " ", "\r"}).Draw(t, "end")
	})
	rapid.Check(t, func(rt *rapid.T) {
		patterns := strings.Join(rapid.SliceOfN(line, 1, 5).Draw(rt, "lines"), "\n")
		if got, want := g.ours(t, patterns), g.ignored(t, patterns); !slices.Equal(got, want) {
			rt.Fatalf("%q leaves out\n%q, git\n%q", patterns, got, want)
		}
	})
}

// Patterns are matched a root at a time, the root's own file wins, and what they
// keep out is counted.
func TestIgnore(t *testing.T) {
	c, root := newCapturer(t, func(o *Options) {
		o.Ignore = []string{"*.tmp", "/cache/", "keep/"}
		o.Roots[0].Ignore = []string{"only-here"}
	})
	put(t, root+"/"+IgnoreFile, "\ufeff# what need not be saved\r\nbig/\r\n!keep/\r\n!keep.tmp\r\n")
	for _, f := range []string{"a.tmp", "d/b.tmp", "keep.tmp", "cache/x", "cache/y", "d/cache/z", "big/x", "d/big/y", "keep/z", "only-here", "kept"} {
		put(t, root+"/"+f, f)
	}
	cut := mustCapture(t, c)
	want := live(t, "home", root)
	for _, p := range []string{"a.tmp", "d/b.tmp", "cache", "cache/x", "cache/y", "big", "big/x", "d/big", "d/big/y", "only-here"} {
		if want["home/"+p] == "" {
			t.Fatalf("no %s", p)
		}
		delete(want, "home/"+p)
	}
	same(t, contents(t, cut), want)
	file := filepath.Join(root, IgnoreFile)
	slices.SortFunc(cut.Excluded, func(a, b Excluded) int { return strings.Compare(a.Pattern, b.Pattern) })
	if want := []Excluded{
		{"home", "*.tmp", "the configuration", 2, "home/a.tmp"},
		{"home", "/cache/", "the configuration", 1, "home/cache"},
		{"home", "big/", file, 2, "home/big"},
		{"home", "only-here", "the configuration", 1, "home/only-here"},
	}; !slices.Equal(cut.Excluded, want) {
		t.Errorf("excluded\n%+v, want\n%+v", cut.Excluded, want)
	}
}

// Whatever stands in the place of a .creelignore, a capture ends.
func TestOddIgnoreFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"fifo":   func(p string) error { return unix.Mkfifo(p, 0o600) },
		"link":   func(p string) error { return os.Symlink("/dev/zero", p) },
		"folder": func(p string) error { return os.Mkdir(p, 0o755) },
		"huge":   func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o644), os.Truncate(p, 1<<40)) },
	} {
		c, root := newCapturer(t)
		must(t, make(root+"/"+IgnoreFile))
		if _, err := c.Capture(t.Context(), atRest, nil); err == nil || !strings.Contains(err.Error(), IgnoreFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The defaults keep data, and leave out what is made anew.
func TestDefaultIgnore(t *testing.T) {
	list, err := parseRules(DefaultIgnore, "defaults")
	must(t, err)
	r := rules{list}
	for path, out := range map[string]bool{
		"state/openclaw.sqlite-shm": true, "x.db-shm": true,
		"state/openclaw.sqlite-wal": false, "state/openclaw.sqlite": false, "q.sqlite-journal": false,
		"project/yarn.lock": false, "project/Cargo.lock": false, "project/.npmrc": false,
		"project/cache": false, "logs": false, "x.tmp": false,
	} {
		if got := r.match(path, false) != notIgnored; got != out {
			t.Errorf("%s is left out: %v, want %v", path, got, out)
		}
	}
	for path, out := range map[string]bool{".cache": true, "project/.cache": false, ".npm": true, "project/node_modules": false, "project/node_modules/.cache": true} {
		if got := r.match(path, true) != notIgnored; got != out {
			t.Errorf("%s is left out: %v, want %v", path, got, out)
		}
	}
}
