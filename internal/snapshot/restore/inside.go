package restore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/snapshot/tree"
)

// inner is how far a root of the way Inside is. Unlike names of whole folders,
// what lies in a target does not say whether it is old or new; so the journal
// says before each step what is being moved.
type inner struct {
	Step step       `json:"step,omitempty"`
	New  attributes `json:"new"` // of the target itself
	Old  attributes `json:"old"`
}

// step is what is being moved.
type step string

const (
	stepNone    step = ""         // nothing yet
	stepOut     step = "out"      // the old state, out of the target
	stepIn      step = "in"       // the new one, into it
	stepDone    step = "done"     //
	stepBackOut step = "back_out" // the new state, out again
	stepBackIn  step = "back_in"  // the old one, in again
	stepUndone  step = "undone"   //
)

// attributes are what a target that keeps its place gets from the restored root.
type attributes struct {
	Mode    fs.FileMode       `json:"mode"`
	UID     uint32            `json:"uid"`
	GID     uint32            `json:"gid"`
	ModTime time.Time         `json:"mtime"`
	Xattrs  map[string][]byte `json:"xattrs,omitempty"`
}

func attributesOf(e tree.Entry) attributes {
	return attributes{e.Mode, e.UID, e.GID, e.ModTime, e.Xattrs}
}

// give makes them those of a folder. What the file system refuses is left: it
// is a folder of the machine's as much as one of the state's.
func (a attributes) give(path string) error {
	_, err := tree.SetAttributes(path, tree.Entry{Path: filepath.Base(path), Kind: tree.Dir, Mode: a.Mode, UID: a.UID, GID: a.GID, ModTime: a.ModTime, Xattrs: a.Xattrs})
	return err
}

// stays names what is never moved: what creel works in, and what fsck(8) puts at
// the top of a file system.
func stays(name string) bool { return IsWork(name) || name == lostFound }

const lostFound = "lost+found"

func (t *root) identifyInside() error {
	e, err := tree.Look(t.Path)
	if err != nil {
		return err
	}
	t.Inner.Step, t.Inner.Old = stepOut, attributesOf(e)
	return nil
}

func (r *Restorer) forwardInside(j *journal, t *root) error {
	if t.Inner.Step == stepOut {
		if err := r.moveAll(t.Path, t.old()); err != nil {
			return err
		}
		if err := r.stepTo(j, t, stepIn); err != nil {
			return err
		}
	}
	if t.Inner.Step == stepIn {
		if err := r.moveAll(t.staged(), t.Path); err != nil {
			return err
		}
		if err := t.Inner.New.give(t.Path); err != nil {
			return err
		}
		return r.stepTo(j, t, stepDone)
	}
	return nil
}

func (r *Restorer) backwardInside(j *journal, t *root) error {
	switch t.Inner.Step {
	case stepNone, stepOut: // nothing new is in the target
		if err := r.stepTo(j, t, stepBackIn); err != nil {
			return err
		}
	case stepIn, stepDone:
		if err := r.stepTo(j, t, stepBackOut); err != nil {
			return err
		}
	}
	if t.Inner.Step == stepBackOut {
		if err := r.moveAll(t.Path, t.rejected()); err != nil {
			return err
		}
		if err := r.stepTo(j, t, stepBackIn); err != nil {
			return err
		}
	}
	if t.Inner.Step == stepBackIn {
		// What had not been moved into the target is rejected too.
		if err := r.moveAll(t.staged(), t.rejected()); err != nil {
			return err
		}
		if err := r.moveAll(t.old(), t.Path); err != nil {
			return err
		}
		if err := t.Inner.Old.give(t.Path); err != nil {
			return err
		}
		return r.stepTo(j, t, stepUndone)
	}
	return nil
}

// stepTo makes what was moved durable, and says what comes next.
func (r *Restorer) stepTo(j *journal, t *root, next step) error {
	for _, dir := range []string{t.Path, t.work(), t.staged(), t.old(), t.rejected()} {
		if err := r.disk.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	t.Inner.Step = next
	if err := r.save(*j); err != nil {
		return err
	}
	r.passed(crashpoint.RestoreRenamed)
	return nil
}

// moveAll moves what is in one folder into another.
func (r *Restorer) moveAll(from, to string) error {
	list, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was never made
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, e := range list {
		if stays(e.Name()) {
			continue
		}
		if err := r.move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
