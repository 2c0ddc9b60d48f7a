package capture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Defaults of Options.
const (
	// DefaultBudget is how long a gateway should be held still at most.
	DefaultBudget = 25 * time.Millisecond
	// DefaultMaxFreeze is how long it is held still at the very most.
	DefaultMaxFreeze = 2 * time.Second
)

// Root is a state folder.
type Root struct {
	Name   string   // first part of the paths in the cut; no "/"
	Path   string   // absolute; may be a symbolic link to a folder, may be missing
	Ignore []string // patterns as in .gitignore, after those of Options.Ignore
}

// Options say what is captured, and how.
type Options struct {
	Roots []Root
	// Dir is the folder for copies. It is made if it does not exist (mode 0700)
	// and belongs to the Capturer alone.
	Dir string
	// Exclude are folders that are never captured, by absolute path: creel's own
	// data. Dir is always one of them.
	Exclude []string
	// Ignore are patterns as in .gitignore, for every root. Those of the file
	// .creelignore in a root come after them and so win.
	Ignore []string
	// Budget is how long the gateway should be held still; more rounds are made
	// to keep to it. 0: DefaultBudget.
	Budget time.Duration
	// MaxFreeze ends the time for which it is held still, and the capture with
	// it. 0: DefaultMaxFreeze.
	MaxFreeze time.Duration
	// Processes gives the pids of all processes that Still holds still, which are
	// searched for shared mappings. One that cannot be looked into makes every
	// file count as mapped. nil: all processes that may be looked into.
	Processes func(ctx context.Context) ([]int, error)
}

// Still holds everything still that may change the roots, calls do once, and
// lets go, also if do fails or panics, and after a deadline of its own. The
// gateway's supervisor gives it. With no instance running it calls do while it
// makes sure that none is started, and says 0.
//
// ctx bounds the waiting for stillness and is handed to do. When it ends, everything is
// let go at once, whether or not do has returned: a read may hang. The error of do is
// part of the error it returns (errors.Is). One that wraps ErrLetGo is no failure
// yet: what do saw is thrown away, and Still is called again.
type Still func(ctx context.Context, do func(ctx context.Context) error) (frozen time.Duration, err error)

// Progress is told how far a capture has got. Its methods must return at once.
type Progress interface {
	// Total says how much there is to copy; it is called again when that grows.
	Total(files, bytes int64)
	// Done says that so much more has been copied.
	Done(files, bytes int64)
}

type noProgress struct{}

func (noProgress) Total(int64, int64) {}
func (noProgress) Done(int64, int64)  {}

// withDefaults checks the options and fills in what is left out.
func (o Options) withDefaults() (Options, error) {
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.MaxFreeze == 0 {
		o.MaxFreeze = DefaultMaxFreeze
	}
	if o.Budget < 0 || o.MaxFreeze < o.Budget {
		return o, fmt.Errorf("cannot capture with a freeze budget of %v and a maximum of %v: both must be positive, and the maximum not less than the budget", o.Budget, o.MaxFreeze)
	}
	if !filepath.IsAbs(o.Dir) {
		return o, fmt.Errorf("cannot keep copies in %q: the path must be absolute", o.Dir)
	}
	if len(o.Roots) == 0 {
		return o, errors.New("cannot capture: there is no state folder")
	}
	names := map[string]bool{}
	for i, r := range o.Roots {
		if r.Name == "" || r.Name == "." || r.Name == ".." || strings.ContainsAny(r.Name, "/\x00") {
			return o, fmt.Errorf("cannot name a state folder %q: a name without \"/\" is needed", r.Name)
		}
		if names[r.Name] {
			return o, fmt.Errorf("cannot name two state folders %q", r.Name)
		}
		names[r.Name] = true
		if !filepath.IsAbs(r.Path) {
			return o, fmt.Errorf("cannot capture state folder %q: the path must be absolute", r.Path)
		}
		for _, other := range o.Roots[:i] {
			if err := apart(r.Path, other.Path); err != nil {
				return o, err
			}
		}
		if within(r.Path, o.Dir) {
			return o, fmt.Errorf("cannot capture %s: it is inside %s, where the copies are kept", r.Path, o.Dir)
		}
	}
	return o, nil
}

// apart returns an error if one folder is within the other.
func apart(a, b string) error {
	switch {
	case within(a, b):
		return fmt.Errorf("cannot capture both %s and %s: the first is inside the second, which is enough", a, b)
	case within(b, a):
		return fmt.Errorf("cannot capture both %s and %s: the second is inside the first, which is enough", a, b)
	}
	return nil
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	path, dir = filepath.Clean(path), filepath.Clean(dir)
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
