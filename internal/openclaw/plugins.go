package openclaw

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Channels such as Discord and Slack are plugins that do not come with OpenClaw. They
// are kept in the state, in a folder that is no part of snapshots, so they are missing
// at the first start and after a restore on another machine alike.

// pluginTime bounds the attempts at installing a plugin, together: one takes one to three
// minutes on a busy machine. The gateway is not started before they are over.
const pluginTime = 10 * time.Minute

// briefPluginTime bounds the one attempt of a Brief installer, which most often fails: it
// may keep a gateway that has crashed.
const briefPluginTime = 3 * time.Minute

// PluginError says that a plugin could not be installed.
type PluginError struct {
	Plugin   string
	Version  string
	Attempts int
	Err      error // of the last one
}

func (e *PluginError) Error() string {
	attempts := "one attempt"
	if e.Attempts > 1 {
		attempts = fmt.Sprintf("%d attempts", e.Attempts)
	}
	return fmt.Sprintf("the plugin %s %s could not be installed in %s: %v", e.Plugin, e.Version, attempts, e.Err)
}

func (e *PluginError) Unwrap() error { return e.Err }

// PluginCommand is what a person types to have a plugin installed.
func PluginCommand(plugin, version string) string {
	return "creel openclaw exec -- plugins install " + pluginSpec(plugin, version)
}

// pluginSpec names a plugin at npm, in the version of OpenClaw: they are released
// together.
func pluginSpec(plugin, version string) string { return "npm:" + plugin + "@" + version }

// HasPlugin tells whether a plugin is installed, by the name of its npm package. What an
// installation has left that was cut off is none.
func HasPlugin(l Layout, plugin string) bool {
	return pluginThere(l, plugin) && !exists(l.pluginMark(plugin))
}

// pluginThere tells whether a plugin is there, whole or in part.
func pluginThere(l Layout, plugin string) bool {
	return len(pluginProjects(l, plugin)) > 0 ||
		exists(filepath.Join(l.State(), "extensions", filepath.Base(plugin))) // where a person has put it by hand
}

// pluginProjects are the folders that OpenClaw has npm install a plugin in.
func pluginProjects(l Layout, plugin string) (dirs []string) {
	projects := filepath.Join(l.State(), "npm", "projects")
	entries, _ := os.ReadDir(projects) // most often there is none; the attempt to install it says what is wrong otherwise
	for _, e := range entries {
		dir := filepath.Join(projects, e.Name())
		if exists(filepath.Join(dir, "node_modules", filepath.FromSlash(plugin), "package.json")) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pluginMark is a file that is there while a plugin is being installed. npm writes a
// package long before it has all that the package needs.
func (l Layout) pluginMark(plugin string) string {
	return filepath.Join(l.Root, "installing-"+filepath.Base(plugin))
}

// clearPlugin removes what an installation has left that was cut off.
func clearPlugin(l Layout, plugin string) error {
	for _, dir := range pluginProjects(l, plugin) {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("cannot remove what an installation has left that was cut off: %w", err)
		}
	}
	return nil
}

// PluginInstaller has OpenClaw install plugins that are missing.
type PluginInstaller struct {
	Layout  Layout
	Version string
	Run     Runner
	// Brief makes one attempt, which is given less time: there was a failure before.
	Brief bool
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
	limit := pluginTime
	if p.Brief {
		pauses, limit = nil, briefPluginTime
	}
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	if HasPlugin(p.Layout, plugin) {
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := p.attempt(within, plugin)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
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

// attempt installs a plugin, or leaves nothing of it. Where creel dies in between, what is
// left is marked.
func (p *PluginInstaller) attempt(ctx context.Context, plugin string) error {
	mark := p.Layout.pluginMark(plugin)
	if exists(mark) {
		if err := clearPlugin(p.Layout, plugin); err != nil {
			return err
		}
	}
	if pluginThere(p.Layout, plugin) { // somebody else has installed it meanwhile
		return os.RemoveAll(mark)
	}
	if err := errors.Join(os.MkdirAll(p.Layout.Root, 0o700), writeFile(mark, nil)); err != nil {
		return fmt.Errorf("cannot note that it is being installed: %w", err)
	}
	out, err := p.Run(ctx, "plugins", "install", pluginSpec(plugin, p.Version))
	exit, ended := errors.AsType[*exec.ExitError](err)
	cut := ctx.Err() != nil || ended && !exit.Exited() // by a signal
	if there := pluginThere(p.Layout, plugin); there && !cut {
		return os.Remove(mark) // OpenClaw installs what is configured by itself at times, and says then that it is there
	} else if err == nil && !there {
		err = errors.New("OpenClaw says that it is installed, and it is not to be found")
	}
	if last := lastLine(out); err != nil && last != "" {
		err = fmt.Errorf("%w: %s", err, clip(last))
	}
	if err == nil {
		err = context.Cause(ctx) // it may have ended in this moment; whole or not is not known
	}
	if uncleared := clearPlugin(p.Layout, plugin); uncleared != nil {
		return errors.Join(err, uncleared)
	}
	return errors.Join(err, os.Remove(mark))
}
