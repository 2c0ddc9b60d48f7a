package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Change is how two trees differ at a path.
type Change string

// The changes.
const (
	Added   Change = "added"   // only the second tree has it
	Removed Change = "removed" // only the first has it
	Changed Change = "changed"
)

// Aspect is something in which two entries of one path can differ.
type Aspect string

// The aspects.
const (
	AspectKind    Aspect = "kind"
	AspectMode    Aspect = "mode"
	AspectOwner   Aspect = "owner"
	AspectTime    Aspect = "time"
	AspectXattrs  Aspect = "xattrs"
	AspectTarget  Aspect = "target" // of a Symlink
	AspectLink    Aspect = "link"   // which Files are one by hard links
	AspectSize    Aspect = "size"
	AspectContent Aspect = "content"
)

// Difference is one path at which two trees differ.
type Difference struct {
	Path    string
	Change  Change
	Aspects []Aspect // in the order above; none for Added and Removed
	Was, Is Entry    // the zero Entry where there is none
}

func (d Difference) String() string {
	s := fmt.Sprintf("%s %q", d.Change, d.Path)
	for i, a := range d.Aspects {
		s += map[bool]string{true: ": ", false: ", "}[i == 0] + string(a)
		switch a {
		case AspectMode:
			s += fmt.Sprintf(" %v, now %v", d.Was.Mode, d.Is.Mode)
		case AspectOwner:
			s += fmt.Sprintf(" %d:%d, now %d:%d", d.Was.UID, d.Was.GID, d.Is.UID, d.Is.GID)
		case AspectTime:
			s += fmt.Sprintf(" %v, now %v", d.Was.ModTime, d.Is.ModTime)
		case AspectSize:
			s += fmt.Sprintf(" %d, now %d", d.Was.Size, d.Is.Size)
		case AspectLink:
			s += fmt.Sprintf(" to %q, now %q", d.Was.LinkTo, d.Is.LinkTo)
		}
	}
	return s
}

// CompareOptions say what counts. The zero value: everything, and all contents
// are read.
type CompareOptions struct {
	// TrustKeys takes contents whose keys are equal for equal (see Entry.Key),
	// and reads only the others.
	TrustKeys bool
	// Ignore are aspects that do not count.
	Ignore []Aspect
}

// Compare gives the differences between two trees in the order of their paths'
// parts; none: they say the same. Keys are no difference. It keeps the entries
// of both in memory, never contents.
func Compare(ctx context.Context, was, is Tree, o CompareOptions) ([]Difference, error) {
	before, err := collect(ctx, was)
	if err != nil {
		return nil, fmt.Errorf("cannot list the first tree: %w", err)
	}
	after, err := collect(ctx, is)
	if err != nil {
		return nil, fmt.Errorf("cannot list the second tree: %w", err)
	}
	c := comparison{was, is, o}
	var all []Difference
	for path, a := range before {
		b, ok := after[path]
		if !ok {
			all = append(all, Difference{Path: path, Change: Removed, Was: a})
			continue
		}
		aspects, err := c.aspects(ctx, a, b)
		if err != nil {
			return nil, fmt.Errorf("cannot compare %q: %w", path, err)
		}
		if len(aspects) > 0 {
			all = append(all, Difference{Path: path, Change: Changed, Aspects: aspects, Was: a, Is: b})
		}
	}
	for path, b := range after {
		if _, ok := before[path]; !ok {
			all = append(all, Difference{Path: path, Change: Added, Is: b})
		}
	}
	slices.SortFunc(all, func(a, b Difference) int { return ComparePaths(a.Path, b.Path) })
	return all, nil
}

// ComparePaths orders paths part by part, as a walk does: a folder's entries
// come before the next name beside the folder.
func ComparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// collect lists a tree. Hard links are said of the first path of each group, so
// that trees that walk in another order are still the same.
func collect(ctx context.Context, t Tree) (map[string]Entry, error) {
	all, groups := map[string]Entry{}, map[string][]string{}
	for e, err := range t.Walk(ctx) {
		if err != nil {
			return nil, err
		}
		if _, twice := all[e.Path]; twice {
			return nil, &PathError{e.Path, "it comes twice"}
		}
		all[e.Path] = e
		if e.LinkTo != "" {
			groups[e.LinkTo] = append(groups[e.LinkTo], e.Path)
		}
	}
	for leader, others := range groups {
		members := append(others, leader)
		first := slices.MinFunc(members, ComparePaths)
		for _, path := range members {
			e := all[path]
			e.LinkTo = first
			if path == first {
				e.LinkTo = ""
			}
			all[path] = e
		}
	}
	return all, nil
}

type comparison struct {
	was, is Tree
	CompareOptions
}

func (c *comparison) aspects(ctx context.Context, a, b Entry) ([]Aspect, error) {
	var list []Aspect
	say := func(aspect Aspect, differs bool) {
		if differs && !slices.Contains(c.Ignore, aspect) {
			list = append(list, aspect)
		}
	}
	if a.Kind != b.Kind {
		say(AspectKind, true)
		return list, nil
	}
	say(AspectMode, a.Mode != b.Mode && a.Kind != Symlink)
	say(AspectOwner, a.UID != b.UID || a.GID != b.GID)
	say(AspectTime, !a.ModTime.Equal(b.ModTime))
	say(AspectXattrs, !maps.EqualFunc(a.Xattrs, b.Xattrs, bytes.Equal))
	say(AspectTarget, a.Target != b.Target)
	say(AspectLink, a.LinkTo != b.LinkTo)
	if a.Kind != File {
		return list, nil
	}
	say(AspectSize, a.Size != b.Size)
	same := a.Size == b.Size
	if same && !slices.Contains(c.Ignore, AspectContent) && !(c.TrustKeys && a.Key != "" && a.Key == b.Key) {
		var err error
		if same, err = c.sameContent(ctx, a.Path, b.Path); err != nil {
			return nil, err
		}
	}
	say(AspectContent, !same)
	return list, nil
}

func (c *comparison) sameContent(ctx context.Context, a, b string) (same bool, err error) {
	was, err := c.was.Open(ctx, a)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, was.Close()) }()
	is, err := c.is.Open(ctx, b)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, is.Close()) }()
	p, q := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer buffers.Put(p)
	defer buffers.Put(q)
	for {
		n, errA := io.ReadFull(was, *p)
		m, errB := io.ReadFull(is, *q)
		if err := errors.Join(unexpected(errA), unexpected(errB)); err != nil {
			return false, err
		}
		if !bytes.Equal((*p)[:n], (*q)[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			return true, nil
		}
	}
}

// unexpected is an error other than the end.
func unexpected(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
