//go:build !linux

package process

import (
	"context"
	"errors"

	"creel/internal/runtime"
)

var errLinuxOnly = errors.New("cannot run gateways as processes: this needs Linux (pidfd, /proc); on other systems use the docker runtime")

// Runtime exists on Linux only.
type Runtime struct{}

var _ runtime.Runtime = (*Runtime)(nil)

// New returns an error: instances as processes need Linux.
func New(o Options) (*Runtime, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, errLinuxOnly
}

// Close does nothing.
func (*Runtime) Close() {}

// Start returns an error.
func (*Runtime) Start(context.Context, runtime.Spec) (runtime.Instance, error) {
	return nil, errLinuxOnly
}

// Find returns an error.
func (*Runtime) Find(context.Context) (runtime.Instance, error) { return nil, errLinuxOnly }

// SetAside returns an error.
func (*Runtime) SetAside(context.Context) (string, error) { return "", errLinuxOnly }

// RunLauncher does nothing: there is no launcher here.
func RunLauncher() {}

// PortHolder returns an error.
func PortHolder(int) (*runtime.PortTakenError, error) { return nil, errLinuxOnly }

// Reap returns an error.
func Reap(context.Context) error { return errLinuxOnly }

// Describe says that there are no cgroups here.
func Describe() Support { return Support{Mode: ModeNone, Reason: errLinuxOnly.Error()} }
