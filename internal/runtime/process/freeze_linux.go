package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"creel/internal/crashpoint"
	"creel/internal/runtime"
)

// freezer holds the processes of one instance still.
type freezer interface {
	// freeze returns when no process runs, or with an error when ctx ends.
	freeze(ctx context.Context) error
	// thaw lets go. A group that does not exist (any more) needs none.
	thaw() error
	// frozen reports whether a freeze was begun and not thawed since.
	frozen() (bool, error)
}

// freezer is the way in which this instance is held still: by its cgroup, where
// that can freeze, else by signals.
func (i *instance) freezer() (freezer, error) {
	switch g := i.group.main.(type) {
	case cgroup:
		if g.v2 {
			return freezerV2{g.path}, nil
		}
		_, err := os.Stat(filepath.Join(g.path, freezerState))
		switch {
		case err == nil:
			return freezerV1{g.path}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		// The systemd and pids hierarchies cannot, but tell who is a member.
		return stopper{file: i.rt.holdFile(), rec: i.rec, list: g.processes}, nil
	case session:
		return stopper{file: i.rt.holdFile(), rec: i.rec, list: g.lister(true)}, nil
	}
	return nothing{}, nil
}

// Freeze implements runtime.Instance.
func (i *instance) Freeze(ctx context.Context) error {
	i.hold.Lock()
	defer i.hold.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(i.mayFreeze, cancel)()
	if err := i.freezeLocked(ctx); err != nil {
		if i.mayFreeze.Err() != nil {
			err = &runtime.EndedError{Gateway: i.rec.Gateway, Generation: i.rec.Generation}
		}
		return fmt.Errorf("cannot hold gateway %s, generation %d, still: %w", i.rec.Gateway, i.rec.Generation, err)
	}
	return nil
}

func (i *instance) freezeLocked(ctx context.Context) error {
	if err := errors.Join(ctx.Err(), i.mayFreeze.Err()); err != nil {
		return err
	}
	select {
	case <-i.done:
		return &runtime.EndedError{Gateway: i.rec.Gateway, Generation: i.rec.Generation}
	default:
	}
	f, err := i.freezer()
	if err != nil {
		return err
	}
	if err := f.freeze(ctx); err != nil {
		return errors.Join(err, f.thaw())
	}
	crashpoint.Passed(crashpoint.InstanceFrozen)
	return nil
}

// stopFreezing ends a Freeze under way, and lets none begin any more.
func (i *instance) stopFreezing() {
	i.noFreeze()
	i.hold.Lock()
	defer i.hold.Unlock()
}

// Thaw implements runtime.Instance.
func (i *instance) Thaw() error {
	i.hold.Lock()
	defer i.hold.Unlock()
	f, err := i.freezer()
	if err == nil {
		err = f.thaw()
	}
	if err != nil {
		return fmt.Errorf("cannot let gateway %s, generation %d, go on: %w", i.rec.Gateway, i.rec.Generation, err)
	}
	crashpoint.Passed(crashpoint.InstanceThawed)
	return nil
}

// Frozen implements runtime.Instance.
func (i *instance) Frozen() (bool, error) {
	f, err := i.freezer()
	if err != nil {
		return false, fmt.Errorf("cannot tell whether gateway %s is held still: %w", i.rec.Gateway, err)
	}
	frozen, err := f.frozen()
	if err != nil {
		return false, fmt.Errorf("cannot tell whether gateway %s is held still: %w", i.rec.Gateway, err)
	}
	return frozen, nil
}

// nothing is the freezer of an instance of which nothing can be left.
type nothing struct{}

func (nothing) freeze(context.Context) error { return errGone }
func (nothing) thaw() error                  { return nil }
func (nothing) frozen() (bool, error)        { return false, nil }
