package restore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"creel/internal/crashpoint"
	"creel/internal/snapshot/sqlite"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// StageOptions say how a restore is staged. The zero value is fine.
type StageOptions struct {
	// Progress is told how far it is; may be nil.
	Progress store.Progress
	// AcceptDamaged restores databases that are damaged, too, when the
	// alternative is to have none. They are named in Staged.Damaged.
	AcceptDamaged bool
	// IgnoreSpace leaves out the look for free space, which counts the holes
	// of sparse files.
	IgnoreSpace bool
}

// Staged is a state that lies ready, whole and durable, beside the present one.
// One of Swap and Discard comes next.
type Staged struct {
	Snapshot store.Snapshot
	Totals   tree.Totals
	// Losses is what the file systems here cannot have, see tree.Written.
	Losses     []tree.Loss
	MoreLosses int
	Databases  int // that were found whole
	// Unchecked are databases that only their app can check.
	Unchecked []*sqlite.UncheckableError
	// Damaged are databases that are damaged and were accepted.
	Damaged []*sqlite.DamagedError

	r  *Restorer
	id string
}

// DatabasesError says that databases of a snapshot are damaged.
type DatabasesError struct {
	Snapshot store.ID
	Damaged  []*sqlite.DamagedError // paths are those in the snapshot
}

func (e *DatabasesError) Error() string {
	s := fmt.Sprintf("snapshot %s holds damaged databases", e.Snapshot)
	for i, d := range e.Damaged {
		s += map[bool]string{true: ": ", false: "; "}[i == 0] + d.Error()
	}
	return s + "; restore an earlier snapshot, or this one as it is with --accept-damaged"
}

// Stage writes the files of a snapshot beside the state folders, checks them and
// makes them durable. The state itself is not touched, so that the gateway may
// run meanwhile. Errors that callers branch on: *RootsError, *SpaceError,
// *DatabasesError, *UnderWayError, *JournalError, and those of the store. With an
// error, or when ctx ends, what was written is removed.
func (r *Restorer) Stage(ctx context.Context, files store.Files, roots []store.Root, o StageOptions) (*Staged, error) {
	snapshot := files.Snapshot()
	op := &operation{Phase: Staging, Snapshot: snapshot.ID, Begun: r.now().UTC()}
	op.ID = op.Begun.Format("20060102T150405Z") + fmt.Sprintf("-%04x", rand.N(1<<16))
	s := &Staged{Snapshot: snapshot, r: r, id: op.ID}
	err := r.discardAbandoned() // it takes room
	if err == nil {
		err = r.plan(op, snapshot, roots)
	}
	if err == nil {
		err = s.survey(ctx, files, op, o)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot restore snapshot %s: %w", snapshot.ID, err)
	}
	if err := r.begin(op); err != nil {
		return nil, err
	}
	r.passed(crashpoint.RestoreStaging)
	if err := s.write(ctx, files, op, o); err != nil {
		err = fmt.Errorf("cannot restore snapshot %s; the state was not touched: %w", snapshot.ID, err)
		return nil, errors.Join(err, s.Discard())
	}
	r.passed(crashpoint.RestoreStaged)
	return s, nil
}

// plan finds the target of each root.
func (r *Restorer) plan(op *operation, snapshot store.Snapshot, roots []store.Root) error {
	to, err := match(snapshot.Roots, roots)
	if err != nil {
		return err
	}
	for _, s := range snapshot.Roots {
		t, err := r.locate(s.Name, to[s.Name], op.ID)
		if err != nil {
			return err
		}
		op.Roots = append(op.Roots, t)
	}
	return disjoint(op.Roots)
}

// survey reads the list of files before anything is written.
func (s *Staged) survey(ctx context.Context, files store.Files, op *operation, o StageOptions) error {
	need := map[string]int64{}
	for e, err := range files.Walk(ctx) {
		if err != nil {
			return err
		}
		name, rest := tree.SplitRoot(e.Path)
		need[name] += onDisk(e)
		s.Totals.Add(e)
		if rest != "" {
			continue
		}
		for _, t := range op.Roots {
			if t.Name == name && t.Inner != nil {
				t.Inner.New = attributesOf(e)
			}
		}
	}
	if want := s.Snapshot.Totals; s.Totals != want {
		return &store.DamagedError{ID: s.Snapshot.ID, Err: fmt.Errorf("its list has %+v, and it should have %+v", s.Totals, want)}
	}
	if o.Progress != nil {
		o.Progress.Total(s.Totals.Files, s.Totals.Bytes)
	}
	if o.IgnoreSpace {
		return nil
	}
	return space(op.Roots, need)
}

// begin writes the restore down.
func (r *Restorer) begin(op *operation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.load()
	if err != nil {
		return err
	}
	if j.Now != nil {
		return &UnderWayError{j.Now.Phase, j.Now.Snapshot}
	}
	j.Now = op
	if err := r.save(j); err != nil {
		r.abandoned, j.Now = op.ID, nil
		return errors.Join(err, r.save(j)) // it may be there nevertheless
	}
	r.own = op.ID
	return nil
}

func (s *Staged) write(ctx context.Context, files store.Files, op *operation, o StageOptions) error {
	dirs := map[string]string{}
	for _, t := range op.Roots {
		dirs[t.Name] = t.staged()
		if t.Way == Inside {
			if err := os.Mkdir(t.work(), 0o700); err != nil {
				return err
			}
		}
	}
	var mu sync.Mutex
	var databases []string
	done := func(int64, int64) {}
	if o.Progress != nil {
		done = o.Progress.Done
	}
	written, err := s.r.disk.write(ctx, files, dirs, tree.WriteOptions{
		Sync: true,
		Done: done,
		Head: func(e tree.Entry, head []byte) {
			if sqlite.Is(head) {
				mu.Lock()
				defer mu.Unlock()
				databases = append(databases, e.Path)
			}
		},
	})
	if err != nil {
		return err
	}
	s.Losses, s.MoreLosses = written.Losses, written.MoreLosses
	if written.Files != s.Totals.Files || written.Dirs != s.Totals.Dirs {
		return fmt.Errorf("%d files and %d folders were written, and the snapshot lists %d and %d", written.Files, written.Dirs, s.Totals.Files, s.Totals.Dirs)
	}
	s.r.passed(crashpoint.RestoreWritten)
	slices.Sort(databases)
	return s.check(ctx, databases, op, o)
}

// check checks the databases. On a copy, where they have logs, which is removed.
func (s *Staged) check(ctx context.Context, databases []string, op *operation, o StageOptions) (err error) {
	for _, path := range databases {
		name, rest := tree.SplitRoot(path)
		t := op.Roots[slices.IndexFunc(op.Roots, func(t *root) bool { return t.Name == name })]
		err := os.Mkdir(t.scratch(), 0o700)
		if err == nil {
			err = sqlite.Check(ctx, filepath.Join(t.staged(), rest), t.scratch())
			err = errors.Join(err, os.Remove(t.scratch()))
		}
		damaged, isDamaged := errors.AsType[*sqlite.DamagedError](err)
		unchecked, isUnchecked := errors.AsType[*sqlite.UncheckableError](err)
		switch {
		case isDamaged:
			damaged.Path = path
			s.Damaged = append(s.Damaged, damaged)
		case isUnchecked:
			unchecked.Path = path
			s.Unchecked = append(s.Unchecked, unchecked)
		case err != nil:
			return err
		default:
			s.Databases++
		}
	}
	if len(s.Damaged) > 0 && !o.AcceptDamaged {
		return &DatabasesError{s.Snapshot.ID, s.Damaged}
	}
	return nil
}

// Discard removes what was staged.
func (s *Staged) Discard() error {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.loadAt(Staging, s.id)
	if err != nil {
		return err
	}
	return r.discard(&j)
}
