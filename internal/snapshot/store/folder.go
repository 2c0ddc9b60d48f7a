package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/sharded"
	"github.com/kopia/kopia/repo/format"
	"golang.org/x/sys/unix"
)

// folderStorage is kopia's layout of a repository in a folder, written so that
// it outlives a power failure: kopia's own does not sync, and a rename that is
// durable before the data is leaves an empty index, which makes the whole
// repository unreadable. A blob here is durable once PutBlob returns.
type folderStorage struct {
	sharded.Storage
	blob.DefaultProviderImplementation
	files *folderFiles
}

var _ blob.Storage = (*folderStorage)(nil)
var _ creator = (*folderStorage)(nil)

func openFolder(path string, now func() time.Time, step func(string)) (*folderStorage, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if step == nil {
		step = func(string) {}
	}
	files := &folderFiles{now: now, step: step}
	return &folderStorage{
		Storage: sharded.New(files, path, sharded.Options{}, true),
		files:   files,
	}, nil
}

// ConnectionInfo is what a stock kopia needs to find the repository.
func (s *folderStorage) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: "filesystem", Config: map[string]string{"path": s.RootPath}}
}

func (s *folderStorage) DisplayName() string { return s.RootPath }

// GetCapacity tells the size of the file system.
func (s *folderStorage) GetCapacity(context.Context) (blob.Capacity, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.RootPath, &st); err != nil {
		return blob.Capacity{}, fmt.Errorf("cannot tell how much space there is at %s: %w", s.RootPath, err)
	}
	size := uint64(st.Bsize)
	return blob.Capacity{SizeB: st.Blocks * size, FreeB: st.Bavail * size}, nil
}

// create writes a blob unless there is one. One of several that do so at once
// wins; the others get blob.ErrBlobAlreadyExists.
func (s *folderStorage) create(ctx context.Context, id blob.ID, data []byte) error {
	_, path, err := s.GetShardedPathAndFilePath(ctx, id)
	if err != nil {
		return err
	}
	err = writeNew(path, data)
	if errors.Is(err, fs.ErrExist) {
		return blob.ErrBlobAlreadyExists
	}
	return err
}

// stranger names something in the folder that no repository has.
func (s *folderStorage) stranger(context.Context) (string, error) {
	entries, err := os.ReadDir(s.RootPath)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if n := e.Name(); n != sharded.ParametersFile && n != ownerFolder && !strings.HasPrefix(n, newPrefix) && !strings.Contains(n, tempMark) {
			return n, nil
		}
	}
	return "", nil
}

// IsRepository tells whether a repository lies in a folder.
func IsRepository(folder string) bool {
	// sharded.Storage puts it at the top, with a suffix.
	_, err := os.Stat(filepath.Join(folder, format.KopiaRepositoryBlobID+".f"))
	return err == nil
}

// tempMark is in the names of files that are being written.
const tempMark = ".tmp."

// sweep removes what a crash has left half written, once it is so old that
// nobody is writing it any more.
func (s *folderStorage) sweep(ctx context.Context, before time.Time) error {
	return filepath.WalkDir(s.RootPath, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed since, by another creel
		case err != nil:
			return err
		case d.IsDir() || !strings.Contains(d.Name(), tempMark) && !strings.HasPrefix(d.Name(), newPrefix):
			return nil
		}
		info, err := d.Info()
		if err == nil && info.ModTime().Before(before) {
			err = os.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// folderFiles reads and writes the files of a folderStorage.
type folderFiles struct {
	now  func() time.Time // nil: the file system's own time
	step func(string)
}

var _ sharded.Impl = (*folderFiles)(nil)

func (*folderFiles) GetBlobFromPath(ctx context.Context, _, path string, offset, length int64, out blob.OutputBuffer) error {
	out.Reset()
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return blob.ErrBlobNotFound
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	if length >= 0 {
		r = io.NewSectionReader(f, offset, length)
	}
	if _, err := io.Copy(out, r); err != nil {
		return err
	}
	return blob.EnsureLengthExactly(out.Length(), length)
}

func (*folderFiles) GetMetadataFromPath(_ context.Context, _, path string) (blob.Metadata, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return blob.Metadata{}, blob.ErrBlobNotFound
	}
	if err != nil {
		return blob.Metadata{}, err
	}
	return blob.Metadata{Length: info.Size(), Timestamp: info.ModTime()}, nil
}

func (s *folderFiles) PutBlobInPath(ctx context.Context, dir, path string, data blob.Bytes, opts blob.PutOptions) error {
	switch {
	case opts.HasRetentionOptions():
		return fmt.Errorf("%w: retention", blob.ErrUnsupportedPutBlobOption)
	case opts.DoNotRecreate:
		return fmt.Errorf("%w: do not recreate", blob.ErrUnsupportedPutBlobOption)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := makeDirs(dir); err != nil {
		return err
	}
	// No blob has such a name. sweep removes what a crash has left.
	f, err := os.CreateTemp(dir, filepath.Base(path)+tempMark+"*")
	if err != nil {
		return err
	}
	s.step("made")
	defer os.Remove(f.Name()) // in vain once it is renamed
	_, err = data.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	stamp := opts.SetModTime
	if stamp.IsZero() && s.now != nil {
		stamp = s.now()
	}
	if !stamp.IsZero() {
		if err := os.Chtimes(f.Name(), stamp, stamp); err != nil {
			return err
		}
	}
	s.step("written")
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	s.step("named")
	if opts.GetModTime != nil {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		*opts.GetModTime = info.ModTime()
	}
	return nil
}

func (s *folderFiles) DeleteBlobInPath(ctx context.Context, _, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.step("deleted")
	return nil
}

func (*folderFiles) ReadDir(ctx context.Context, path string) ([]os.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	infos := make([]os.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// makeDirs is os.MkdirAll whose folders outlive a power failure.
func makeDirs(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case err != nil:
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some network file systems cannot sync folders and say EINVAL.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
