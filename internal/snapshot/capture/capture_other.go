//go:build !linux

package capture

import (
	"context"
	"errors"
)

var errLinuxOnly = errors.New("cannot capture state: this needs Linux (statx, O_NOATIME, /proc)")

// Capturer exists on Linux only.
type Capturer struct{}

// New returns an error: capturing needs Linux.
func New(o Options) (*Capturer, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, errLinuxOnly
}

// Capture returns an error.
func (*Capturer) Capture(context.Context, Still, Progress) (*Cut, error) { return nil, errLinuxOnly }

// Mark tells what the state looks like.
func (*Capturer) Mark(context.Context) (string, error) { return "", errLinuxOnly }
