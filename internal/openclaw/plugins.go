package openclaw

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Channels such as Discord and Slack are plugins that do not come with OpenClaw. They
// are kept in the state, in a folder that is no part of snapshots, so they are missing
// at the first start and after a restore on another machine alike.

// pluginTime bounds the attempts at installing a plugin, together: one takes one to three
// minutes on a busy machine. The gateway is not started before they are over.
const pluginTime = 10 * time.Minute

// PluginError says that a plugin could not be installed.
type PluginError struct {
	Plugin   string
	Version  string
	Attempts int
	Err      error // of the last one
}

func (e *PluginError) Error() string {
	return fmt.Sprintf("the plugin %s %s could not be installed in %d attempts: %v", e.Plugin, e.Version, e.Attempts, e.Err)
}

func (e *PluginError) Unwrap() error { return e.Err }

// PluginCommand is what a person types to have a plugin installed.
func PluginCommand(plugin, version string) string {
	return "creel openclaw exec -- plugins install " + pluginSpec(plugin, version)
}

// pluginSpec names a plugin at npm, in the version of OpenClaw: they are released
// together.
func pluginSpec(plugin, version string) string { return "npm:" + plugin + "@" + version }

// HasPlugin tells whether a plugin is installed, by the name of its npm package.
func HasPlugin(l Layout, plugin string) bool {
	projects := filepath.Join(l.State(), "npm", "projects")
	entries, _ := os.ReadDir(projects) // most often there is none; the attempt to install it says what is wrong otherwise
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(projects, e.Name(), "node_modules", filepath.FromSlash(plugin), "package.json")); err == nil {
			return true
		}
	}
	// Where a person has put it by hand.
	_, err := os.Stat(filepath.Join(l.State(), "extensions", filepath.Base(plugin)))
	return err == nil
}

// PluginInstaller has OpenClaw install plugins that are missing.
type PluginInstaller struct {
	Layout  Layout
	Version string
	Run     Runner
	// Again is called with each failure that another attempt follows, and says after
	// which pause; may be nil.
	Again func(plugin string, err error, pause time.Duration)

	pauses []time.Duration // nil: retryPauses
}

// Install makes sure that a plugin is there. The error is a *PluginError, or that of
// ctx's end.
func (p *PluginInstaller) Install(ctx context.Context, plugin string) error {
	pauses := p.pauses
	if pauses == nil {
		pauses = retryPauses
	}
	within, cancel := context.WithTimeoutCause(ctx, pluginTime, fmt.Errorf("it did not end within %v", pluginTime))
	defer cancel()
	for attempt := 0; ; attempt++ {
		if HasPlugin(p.Layout, plugin) {
			return nil
		}
		err := p.attempt(within, plugin)
		switch {
		case HasPlugin(p.Layout, plugin): // OpenClaw installs what is configured by itself at times, and says then that it is there
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			err = errors.New("OpenClaw says that it is installed, and it is not to be found")
		}
		failure := &PluginError{plugin, p.Version, attempt + 1, err}
		if attempt == len(pauses) || within.Err() != nil {
			return failure
		}
		if p.Again != nil {
			p.Again(plugin, err, pauses[attempt])
		}
		select {
		case <-time.After(pauses[attempt]):
		case <-within.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return failure
		}
	}
}

func (p *PluginInstaller) attempt(ctx context.Context, plugin string) error {
	out, err := p.Run(ctx, "plugins", "install", pluginSpec(plugin, p.Version))
	if err != nil {
		if last := lastLine(out); last != "" {
			return fmt.Errorf("%w: %s", err, clip(last))
		}
	}
	return err
}
