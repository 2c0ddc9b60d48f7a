package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"creel/internal/openclaw"
	"creel/internal/provider"
	"creel/internal/runtime/process"
	"creel/internal/snapshot/store"
	"creel/internal/telemetry"
)

// What a data folder tells while no creel runs on it.

// LogAtRest is the output of the gateway of a data folder: of several, the one that was
// written last; "": there is none.
func LogAtRest(dataDir string) (path string, err error) {
	dirs, err := os.ReadDir(filepath.Join(dataDir, "gateways"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("cannot look for the gateway's output: %w", err)
	}
	var newest os.FileInfo
	for _, d := range dirs {
		file := process.LogPath(filepath.Join(dataDir, "gateways", d.Name()))
		info, err := os.Stat(file)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("cannot look for the gateway's output: %w", err)
		case newest == nil || info.ModTime().After(newest.ModTime()):
			newest, path = info, file
		}
	}
	return path, nil
}

// KnowSecrets makes the secrets that a data folder holds, and that its gateway knows,
// known to this process (telemetry.Redact), as the creel does that runs on it. Nothing
// is changed. Not known are those that only creel's environment held.
func KnowSecrets(dataDir string) error {
	if _, err := store.LoadKey(SnapshotKeyPath(dataDir)); err != nil && !errors.Is(err, store.ErrNoKey) {
		return err
	}
	credential, err := provider.ReadCredential(placePath(dataDir))
	if err != nil {
		return err
	}
	layout, err := openclaw.LayoutIn(dataDir)
	if err != nil {
		return err
	}
	token, err := openclaw.ReadToken(layout)
	if err != nil {
		return err
	}
	configured, err := openclaw.ConfigSecrets(layout)
	if err != nil {
		return err
	}
	for _, secret := range slices.Concat([]telemetry.Secret{credential, token}, configured) {
		if err := telemetry.Register(secret.Reveal()); err != nil && !errors.Is(err, telemetry.ErrWeakSecret) {
			return err
		}
	}
	return nil
}
