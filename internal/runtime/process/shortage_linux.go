package process

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// wanting tells whether an error speaks of what this process or the machine lacks at this
// moment: descriptors or memory. It is then no word on what can be done here, and nothing
// must be concluded from it for good.
func wanting(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}

// cannotFork is wanting for a fork, which may also lack processes.
func cannotFork(err error) bool { return wanting(err) || errors.Is(err, unix.EAGAIN) }

// limitError says that a limit cannot be enforced, as a *runtime.LimitError unless it is
// for want of something: that one is final.
func limitError(what string, err error) error {
	if wanting(err) {
		return fmt.Errorf("cannot set the limit of %s: %w", what, err)
	}
	return &runtime.LimitError{What: what, Why: err.Error()}
}
