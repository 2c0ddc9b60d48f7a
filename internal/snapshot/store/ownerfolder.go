package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// folderLedger keeps each value as files NAME.1, NAME.2, …, of which the highest
// counts. The next one comes into being by link(2), which fails if it is there:
// of all that have read version n, one makes n+1.
//
// There are no locks: a process that stands still while it holds one would keep
// all others from their lease, and on a network file system a lock is lost
// without a word when its server forgets the client. What is relied on is that
// link(2) is atomic on the server, which NFS promises (RFC 8881, section 18.9,
// LINK gives NFS4ERR_EXIST). A client's cache may show an old listing for a minute
// (nfs(5), "acdirmax"): it then takes an old version for the present one, and its
// write fails.
//
// Old files are removed late: a writer that was asleep must find the file that
// refutes it. One that was asleep for longer finds a higher one after its link,
// and takes its own back.
type folderLedger struct{ dir string }

// keepVersions is how many files of a value are kept.
const keepVersions = 64

func openFolderLedger(folder string) (*folderLedger, error) {
	l := &folderLedger{filepath.Join(folder, ownerFolder)}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder for the owners of gateways: %w", err)
	}
	if err := syncDir(folder); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *folderLedger) path(name string, n uint64) string {
	return filepath.Join(l.dir, name+"."+strconv.FormatUint(n, 10))
}

// versions gives the highest version of a value, 0 if there is none, and how many
// files it has.
func (l *folderLedger) versions(name string) (highest uint64, all []uint64, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return 0, nil, err
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), name+".")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(number, 10, 64); err == nil && n > 0 {
			highest = max(highest, n)
			all = append(all, n)
		}
	}
	return highest, all, nil
}

func (l *folderLedger) Read(ctx context.Context, name string) ([]byte, string, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, "", context.Cause(ctx)
		}
		n, _, err := l.versions(name)
		if err != nil || n == 0 {
			return nil, "", err
		}
		value, err := os.ReadFile(l.path(name, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is older than many by now
		}
		return value, strconv.FormatUint(n, 10), err
	}
}

func (l *folderLedger) Write(ctx context.Context, name string, value []byte, ifVersion string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	var before uint64
	if ifVersion != "" {
		var err error
		if before, err = strconv.ParseUint(ifVersion, 10, 64); err != nil {
			return "", fmt.Errorf("%q is no version: %w", ifVersion, err)
		}
	}
	switch n, _, err := l.versions(name); {
	case err != nil:
		return "", err
	case n != before:
		return "", ErrChanged
	}
	return l.follow(name, value, before)
}

// follow makes the version that follows before.
func (l *folderLedger) follow(name string, value []byte, before uint64) (string, error) {
	if err := l.link(name, value, before+1); err != nil {
		return "", err
	}
	n, all, err := l.versions(name)
	switch {
	case err != nil:
		return "", err
	case n > before+1: // see folderLedger
		if err := os.Remove(l.path(name, before+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", ErrChanged
	}
	for _, old := range all {
		if old+keepVersions <= n {
			_ = os.Remove(l.path(name, old)) // a leftover is of no harm, and removed with the next write
		}
	}
	return strconv.FormatUint(before+1, 10), nil
}

// link makes the file of a version, whole and durable, unless there is one.
func (l *folderLedger) link(name string, value []byte, n uint64) (err error) {
	f, err := os.CreateTemp(l.dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(value)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), l.path(name, n))
	switch {
	case errors.Is(err, fs.ErrExist):
		return ErrChanged
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrPermission):
		return &UnfitError{l.dir, "its file system makes no hard links: " + err.Error()}
	case err != nil:
		return err
	}
	return syncDir(l.dir)
}

func (l *folderLedger) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	_, all, err := l.versions(name)
	for _, n := range all {
		if e := os.Remove(l.path(name, n)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func (*folderLedger) Close() error { return nil }
