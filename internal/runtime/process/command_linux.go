package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// lookCommand finds the program of spec in the PATH of spec.Env, which need not
// be creel's. It returns a *runtime.CommandError that wraps exec.ErrNotFound or
// fs.ErrPermission.
func lookCommand(spec runtime.Spec) (string, error) {
	if len(spec.Command) == 0 || spec.Command[0] == "" {
		return "", &runtime.CommandError{Err: errors.New("no command is given")}
	}
	name := spec.Command[0]
	if spec.Dir != "" {
		if info, err := os.Stat(spec.Dir); err != nil {
			return "", &runtime.CommandError{Command: name, Err: fmt.Errorf("its working directory cannot be used: %w", err)}
		} else if !info.IsDir() {
			return "", &runtime.CommandError{Command: name, Err: fmt.Errorf("its working directory %s is not a directory", spec.Dir)}
		}
	}
	path, err := lookPath(name, spec)
	if err != nil {
		return "", &runtime.CommandError{Command: name, Err: err}
	}
	return path, nil
}

// lookPath does as execvp(3), except that relative entries of PATH are passed
// over, as os/exec does: they would run what lies about in the working directory.
func lookPath(name string, spec runtime.Spec) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) && spec.Dir != "" {
			path = filepath.Join(spec.Dir, path)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		return path, executable(path)
	}
	search := variable(spec.Env, "PATH")
	if search == "" {
		return "", fmt.Errorf("%w, which is not set in the gateway's environment", exec.ErrNotFound)
	}
	var denied error
	for _, dir := range filepath.SplitList(search) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if denied == nil && errors.Is(err, fs.ErrPermission) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%w (%s)", exec.ErrNotFound, search)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "exec", Path: path, Err: unix.EISDIR}
	}
	// Root passes access(2) on any file with one x bit; a file with none is
	// refused to root as well.
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "exec", Path: path, Err: err}
	}
	return nil
}

// variable is the value of a variable in a list of KEY=VALUE, or "".
func variable(env []string, key string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, key+"="); ok {
			return value
		}
	}
	return ""
}
