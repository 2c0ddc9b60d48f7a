package moltworker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/KarpelesLab/squashfs"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"creel/internal/snapshot/tree"
)

// maxBlock is the largest block of an image, before compression.
const maxBlock = 1 << 20

// decompressors teaches the reader what it has only by build tags, or not at
// all. Which of them made an image depends on the version that moltworker ran.
var decompressors = sync.OnceFunc(func() {
	register(squashfs.LZ4, func(b []byte) ([]byte, error) {
		out := make([]byte, maxBlock) // squashfs has bare blocks, not frames
		n, err := lz4.UncompressBlock(b, out)
		if err != nil {
			return nil, err
		}
		return out[:n:n], nil
	})
	register(squashfs.ZSTD, reading(func(r io.Reader) (io.Reader, func(), error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	}))
	register(squashfs.XZ, reading(func(r io.Reader) (io.Reader, func(), error) {
		d, err := xz.NewReader(r)
		return d, func() {}, err
	}))
})

func register(method squashfs.Compression, d squashfs.Decompressor) {
	squashfs.RegisterCompHandler(method, &squashfs.CompHandler{Decompress: d})
}

func reading(open func(io.Reader) (io.Reader, func(), error)) squashfs.Decompressor {
	return func(b []byte) ([]byte, error) {
		r, end, err := open(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		defer end()
		return io.ReadAll(io.LimitReader(r, maxBlock))
	}
}

// fromImage takes the files of an image of the layout Snapshot, which has been
// downloaded to f; it stays open until they are written.
func fromImage(ctx context.Context, f *os.File) (*files, error) {
	decompressors()
	img, err := squashfs.New(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read the image: %w", err)
	}
	top, err := img.FindInode("", false)
	if err != nil {
		return nil, fmt.Errorf("cannot read the image: %w", err)
	}
	w := imageWalk{ctx: ctx, files: newFiles(time.Unix(int64(top.ModTime), 0)), first: map[uint32]string{}}
	if err := w.walk(top, ""); err != nil {
		return nil, fmt.Errorf("cannot read the image: %w", err)
	}
	return w.files, nil
}

// imageWalk is a walk through an image.
type imageWalk struct {
	ctx   context.Context
	files *files
	first map[uint32]string // path of the first link, by inode
}

func (w *imageWalk) walk(dir *squashfs.Inode, at string) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	d, ok := dir.OpenFile(at).(fs.ReadDirFile)
	if !ok {
		return fmt.Errorf("%q is no folder", at)
	}
	list, err := d.ReadDir(-1)
	if err != nil && err != io.EOF {
		return fmt.Errorf("cannot list %q: %w", at, err)
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("cannot look at %q in %q: %w", e.Name(), at, err)
		}
		inode, ok := info.Sys().(*squashfs.Inode)
		if !ok {
			return errors.New("the reader of images gives no inodes")
		}
		if err := w.take(inode, info, e.Name(), at); err != nil {
			return err
		}
	}
	return nil
}

func (w *imageWalk) take(inode *squashfs.Inode, info fs.FileInfo, name, dir string) error {
	if strings.Contains(name, "/") || name == ".." || name == "." {
		w.files.skip(dir+"/"+name, "no name of a file system")
		return nil
	}
	at := path.Join(dir, name)
	if rest, isState := strings.CutPrefix(at, ".openclaw/"); isState && info.Mode().IsRegular() {
		if at, isState = state(rest); !isState {
			return nil
		}
	}
	i := item{Entry: tree.Entry{Mode: info.Mode() & tree.ModeBits, ModTime: info.ModTime().UTC()}}
	switch info.Mode().Type() {
	case 0:
		i.Kind, i.Size = tree.File, info.Size()
		i.open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(inode, 0, i.Size)), nil
		}
		var linked bool
		if i.LinkTo, linked = w.first[inode.Ino]; !linked {
			w.first[inode.Ino] = rootName + "/" + at
		}
	case fs.ModeDir:
		i.Kind = tree.Dir
	case fs.ModeSymlink:
		i.Kind, i.Target = tree.Symlink, string(inode.SymTarget)
	case fs.ModeNamedPipe:
		i.Kind = tree.FIFO
	default:
		w.files.skip(at, "a socket, or a device")
		return nil
	}
	w.files.add(at, i)
	if i.Kind == tree.Dir {
		return w.walk(inode, at)
	}
	return nil
}

// download copies an object to a file without a name, which goes away with its
// last descriptor.
func download(ctx context.Context, b Bucket, key, dir string) (f *os.File, err error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err = os.CreateTemp(dir, "import-*.sqsh")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = io.Copy(f, bound{ctx, r})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot download %s: %w", key, err), f.Close())
	}
	return f, nil
}

// bound is a reader that ends with its context.
type bound struct {
	ctx context.Context
	r   io.Reader
}

func (b bound) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.r.Read(p)
}
