package capture

import (
	"errors"
	"fmt"
	"time"

	"creel/internal/snapshot/tree"
)

// BusyError says that another capture uses the folder for copies, or that the
// cut of the last one has not been released.
type BusyError struct{ Dir string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("cannot capture: another snapshot is being taken (%s is in use); wait for it to end", e.Dir)
}

// NoSpaceError says that the copy does not fit on the disk. Nothing was copied
// that is still there.
type NoSpaceError struct {
	Dir  string // where the copies are kept
	Need int64  // bytes still to be copied; 0: the disk ran full while copying
	Free int64  // bytes that are free there for creel
	Err  error  // ENOSPC or EDQUOT, if the disk ran full
}

func (e *NoSpaceError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("cannot capture: the disk ran full while copying to %s (%v); free some space there, or exclude large files with .creelignore", e.Dir, e.Err)
	}
	return fmt.Sprintf("cannot capture: %d bytes have to be copied to %s, where %d are free; free some space there, or exclude large files with .creelignore", e.Need, e.Dir, e.Free)
}

func (e *NoSpaceError) Unwrap() error { return e.Err }

// TooMuchChangeError says that the state changes so fast that the gateway would
// have to be held still for too long. It was not held still, or it was let go
// again; there is no cut.
type TooMuchChangeError struct {
	Delta     tree.Totals   // what has to be copied with the gateway held still
	Need      time.Duration // how long that is expected to take; more than MaxFreeze
	MaxFreeze time.Duration
	Largest   string // the largest file of the delta
	Err       error  // the deadline, if the gateway was held still
}

func (e *TooMuchChangeError) Error() string {
	s := fmt.Sprintf("cannot capture: %d files with %d bytes change all the time, and the gateway would have to be held still for about %v to copy them, longer than the %v allowed",
		e.Delta.Files, e.Delta.Bytes, e.Need.Round(time.Millisecond), e.MaxFreeze)
	if e.Largest != "" {
		s += fmt.Sprintf(" (the largest is %s)", printable(e.Largest))
	}
	return s + "; exclude what can be made anew with .creelignore, allow more time, or stop the gateway for the snapshot"
}

func (e *TooMuchChangeError) Unwrap() error { return e.Err }

// ErrLetGo is what a Still wraps that had to let go before it was time, with do
// called: it is tried again.
var ErrLetGo = errors.New("the stillness has ended too early")

// NotStillError says that a file changed while the gateway was held still:
// something else writes to the state.
type NotStillError struct{ Path string }

func (e *NotStillError) Error() string {
	return fmt.Sprintf("cannot capture: %s changes while the gateway is held still, so another program writes to it; stop that program, or exclude the file with .creelignore", printable(e.Path))
}
