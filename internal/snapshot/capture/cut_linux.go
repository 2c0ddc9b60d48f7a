package capture

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"creel/internal/snapshot/tree"
)

// builder makes a Cut of what the last round saw.
type builder struct {
	*session
	cut   *Cut
	root  *walked
	first map[*inode]string // the first path of a file, within a root
	names map[*inode]uint32 // how many it has there
	rules []int             // index in cut.Excluded + 1, by rule
}

// cut makes the Cut of a round. It owns the folder from then on.
func (s *session) cut(r *round) (*Cut, error) {
	b := &builder{session: s, cut: &Cut{Mark: s.mark(), byPath: map[string]int{}}}
	roots := slices.Clone(s.roots)
	slices.SortFunc(roots, func(x, y walked) int { return strings.Compare(x.Name, y.Name) })
	for i := range roots {
		b.root = &roots[i]
		b.first, b.names = map[*inode]string{}, map[*inode]uint32{}
		b.rules = make([]int, len(b.root.ignore.list))
		if b.root.top == nil {
			b.skipped(b.root.Name, &node{skip: "there is no such folder: " + b.root.Path})
			continue
		}
		b.add(b.root.top, b.root.Name)
		b.under(b.root.top, b.root.Name)
		for in, n := range b.names {
			if in.Stamp.Nlink > n {
				b.cut.OutsideLinks++
			}
		}
	}
	folder := s.folder
	b.cut.release = func() error {
		folder.close()
		return nil
	}
	return b.cut, nil
}

// under adds what is in a directory.
func (b *builder) under(n *node, path string) {
	if n.skip != "" {
		b.skipped(path, n)
	}
	for _, c := range n.children {
		at := path + "/" + c.name
		switch {
		case c.rule >= 0:
			b.excluded(c.rule, at)
		case c.in == nil, c.lost && c.kind() != tree.Dir:
			b.skipped(at, c)
		default:
			b.add(c, at)
			if c.kind() == tree.Dir {
				b.under(c, at)
			}
		}
	}
}

// add adds an entry.
func (b *builder) add(n *node, path string) {
	in := n.in
	e := tree.Entry{
		Path: path, Kind: n.kind(), Mode: in.Stamp.mode(), UID: in.Stamp.UID, GID: in.Stamp.GID,
		ModTime: time.Unix(0, in.Stamp.Mtime).UTC(), Target: in.Target, Xattrs: in.Xattrs,
	}
	blob := ""
	if e.Kind == tree.File {
		e.Size = in.Stamp.Size
		if in.Blob != 0 {
			blob = filepath.Join(b.Dir, "blobs", blobName(in.Blob))
			e.Key = b.folder.epoch + "-" + strconv.FormatUint(in.Blob, 16)
		}
		if in.Stamp.Nlink > 1 {
			b.names[in]++
			if first, found := b.first[in]; found {
				e.LinkTo = first
			} else {
				b.first[in] = path
			}
		}
	}
	b.cut.byPath[path] = len(b.cut.entries)
	b.cut.entries = append(b.cut.entries, e)
	b.cut.blobs = append(b.cut.blobs, blob)
	b.cut.Totals.Add(e)
}

// skipped says that a node, or what is in it, is not in the cut. What its disk did not give
// comes first: of a long list only the beginning is kept.
func (b *builder) skipped(path string, n *node) {
	s := tree.Skipped{Path: printable(path), Reason: n.skip}
	if n.lost {
		b.cut.Skipped = slices.Insert(b.cut.Skipped, int(b.cut.Unread), s)
		b.cut.Unread++
		return
	}
	b.cut.Skipped = append(b.cut.Skipped, s)
}

func (b *builder) excluded(rule int, path string) {
	if b.rules[rule] == 0 {
		r := b.root.ignore.list[rule]
		b.cut.Excluded = append(b.cut.Excluded, Excluded{
			Root: b.root.Name, Pattern: r.text, Source: r.source, Example: printable(path),
		})
		b.rules[rule] = len(b.cut.Excluded)
	}
	b.cut.Excluded[b.rules[rule]-1].Paths++
}
