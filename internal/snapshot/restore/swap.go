package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
)

// identify writes down which folder is which.
func (t *root) identify() (err error) {
	if t.Way == Inside {
		return t.identifyInside()
	}
	if !t.Had {
		return nil
	}
	if t.NewInode, err = inodeOf(t.staged()); err != nil {
		return err
	}
	t.OldInode, err = inodeOf(t.Path)
	return err
}

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// moves is the plan of a swap: what to do next, by which of the folders exist.
// That each step looks, instead of remembering, is what makes it the same
// whether creel has lived through the step before or not.
//
//	forward    P target  N staged   O old    (R rejected)
//	           old       new        –        exchange P N, else rename P O
//	           new       old        –        rename N O
//	           –         new        old      rename N P
//	           new       –          old      done
//
//	backward   old       new        –    –   rename N R
//	           new       old        –    –   exchange P N
//	           –         new        old  –   rename O P
//	           new       –          old  –   exchange P O, else rename P R
//	           old       –          new  –   rename O R
//	           –         –          old  new rename O P
//	           –         –          old  –   rename O P: somebody has removed the new one
//	           old       –          –    new done
//
// Where there was no folder before: rename N P, and back, from either, to R.
type moves struct{ p, n, o, r bool }

func (t *root) look() (m moves, err error) {
	for path, there := range map[string]*bool{t.Path: &m.p, t.staged(): &m.n, t.old(): &m.o, t.rejected(): &m.r} {
		if *there, err = exists(path); err != nil {
			return m, err
		}
	}
	return m, nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// maxSteps bounds the way from any of the states above to its end.
const maxSteps = 4

// forward puts the new folder of a root in its place, from wherever it is.
func (r *Restorer) forward(j *journal, t *root) error {
	if t.Way == Inside {
		return r.forwardInside(j, t)
	}
	return r.run(t, r.stepForward)
}

// backward puts the old folder of a root back in its place.
func (r *Restorer) backward(j *journal, t *root) error {
	if t.Way == Inside {
		return r.backwardInside(j, t)
	}
	return r.run(t, r.stepBackward)
}

func (r *Restorer) run(t *root, step func(*root, moves) (bool, error)) error {
	for range maxSteps {
		m, err := t.look()
		if err != nil {
			return err
		}
		done, err := step(t, m)
		if err != nil {
			return err
		}
		if done {
			return r.disk.syncDir(filepath.Dir(t.Path))
		}
	}
	return fmt.Errorf("%d renames have not been enough: somebody else renames folders there", maxSteps)
}

func (r *Restorer) stepForward(t *root, m moves) (done bool, err error) {
	switch {
	case !t.Had && m == moves{n: true}:
		return false, r.move(t.staged(), t.Path)
	case !t.Had && m == moves{p: true}:
		return true, nil
	case t.Had && m == moves{p: true, n: true}:
		isOld, err := t.isOld(t.staged(), false)
		if err != nil {
			return false, err
		}
		if isOld {
			return false, r.move(t.staged(), t.old())
		}
		return false, r.swapNames(t, t.staged(), t.old())
	case t.Had && m == moves{n: true, o: true}:
		return false, r.move(t.staged(), t.Path)
	case t.Had && m == moves{p: true, o: true}:
		return true, nil
	}
	return false, t.lost(m)
}

func (r *Restorer) stepBackward(t *root, m moves) (done bool, err error) {
	switch {
	case !t.Had && m == moves{n: true}:
		return false, r.move(t.staged(), t.rejected())
	case !t.Had && m == moves{p: true}:
		return false, r.move(t.Path, t.rejected())
	case !t.Had && m == moves{r: true}:
		return true, nil
	case t.Had && m == moves{p: true, n: true}:
		isOld, err := t.isOld(t.staged(), false)
		if err != nil {
			return false, err
		}
		if isOld {
			return false, r.swapNames(t, t.staged(), t.rejected())
		}
		return false, r.move(t.staged(), t.rejected())
	case t.Had && m == moves{n: true, o: true}, t.Had && m == moves{o: true, r: true}:
		return false, r.move(t.old(), t.Path)
	case t.Had && m == moves{o: true}:
		isOld, err := t.isOld(t.old(), true)
		if err != nil {
			return false, err
		}
		if isOld {
			return false, r.move(t.old(), t.Path)
		}
	case t.Had && m == moves{p: true, o: true}:
		// Somebody may have put another folder in the place of the new one: what is old
		// is told by the old one alone.
		back, err := t.isBack()
		if err != nil {
			return false, err
		}
		if back {
			return false, r.move(t.old(), t.rejected())
		}
		isOld, err := t.isOld(t.old(), true)
		if err != nil {
			return false, err
		}
		if isOld {
			return false, r.swapNames(t, t.old(), t.rejected())
		}
		return false, r.move(t.old(), t.rejected())
	case t.Had && m == moves{p: true, r: true}:
		return true, nil
	case t.Had && m == moves{p: true}:
		if back, err := t.isBack(); back || err != nil {
			return back, err
		}
	}
	return false, t.lost(m)
}

// isBack tells whether the old folder is surely in its place.
func (t *root) isBack() (bool, error) {
	if t.NewInode == t.OldInode {
		return false, nil
	}
	inode, err := inodeOf(t.Path)
	return inode == t.OldInode, err
}

// isOld tells whether the folder at path is the old one. Without an exchange it
// is what its name says.
func (t *root) isOld(path string, byName bool) (bool, error) {
	if t.NewInode == t.OldInode {
		return byName, nil
	}
	inode, err := inodeOf(path)
	if err != nil {
		return false, err
	}
	switch inode {
	case t.OldInode:
		return true, nil
	case t.NewInode:
		return false, nil
	}
	return false, fmt.Errorf("cannot tell whether %s is the old or the restored folder, since its file system has given it another inode number (%d; the old one had %d, the restored one %d); rename the right one to %s and remove the other",
		path, inode, t.OldInode, t.NewInode, t.Path)
}

// lost says that the folders are in none of the states that a restore makes.
func (t *root) lost(m moves) error {
	var there []string
	for _, p := range []struct {
		path string
		is   bool
	}{{t.Path, m.p}, {t.staged(), m.n}, {t.old(), m.o}, {t.rejected(), m.r}} {
		if p.is {
			there = append(there, p.path)
		}
	}
	return fmt.Errorf("somebody else has renamed or removed a folder: there is only %q; put the folder that you want in the place of %s",
		strings.Join(there, ", "), t.Path)
}

// swapNames exchanges the target and other. Where that cannot be done in one,
// the target is renamed to aside first; the next step sees that.
func (r *Restorer) swapNames(t *root, other, aside string) error {
	if t.NewInode != t.OldInode {
		err := r.disk.exchange(t.Path, other)
		if err == nil {
			r.passed(crashpoint.RestoreExchanged)
			return nil
		}
		if !cannotExchange(err) {
			return err
		}
	}
	return r.move(t.Path, aside)
}

// cannotExchange tells errors of a kernel, a file system or a filter of system
// calls that does not know RENAME_EXCHANGE.
func cannotExchange(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)
}

func (r *Restorer) move(from, to string) error {
	if err := r.disk.rename(from, to); err != nil {
		return err
	}
	r.passed(crashpoint.RestoreRenamed)
	return nil
}

func exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	return nil
}

// rename renames to a name that nobody has. Plain rename(2) would replace a file
// or an empty folder.
func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err != nil && cannotExchange(err) {
		if there, err := exists(to); err != nil {
			return err
		} else if there {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
		}
		err = unix.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
