package restore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// Restorer restores the state of one gateway. Its methods may be called from any
// goroutine.
type Restorer struct {
	folder string
	disk   disk
	now    func() time.Time
	passed func(crashpoint.Point)

	mu sync.Mutex // held while the journal is read and changed, and while folders are swapped
	// own is the id of what this Restorer is staging, or has staged: no other creel's that
	// has died; "": nothing.
	own string
	// abandoned is the id of what was staged, is not wanted any more, and could not be
	// discarded whole; "": there is none.
	abandoned string
}

// New makes a Restorer whose journal lies in folder, which must exist and belong
// to one gateway and one creel.
func New(folder string) *Restorer {
	return &Restorer{folder: folder, disk: realDisk, now: time.Now, passed: crashpoint.Passed}
}

// OnPassed has f called at each of its points, in place of those who look at all
// of them. It is for tests that have creel die there, and comes before any other
// call.
func (r *Restorer) OnPassed(f func(crashpoint.Point)) { r.passed = f }

// UnderWayError says that an earlier restore has not come to its end.
type UnderWayError struct {
	Phase    Phase
	Snapshot store.ID
}

func (e *UnderWayError) Error() string {
	if e.Phase == Staging {
		return fmt.Sprintf("another restore, of snapshot %s, is being prepared; let it end, or start creel again if it was cut short", e.Snapshot)
	}
	return fmt.Sprintf("a restore of snapshot %s is under way (%s); it has to be confirmed or undone first", e.Snapshot, e.Phase)
}

// ErrMoving is returned where the supervisor's word that no instance runs is
// missing, or does not hold any more.
var ErrMoving = errors.New("nobody vouches that no instance of the gateway runs")

func holds(still gateway.Stillness) error {
	if !still.Holds() {
		return ErrMoving
	}
	return nil
}

// ErrNotUnderWay is returned where there is no restore to confirm, undo or swap.
var ErrNotUnderWay = errors.New("no such restore is under way")

// Status is what the journal says, for people.
type Status struct {
	Phase    Phase // empty: no restore is under way
	Snapshot store.ID
	Begun    time.Time
	Kept     []Kept // what was set aside and takes room
}

// Status reads the journal.
func (r *Restorer) Status() (Status, error) {
	j, err := r.load()
	if err != nil {
		return Status{}, err
	}
	s := Status{Kept: j.Kept}
	if j.Now != nil {
		s.Phase, s.Snapshot, s.Begun = j.Now.Phase, j.Now.Snapshot, j.Now.Begun
	}
	return s, nil
}

// Swap puts what was staged in the place of the state. When it returns, all
// folders are the new ones, and on trial: Confirm or Undo comes next. With an
// error they are the old ones, and nothing is staged any more, unless the error
// is an *UnfinishedError.
func (s *Staged) Swap(ctx context.Context, still gateway.Stillness) error {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.loadAt(Staging, s.id)
	if err != nil {
		return err
	}
	if err := r.prepare(ctx, still, j.Now); err != nil {
		return errors.Join(fmt.Errorf("the state was not touched: %w", err), r.discard(&j))
	}
	j.Now.Phase = Swapping
	if err := r.save(j); err != nil {
		// It may be there nevertheless, and would be believed.
		j.Now.Phase = Staging
		if again := r.save(j); again != nil {
			return &UnfinishedError{Swapping, errors.Join(err, again)}
		}
		return errors.Join(fmt.Errorf("the state was not touched: %w", err), r.discard(&j))
	}
	r.passed(crashpoint.RestoreSwapping)
	return r.swap(&j, still)
}

// prepare looks at the targets for the last time before they are swapped.
func (r *Restorer) prepare(ctx context.Context, still gateway.Stillness, op *operation) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := holds(still); err != nil {
		return err
	}
	for _, t := range op.Roots {
		now, err := r.locate(t.Name, t.Path, t.id)
		if err != nil {
			return err
		}
		if now.Path != t.Path || now.Had != t.Had || now.Way != t.Way {
			return fmt.Errorf("the state folder %s is not what it was when the restore began; begin again", t.Path)
		}
		if err := t.identify(); err != nil {
			return err
		}
	}
	return nil
}

// UnfinishedError says that folders can neither be brought forward nor back. The
// journal says how far they are; Recover tries again. Until then the gateway must
// not be started.
type UnfinishedError struct {
	Phase Phase
	Err   error
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("a restore stands half way (%s), and the gateway must not be started: %v; remove the cause and start creel again", e.Phase, e.Err)
}

func (e *UnfinishedError) Unwrap() error { return e.Err }

// swap takes all roots forward, or all back if one cannot go.
func (r *Restorer) swap(j *journal, still gateway.Stillness) error {
	for _, t := range j.Now.Roots {
		err := holds(still)
		if err == nil {
			err = r.forward(j, t)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("cannot put the restored folder in the place of %s: %w", t.Path, err), r.undo(j, still, false))
		}
		r.passed(crashpoint.RestoreRootSwapped)
	}
	j.Now.Phase = OnTrial
	if err := r.save(*j); err != nil {
		// It says Swapping, from which Recover gets here again.
		return &UnfinishedError{Swapping, err}
	}
	r.passed(crashpoint.RestoreOnTrial)
	return nil
}

// LeftoverError says that all is as it should be, but that a folder that nobody
// needs any more could not be removed. Sweep tries again.
type LeftoverError struct{ Err error }

func (e *LeftoverError) Error() string {
	return fmt.Sprintf("cannot remove a folder that a restore has left: %v", e.Err)
}

func (e *LeftoverError) Unwrap() error { return e.Err }

// Confirm ends a restore: the gateway has got ready with the new state. The old
// one is kept until Sweep. A *LeftoverError is no failure.
func (r *Restorer) Confirm() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.loadAt(OnTrial, "")
	if err != nil {
		return err
	}
	for _, t := range j.Now.Roots {
		if !t.Had {
			continue
		}
		first, err := firstFile(t.old())
		if err != nil {
			return err
		}
		j.Kept = append(j.Kept, Kept{Path: t.old(), Target: t.Path, Since: r.now().UTC(), Snapshot: j.Now.Snapshot, Doomed: first == ""})
	}
	j.Now = nil
	if err := r.save(j); err != nil {
		return err
	}
	r.passed(crashpoint.RestoreConfirmed)
	return r.removeDoomed(&j)
}

// Undo ends a restore: the gateway did not get ready, and the old state is put
// back. The new one is kept beside, for inspection, or removed. It fails with an
// *UnfinishedError, or before anything was touched; a *LeftoverError is no failure.
func (r *Restorer) Undo(still gateway.Stillness, keep bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.loadAt(OnTrial, "")
	if err != nil {
		return err
	}
	if err := holds(still); err != nil {
		return err
	}
	return r.undo(&j, still, keep)
}

func (r *Restorer) undo(j *journal, still gateway.Stillness, keep bool) error {
	was := j.Now.Phase
	j.Now.Phase, j.Now.KeepRejected = Undoing, keep
	if err := r.save(*j); err != nil {
		return &UnfinishedError{was, err}
	}
	r.passed(crashpoint.RestoreUndoing)
	return r.back(j, still)
}

// back takes all roots back and forgets the restore.
func (r *Restorer) back(j *journal, still gateway.Stillness) error {
	// Not in the journal before all are back: it is written in between (the way Inside),
	// and what is doomed there goes, by which it would be told that a root is back.
	var kept []Kept
	for _, t := range j.Now.Roots {
		err := holds(still)
		if err == nil {
			err = r.backward(j, t)
		}
		if err != nil {
			return &UnfinishedError{Undoing, fmt.Errorf("cannot put the old folder back in the place of %s: %w", t.Path, err)}
		}
		r.passed(crashpoint.RestoreRootBack)
		kept = append(kept, Kept{Path: t.rejected(), Target: t.Path, Since: r.now().UTC(), Snapshot: j.Now.Snapshot, Rejected: true, Doomed: !j.Now.KeepRejected})
	}
	j.Kept, j.Now = append(j.Kept, kept...), nil
	if err := r.save(*j); err != nil {
		return &UnfinishedError{Undoing, err}
	}
	r.passed(crashpoint.RestoreUndone)
	return r.removeDoomed(j)
}

// Outcome is what Recover has found and done.
type Outcome string

// The outcomes.
const (
	Nothing       Outcome = "nothing"        // no restore was under way, or one that this Restorer stages
	RolledBack    Outcome = "rolled_back"    // one had not begun to swap; the old state is in place
	RolledForward Outcome = "rolled_forward" // one had; the new state is in place, on trial
	StillOnTrial  Outcome = "on_trial"       // the new state was in place already, on trial
	Undone        Outcome = "undone"         // one was being undone; the old state is in place
)

// Recovered tells of a restore that a creel before this one had begun.
type Recovered struct {
	Outcome  Outcome
	Snapshot store.ID
	// Trouble does not stand in the way of a start: why a restore could not be
	// taken forward and was undone, or what could not be removed.
	Trouble error
}

// Recover finishes what a creel that died has begun. It is called at each start,
// before the gateway is started. A creel that has found its gateway running has
// no word of its standing still and gives the zero one: then folders cannot have been on
// the move, and if they were, the error is ErrMoving.
//
// The gateway must not be started after any error, see *JournalError and
// *UnfinishedError.
func (r *Restorer) Recover(still gateway.Stillness) (Recovered, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j, err := r.load()
	if err != nil {
		return Recovered{}, err
	}
	trouble := r.removeDoomed(&j)
	if j.Now == nil || j.Now.Phase == Staging && j.Now.ID == r.own {
		return Recovered{Outcome: Nothing, Trouble: trouble}, nil
	}
	got := Recovered{Snapshot: j.Now.Snapshot}
	switch phase := j.Now.Phase; phase {
	case Staging:
		got.Outcome, err = RolledBack, r.discard(&j)
	case OnTrial:
		got.Outcome = StillOnTrial
	case Swapping, Undoing:
		if err := holds(still); err != nil {
			return got, &UnfinishedError{phase, err}
		}
		if phase == Swapping {
			if got.Outcome, err = RolledForward, r.swap(&j, still); err != nil {
				got.Outcome = Undone
			}
		} else {
			got.Outcome, err = Undone, r.back(&j, still)
		}
	}
	if _, unfinished := errors.AsType[*UnfinishedError](err); unfinished {
		return got, err
	}
	got.Trouble = errors.Join(trouble, err)
	return got, nil
}

// discard removes what was staged. What it cannot, the next Stage does, or Recover.
func (r *Restorer) discard(j *journal) error {
	r.abandoned, r.own = j.Now.ID, ""
	for _, t := range j.Now.Roots {
		for _, dir := range []string{t.scratch(), t.staged()} {
			if err := removeAll(dir); err != nil {
				return &LeftoverError{err}
			}
		}
		removeWork(t.staged())
		r.passed(crashpoint.RestoreDiscarded)
	}
	j.Now = nil
	if err := r.save(*j); err != nil {
		return err
	}
	r.abandoned = ""
	return nil
}

// discardAbandoned removes what an earlier try has left: a full disk may have kept it
// from being noted that it is gone, and nobody else would end that restore before the
// next start.
func (r *Restorer) discardAbandoned() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned == "" {
		return nil
	}
	j, err := r.loadAt(Staging, r.abandoned)
	if errors.Is(err, ErrNotUnderWay) {
		r.abandoned = ""
		return nil
	}
	if err == nil {
		err = r.discard(&j)
	}
	if err != nil {
		return fmt.Errorf("cannot clear away what an earlier restore has left: %w", err)
	}
	return nil
}

// disk is how folders and the journal are changed: replaced in tests that look
// at the order of it, or have it fail.
type disk struct {
	write    func(ctx context.Context, from tree.Tree, dirs map[string]string, o tree.WriteOptions) (tree.Written, error)
	rename   func(from, to string) error // to does not exist
	exchange func(a, b string) error
	syncDir  func(path string) error
	journal  func(path string, j journal) error
	isFixed  func(path string) bool // the folder cannot be renamed
}

var realDisk = disk{write: tree.Write, rename: rename, exchange: exchange, syncDir: tree.SyncDir, journal: writeJournal, isFixed: isFixed}
