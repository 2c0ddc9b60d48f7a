package tree

import (
	"fmt"
	"strings"
)

// PathError says that the path of an entry cannot be one of a tree, or does not
// fit the entries before it. A tree with such an entry is refused as a whole:
// no capture makes one, so somebody else did.
type PathError struct {
	Path string
	Why  string
}

func (e *PathError) Error() string {
	return fmt.Sprintf("refused the path %q in a tree: %s", e.Path, e.Why)
}

// CheckPath returns a *PathError for a path that Entry.Path forbids.
func CheckPath(path string) error {
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "":
			return &PathError{path, "it has an empty part"}
		case part == "." || part == "..":
			return &PathError{path, fmt.Sprintf("it has the part %q", part)}
		case strings.IndexByte(part, 0) >= 0:
			return &PathError{path, "it has a zero byte"}
		}
	}
	return nil
}

// split gives the path of the directory that an entry is in, and its name there.
// The parent of a root is "".
func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// SplitRoot gives the name of the root that a path is in, and the rest; "": it
// is the root itself.
func SplitRoot(path string) (root, rest string) {
	root, rest, _ = strings.Cut(path, "/")
	return root, rest
}
