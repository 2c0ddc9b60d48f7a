package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// IgnoreFile is the name of a file in a root that says, as .gitignore does, what
// is not captured. It is captured itself.
const IgnoreFile = ".creelignore"

// DefaultIgnore are patterns for any gateway: what is worth nothing without the
// process that made it, or is made anew.
//
// Lock files in general are not among them: yarn.lock, Cargo.lock and their like
// are data.
var DefaultIgnore = []string{
	// SQLite's index of the write-ahead log, in shared memory. The first process
	// that opens the database makes it anew from the log; a copy of it from a
	// running process holds locks of processes that are gone, and as a mapped
	// file it would have to be copied with the gateway held still, always.
	"*.sqlite-shm", "*.sqlite3-shm", "*.db-shm", "*.db3-shm",
	// Caches, by the names that their makers agreed on.
	"/.cache/", "/.npm/", "/.bun/install/cache/", "/.local/share/pnpm/store/", "/.yarn/berry/cache/",
	"node-compile-cache/", "**/node_modules/.cache/", "__pycache__/",
	// Files of NFS and FUSE that stand for open files that were removed.
	".nfs[0-9a-f]*", ".fuse_hidden*",
}

// rule is one pattern.
type rule struct {
	text   string // as it is written
	source string // where, for people
	glob   string
	// anchored: glob is matched with the path below the root, not with the name.
	anchored bool
	dirOnly  bool
	negated  bool
}

// rules are patterns in the order of their weight: the last that matches wins.
type rules struct{ list []rule }

// rulesFor gives the patterns of one root.
func rulesFor(path string, common, own []string) (*rules, error) {
	var all rules
	for _, part := range []struct {
		source string
		lines  []string
	}{{"the configuration", common}, {"the configuration", own}} {
		list, err := parseRules(part.lines, part.source)
		if err != nil {
			return nil, err
		}
		all.list = append(all.list, list...)
	}
	file := filepath.Join(path, IgnoreFile)
	text, err := readIgnoreFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell what to leave out of the snapshot: %w", err)
	}
	list, err := parseRules(strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n"), file)
	if err != nil {
		return nil, err
	}
	all.list = append(all.list, list...)
	return &all, nil
}

// maxIgnoreFile is far more than anyone writes.
const maxIgnoreFile = 1 << 20

// readIgnoreFile reads a .creelignore. The gateway can put anything in its place:
// a FIFO must not make creel wait, and a link must not make it read elsewhere.
func readIgnoreFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIgnoreFile {
		return "", fmt.Errorf("%s has to be a plain file of at most %d bytes", path, maxIgnoreFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxIgnoreFile))
	return string(text), err
}

// parseRules reads lines of the form of gitignore(5).
func parseRules(lines []string, source string) ([]rule, error) {
	var list []rule
	for _, line := range lines {
		if strings.ContainsAny(line, "\x00\n") {
			return nil, fmt.Errorf("cannot use the pattern %q of %s: one pattern to a line", line, source)
		}
		glob := trimBlanks(strings.TrimSuffix(line, "\r"))
		if glob == "" || glob[0] == '#' {
			continue
		}
		r := rule{text: glob, source: source}
		if glob[0] == '!' {
			r.negated, glob = true, glob[1:]
		}
		if strings.HasSuffix(glob, "/") {
			r.dirOnly, glob = true, glob[:len(glob)-1]
		}
		r.anchored = strings.Contains(glob, "/")
		r.glob = strings.TrimPrefix(glob, "/")
		if r.glob != "" {
			list = append(list, r)
		}
	}
	return list, nil
}

// trimBlanks removes blanks at the end that are not escaped.
func trimBlanks(s string) string {
	for strings.HasSuffix(s, " ") {
		rest := strings.TrimSuffix(s, " ")
		escapes := len(rest) - len(strings.TrimRight(rest, `\`))
		if escapes%2 == 1 {
			break
		}
		s = rest
	}
	return s
}

// match gives the index of the rule that excludes a path below a root, or
// notIgnored. Its parents are not excluded: whoever walks does not go into a
// directory that is.
func (r *rules) match(path string, isDir bool) int {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for i := len(r.list) - 1; i >= 0; i-- {
		rule := &r.list[i]
		if rule.dirOnly && !isDir {
			continue
		}
		if rule.matches(path, name) {
			if rule.negated {
				return notIgnored
			}
			return i
		}
	}
	return notIgnored
}

// matches says whether the rule's pattern is that of a path, or of its last part.
func (r *rule) matches(path, name string) bool {
	if !r.anchored {
		return wildmatch(r.glob, name, false)
	}
	// As git does it, what is literal at the beginning is compared first, and a
	// "**" right after it counts as one at the beginning: "a**/b" matches "abc/b".
	n := strings.IndexAny(r.glob, `*?[\`)
	if n < 0 {
		return r.glob == path
	}
	rest, found := strings.CutPrefix(path, r.glob[:n])
	return found && wildmatch(r.glob[n:], rest, true)
}

// What node.rule and match say if it is no rule.
const (
	unruled    = -2 // not asked yet
	notIgnored = -1
)
