package proxy

import (
	"errors"
	"os"
)

// removedFile makes a file and takes its name from it: the way that works
// everywhere. A creel that is killed in between leaves it behind.
func removedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "body-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
