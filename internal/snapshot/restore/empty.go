package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"creel/internal/snapshot/store"
)

// Empty tells whether state folders hold nothing that a restore could overwrite:
// they are absent, or have no files, only folders (of any depth), what creel
// itself works in (IsWork), and lost+found. Anything else counts as state, a link
// or an empty file too. found is the first such thing; "": they are empty.
//
// Automatic restores go into empty folders only, and so does what is imported.
// They come before an app is configured, since what creel writes as its
// configuration is a file like any other.
func Empty(roots []store.Root) (found string, err error) {
	for _, r := range roots {
		found, err := firstFile(r.Path)
		if err != nil || found != "" {
			return found, err
		}
	}
	return "", nil
}

// errFound ends a walk.
var errFound = errors.New("found")

func firstFile(dir string) (found string, err error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell whether the state folder is empty: %w", err)
	}
	err = filepath.WalkDir(resolved, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			found = path
			return errFound
		case filepath.Dir(path) == resolved && stays(d.Name()):
			return fs.SkipDir
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return "", fmt.Errorf("cannot tell whether the state folder is empty: %w", err)
	}
	return found, nil
}
