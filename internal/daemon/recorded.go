package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"creel/internal/runtime/process"
)

// Recorded gives the names of the gateways of a data folder of which an instance is on
// record: it may run. The folder's name may be any, so it is no part of a pattern.
func Recorded(dataDir string) (names []string, err error) {
	gateways := filepath.Join(dataDir, "gateways")
	entries, err := os.ReadDir(gateways)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		switch _, failed := os.Lstat(filepath.Join(gateways, e.Name(), process.RecordName)); {
		case failed == nil:
			names = append(names, e.Name())
		case !errors.Is(failed, fs.ErrNotExist) && e.IsDir():
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		return names, fmt.Errorf("cannot tell whether an instance of the gateway is on record: %w", err)
	}
	return names, nil
}
