//go:build !linux

package process

import (
	"os/exec"

	"creel/internal/runtime"
)

// RunApart returns an error if a has anything that is to be hidden, else it runs cmd.
func RunApart(cmd *exec.Cmd, a *runtime.Apart) error {
	if a != nil && len(a.Hide) > 0 && a.Required {
		return &runtime.ApartError{Why: errLinuxOnly.Error()}
	}
	return cmd.Run()
}

// ExecApart returns an error.
func ExecApart(string, []string, []string, *runtime.Apart) error { return errLinuxOnly }
