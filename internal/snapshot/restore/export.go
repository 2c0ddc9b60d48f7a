package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// NotEmptyError says that a folder which is to be filled holds something.
type NotEmptyError struct {
	Dir   string
	Found string // the first of it
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("the folder %s is not empty (%s); name another one, or one that does not exist", e.Dir, e.Found)
}

// Export writes the files of a snapshot into a plain folder, which must be absent
// or empty: the content of a single root right into it, that of several into
// dir/<name of the root>. With an error what was written is removed.
func Export(ctx context.Context, files store.Files, dir string, p store.Progress) (written tree.Written, err error) {
	snapshot := files.Snapshot()
	dir, err = filepath.Abs(dir)
	if err != nil {
		return written, err
	}
	made, err := newFolder(dir)
	if err != nil {
		return written, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot export snapshot %s to %s: %w", snapshot.ID, dir, errors.Join(err, clear(dir, made)))
		}
	}()
	dirs := map[string]string{}
	for _, r := range snapshot.Roots {
		dirs[r.Name] = filepath.Join(dir, r.Name)
		if len(snapshot.Roots) == 1 {
			dirs[r.Name] = dir
		}
	}
	o := tree.WriteOptions{Sync: true}
	if p != nil {
		p.Total(snapshot.Totals.Files, snapshot.Totals.Bytes)
		o.Done = p.Done
	}
	return tree.Write(ctx, files, dirs, o)
}

// newFolder makes a folder, or finds it empty.
func newFolder(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	list, err := os.ReadDir(dir)
	if err == nil && len(list) > 0 {
		err = &NotEmptyError{dir, list[0].Name()}
	}
	return false, err
}

// clear removes what is in a folder, and the folder itself if it was made.
func clear(dir string, made bool) error {
	if made {
		return removeAll(dir)
	}
	list, err := os.ReadDir(dir)
	for _, e := range list {
		err = errors.Join(err, removeAll(filepath.Join(dir, e.Name())))
	}
	return err
}
