//go:build linux && !(amd64 || arm64)

package process

import "errors"

// tinyProgram is the path of the tiny launcher, of which there is none here.
func tinyProgram() (string, error) { return "", errors.ErrUnsupported }
