package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"creel/internal/config"
	"creel/internal/runtime"
	"creel/internal/runtime/process"
)

// RunApart runs a program to its end, as cmd.Run does, that sees no more of creel's own
// than the gateway: the agent may have written a part of what it runs (I7).
func RunApart(cfg *config.Config, cmd *exec.Cmd) error {
	a, err := apartOf(cfg)
	if err != nil {
		return err
	}
	return process.RunApart(cmd, a)
}

// ExecApart has such a program take the place of this one. It returns only if that
// fails.
func ExecApart(cfg *config.Config, path string, argv, env []string) error {
	a, err := apartOf(cfg)
	if err != nil {
		return err
	}
	return process.ExecApart(path, argv, env, a)
}

// apartOf says what of creel's own is hidden from the gateway, which runs as the
// same user: keys and credentials, snapshots, which are safe only from what cannot
// remove them, the journal, and the records that creel goes by.
func apartOf(cfg *config.Config) (*runtime.Apart, error) {
	if cfg.Gateway.Sandbox == config.SandboxOff {
		return nil, nil
	}
	a := &runtime.Apart{Required: cfg.Gateway.Sandbox == config.SandboxRequired}
	own := []string{privateDir(cfg.DataDir), filepath.Join(cfg.DataDir, "gateways"), filepath.Join(cfg.DataDir, "journal")}
	for _, dir := range own { // what is not there yet could not be hidden
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make a folder that is to be hidden from the gateway: %w", err)
		}
	}
	a.Hide = own
	if cfg.Snapshots.Store.Kind == config.StoreFolder {
		// It may be on a disk that is away, which is no reason not to start the
		// gateway; there is nothing to hide then.
		_ = os.MkdirAll(storeFolder(cfg), 0o700)
		a.Hide = append(a.Hide, storeFolder(cfg))
	}
	for _, file := range []string{cfg.Snapshots.Store.Key, cfg.Snapshots.Store.Credentials} {
		if file != "" {
			a.Hide = append(a.Hide, file)
		}
	}
	for _, p := range cfg.Providers.List {
		for _, file := range []string{p.KeyFile, p.GatewayKeyFile} {
			if file != "" {
				a.Hide = append(a.Hide, file)
			}
		}
	}
	a.Keep = cfg.Gateway.State // one may lie in a hidden folder
	return a, nil
}
