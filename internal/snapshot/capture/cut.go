package capture

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"creel/internal/snapshot/tree"
)

// Cut is the state as it was at one instant. It is a tree.Tree until it is
// released.
//
// Walk goes in the order of tree.ComparePaths: what is in a directory comes before
// the next name beside it.
type Cut struct {
	Time   time.Time     // of the cut, UTC
	Frozen time.Duration // how long the gateway was held still, as its supervisor says
	// Copying is the part of Frozen that looking and copying took.
	Copying time.Duration
	Delta   tree.Totals // what was copied meanwhile
	Rounds  int         // that were made before
	// Mark tells this state from others, see Capturer.Mark.
	Mark    string
	Totals  tree.Totals
	Skipped []tree.Skipped
	// Unread counts those of Skipped that their disk, or file system, could not give: the
	// cut lacks what it should have. A folder counts once, with all that is in it.
	Unread int64
	// Excluded counts what patterns keep out.
	Excluded []Excluded
	// OutsideLinks counts files that have hard links outside their root.
	OutsideLinks int

	entries []tree.Entry
	blobs   []string // path of the content of each entry; "": empty, or no file
	byPath  map[string]int

	mu      sync.Mutex
	release func() error // nil: released
}

// Excluded says how much a pattern keeps out of the cut.
type Excluded struct {
	Root    string `json:"root"`
	Pattern string `json:"pattern"` // as it is written
	Source  string `json:"source"`  // where
	Paths   int    `json:"paths"`   // a folder counts once, with all that is in it
	Example string `json:"example"` // the first of them
}

var _ tree.Tree = (*Cut)(nil)

// Walk gives all entries.
func (c *Cut) Walk(ctx context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range c.entries {
			if err := ctx.Err(); err != nil {
				yield(tree.Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Open reads the content of a File.
func (c *Cut) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i, found := c.byPath[path]
	if !found || c.entries[i].Kind != tree.File {
		return nil, fmt.Errorf("cannot open %s in the copy: %w", printable(path), fs.ErrNotExist)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release == nil {
		return nil, fmt.Errorf("cannot open %s in the copy: it has been released", printable(path))
	}
	if c.blobs[i] == "" {
		return nothing{}, nil
	}
	f, err := os.Open(c.blobs[i])
	if err != nil {
		return nil, fmt.Errorf("cannot open %s in the copy: %w", printable(path), err)
	}
	// A copy is never written to again, so this finds the hand of a stranger.
	if info, err := f.Stat(); err != nil || info.Size() != c.entries[i].Size {
		f.Close()
		return nil, fmt.Errorf("cannot open %s in the copy: %s has been changed by something else; take the snapshot again", printable(path), c.blobs[i])
	}
	return f, nil
}

// Release lets go of the copy, so that the next capture can begin. What is
// proved of it is kept as the base of the next one. It may be called again.
func (c *Cut) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release == nil {
		return nil
	}
	release := c.release
	c.release = nil
	return release()
}

// nothing is the content of an empty file.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) Close() error             { return nil }

// printable gives a path as it can be shown.
func printable(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	return strconv.Quote(path)
}
