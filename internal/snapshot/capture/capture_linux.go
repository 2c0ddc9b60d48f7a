package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/snapshot/tree"
)

const (
	// maxRounds bounds how often the state is looked at before the gateway is
	// held still.
	maxRounds = 8
	// maxTries bounds how often it is held still, if something else writes or it
	// is let go.
	maxTries = 3
	// mostUnread is how many files may be unreadable for an error of their disk: with
	// more of them it is the disk that is lost.
	mostUnread = 100
	// spareSpace is left free on the disk of the copies.
	spareSpace = 16 << 20
)

// Capturer captures the state of one gateway. Its methods may be called from
// any goroutine; one capture is made at a time.
type Capturer struct {
	opts Options
	// step is nil but in tests: it is told of each entry that is about to be looked
	// at, and of each file that is about to be copied, with everything held still.
	step func(path string, copying bool)
	// fault is nil but in tests: an error that reading a file gives.
	fault func(path string) error
}

// New gives a Capturer, and removes what a capture that was cut short has left
// in Options.Dir.
func New(o Options) (*Capturer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := parseRules(o.Ignore, "the configuration"); err != nil {
		return nil, err
	}
	folder, _, err := openFolder(o.Dir)
	if _, busy := errors.AsType[*BusyError](err); busy {
		return &Capturer{opts: o}, nil // it is in good hands
	}
	if err != nil {
		return nil, err
	}
	folder.close()
	return &Capturer{opts: o}, nil
}

// Capture copies the roots as they are at one instant. The caller releases the
// cut. progress may be nil.
//
// Errors that callers branch on: *BusyError, *NoSpaceError, *TooMuchChangeError,
// *NotStillError, and whatever still returns.
func (c *Capturer) Capture(ctx context.Context, still Still, progress Progress) (*Cut, error) {
	if progress == nil {
		progress = noProgress{}
	}
	s, err := c.begin(progress)
	if err != nil {
		return nil, err
	}
	defer func() { s.stash.free() }()
	cut, err := s.capture(ctx, still)
	if err != nil {
		err = errors.Join(err, s.giveUp(err))
		s.folder.close()
		return nil, err
	}
	return cut, nil
}

// session is one capture.
type session struct {
	Options
	folder   *folder
	inodes   map[id]*inode
	roots    []walked
	exclude  map[id]bool
	maps     mappings
	progress Progress
	stash    *stash
	step     func(path string, copying bool)
	fault    func(path string) error
	bad      map[id]badFile // files that could not be read
	found    tree.Totals    // what all rounds together had to copy, for progress
	looking  time.Duration  // that a look at every file takes

	at      *walked // the root that is being walked
	path    []byte  // of the present entry, as in a tree
	dirents []byte
	buffer  []byte          // for copies that the kernel cannot make
	noClone map[uint64]bool // devices that do not clone
	noRange bool            // copy_file_range(2) is of no use
}

// walked is a root with what is known of it.
type walked struct {
	Root
	path   string // without symbolic links
	ignore *rules
	proves bool  // the file system lets changes be proved
	kept   *node // of the round before
	top    *node // of this round; nil: there is no such folder
}

// begin takes the folder for copies, and finds out about the roots.
func (c *Capturer) begin(progress Progress) (*session, error) {
	folder, inodes, err := openFolder(c.opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &session{
		Options: c.opts, folder: folder, inodes: inodes, progress: progress, step: c.step, fault: c.fault, bad: map[id]badFile{},
		maps:    mappings{processes: c.opts.Processes},
		dirents: make([]byte, 64<<10), buffer: make([]byte, 256<<10), noClone: map[uint64]bool{},
	}
	if err := s.findRoots(); err != nil {
		folder.close()
		return nil, err
	}
	return s, nil
}

func (s *session) findRoots() error {
	s.exclude = map[id]bool{}
	for _, path := range append([]string{s.Dir}, s.Exclude...) {
		var sx unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, path, 0, statMask, &sx)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("cannot exclude %s from the snapshot: %w", path, err)
		}
		if st := stampOf(&sx); err == nil {
			s.exclude[st.id()] = true
		}
	}
	for _, r := range s.Roots {
		path, err := filepath.EvalSymlinks(r.Path)
		if errors.Is(err, os.ErrNotExist) {
			path, err = filepath.Clean(r.Path), nil
		}
		if err != nil {
			return fmt.Errorf("cannot capture state folder %s: %w", r.Path, err)
		}
		for _, other := range s.roots {
			if err := apart(path, other.path); err != nil {
				return err
			}
		}
		ignore, err := rulesFor(path, s.Ignore, r.Ignore)
		if err != nil {
			return err
		}
		s.roots = append(s.roots, walked{Root: r, path: path, ignore: ignore})
	}
	return nil
}

// capture makes the rounds, and the cut.
func (s *session) capture(ctx context.Context, still Still) (*Cut, error) {
	if err := s.checkSpace(ctx); err != nil {
		return nil, err
	}
	var rounds int
	for try := 1; ; try++ {
		last, err := s.converge(ctx, &rounds)
		if err != nil {
			return nil, err
		}
		crashpoint.Passed(crashpoint.SnapshotCopied)
		frozen, err := s.freeze(ctx, still, last)
		if err == nil {
			frozen.Rounds = rounds
			return frozen, nil
		}
		_, moved := errors.AsType[*NotStillError](err)
		if !moved && !errors.Is(err, ErrLetGo) || try == maxTries {
			return nil, err
		}
	}
}

// checkSpace refuses a copy that cannot fit.
func (s *session) checkSpace(ctx context.Context) error {
	look := &round{session: s, ctx: ctx, no: 1, look: true}
	if err := look.run(); err != nil {
		return err
	}
	s.looking = look.took
	s.add(look.delta)
	free, err := s.folder.free()
	if err != nil {
		return err
	}
	free = max(free-spareSpace, 0)
	if look.delta.Bytes > free {
		return &NoSpaceError{Dir: s.Dir, Need: look.delta.Bytes, Free: free}
	}
	return nil
}

// add tells the progress of more to do.
func (s *session) add(t tree.Totals) {
	s.found.Files += t.Files
	s.found.Bytes += t.Bytes
	s.progress.Total(s.found.Files, s.found.Bytes)
}

// converge makes rounds while the gateway runs, until one is short enough, or
// not much shorter than the one before. It returns the last one: the freeze will
// take about as long.
func (s *session) converge(ctx context.Context, rounds *int) (*round, error) {
	var last *round
	for range maxRounds {
		*rounds++
		r := &round{session: s, ctx: ctx, no: *rounds + 1}
		if err := r.run(); err != nil {
			return nil, err
		}
		if err := s.folder.sweep(); err != nil {
			return nil, err
		}
		steady := last != nil && r.need() > last.need()*3/4
		last = r
		if r.need() <= s.Budget/2 || steady {
			break
		}
	}
	if last.need() > s.MaxFreeze {
		return nil, last.tooMuch(nil)
	}
	return last, nil
}

// need estimates how long the gateway would have to be held still if as much has
// changed as in this round. That is what the round took, or less if that was
// spent waiting for a busy disk: reading into memory is taken to be no slower
// than 200 µs a file and 200 MB/s.
func (r *round) need() time.Duration {
	copying := time.Duration(r.delta.Files)*200*time.Microsecond + time.Duration(r.delta.Bytes)*time.Second/(200<<20)
	return min(r.took, r.looking+copying)
}

func (r *round) tooMuch(err error) *TooMuchChangeError {
	return &TooMuchChangeError{Delta: r.delta, Need: r.need(), MaxFreeze: r.MaxFreeze, Largest: r.largest, Err: err}
}

// freeze makes the last round with everything held still.
func (s *session) freeze(ctx context.Context, still Still, last *round) (*Cut, error) {
	s.stash.free()
	s.stash = newStash(last.delta.Bytes)
	// What is copied now is proved by the mappings that were found before.
	r := &round{session: s, no: last.no + 1, frozen: true}
	var at time.Time
	holding, letGo := context.WithCancelCause(ctx)
	defer letGo(nil)
	frozen, err := still(holding, func(ctx context.Context) error {
		at = time.Now()
		ctx, cancel := context.WithTimeout(ctx, s.MaxFreeze)
		defer cancel()
		// Whoever holds it still lets go then: a read may hang.
		defer context.AfterFunc(ctx, func() { letGo(context.DeadlineExceeded) })()
		r.ctx = ctx
		if err := r.runFrom(last.begun); err != nil {
			return err
		}
		// Whoever gave the deadline may have let go.
		return ctx.Err()
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !at.IsZero() && time.Since(at) >= s.MaxFreeze:
		if r.delta.Bytes > last.delta.Bytes {
			last = r // it got further than was expected, and not to the end
		}
		return nil, last.tooMuch(err)
	case err != nil:
		return nil, fmt.Errorf("cannot capture: %w", err)
	case at.IsZero():
		return nil, errors.New("cannot capture: the gateway was not held still, though no reason was given")
	}
	if err := s.settle(r); err != nil {
		return nil, err
	}
	cut, err := s.cut(r)
	if err != nil {
		return nil, err
	}
	cut.Time, cut.Frozen, cut.Delta, cut.Copying = at.UTC(), frozen, r.delta, r.took
	crashpoint.Passed(crashpoint.SnapshotCut)
	return cut, nil
}

// settle writes what is in memory into blobs, and the index.
func (s *session) settle(r *round) error {
	for key, in := range s.inodes {
		if in.round != r.no {
			s.discard(in)
			delete(s.inodes, key)
			continue
		}
		if in.stash.size == 0 {
			continue
		}
		blob, fd, err := s.folder.create()
		if err != nil {
			return s.folder.full(err)
		}
		err = writeAll(fd, s.stash.bytes(in.stash), 0)
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			s.folder.drop(blob)
			return s.folder.full(err)
		}
		in.Blob, in.stash = blob, span{}
	}
	if err := s.folder.sweep(); err != nil {
		return err
	}
	return s.folder.save(s.inodes)
}

// discard gives up the copy of an inode.
func (s *session) discard(in *inode) { s.folder.drop(in.Blob) }

// giveUp keeps what a capture that failed has copied for the next one, unless
// space is what it failed for.
func (s *session) giveUp(why error) error {
	if _, full := errors.AsType[*NoSpaceError](why); full {
		for _, in := range s.inodes {
			s.folder.drop(in.Blob)
		}
		return errors.Join(s.folder.sweep(), os.Remove(filepath.Join(s.Dir, "index")))
	}
	for key, in := range s.inodes {
		if !in.Proved || in.stash.size != 0 {
			s.discard(in)
			delete(s.inodes, key)
		}
	}
	return errors.Join(s.folder.sweep(), s.folder.save(s.inodes))
}
