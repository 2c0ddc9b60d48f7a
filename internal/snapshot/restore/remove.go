package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"creel/internal/crashpoint"
)

// SweepOptions say what may go.
type SweepOptions struct {
	// Verified is the time of the cut of the newest snapshot that was verified:
	// folders that were there before a restore, and were set aside before that,
	// are removed. Zero: there is none.
	Verified time.Time
	// Before is the time before which a folder must have been set aside to be
	// removed whatever there is else. Zero: none is.
	Before time.Time
}

// Sweep removes folders that restores have set aside and that nobody needs any
// more, and gives those that it has removed.
func (r *Restorer) Sweep(ctx context.Context, o SweepOptions) ([]Kept, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.load()
	if err != nil {
		return nil, err
	}
	var gone []Kept
	for i := range j.Kept {
		k := &j.Kept[i]
		replaced := !k.Rejected && !o.Verified.IsZero() && k.Since.Before(o.Verified)
		if replaced || k.Since.Before(o.Before) {
			k.Doomed = true
			gone = append(gone, *k)
		}
	}
	if len(gone) == 0 || ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := r.save(j); err != nil {
		return nil, err
	}
	r.passed(crashpoint.RestoreDoomed)
	return gone, r.removeDoomed(&j)
}

// removeDoomed removes the folders that the journal says are to be removed.
func (r *Restorer) removeDoomed(j *journal) error {
	isDoomed := func(k Kept) bool { return k.Doomed }
	if !slices.ContainsFunc(j.Kept, isDoomed) {
		return nil
	}
	for _, k := range j.Kept {
		if !k.Doomed {
			continue
		}
		if err := removeAll(k.Path); err != nil {
			return &LeftoverError{err}
		}
		removeWork(k.Path)
		r.passed(crashpoint.RestoreRemoved)
	}
	j.Kept = slices.DeleteFunc(j.Kept, isDoomed)
	return r.save(*j)
}

// removeAll removes a folder of ours, also where the permissions inside forbid it.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	werr := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if d != nil && d.IsDir() {
			// A folder is entered after this was called for it.
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	if err = os.RemoveAll(path); err == nil {
		return nil
	}
	return errors.Join(err, werr)
}

// removeWork removes the folder in which a restore has worked inside a target,
// once nothing is in it.
func removeWork(place string) {
	if work := filepath.Dir(place); strings.HasPrefix(filepath.Base(work), insideName) {
		_ = os.Remove(filepath.Join(work, "new")) // empty, after a swap
		_ = os.Remove(filepath.Join(work, "old")) // empty, after it was undone
		_ = os.Remove(work)
	}
}
