package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"creel/internal/config"
	"creel/internal/health"
	"creel/internal/openclaw"
	"creel/internal/openclaw/moltenv"
)

// pluginsAgain is how long a plugin that could not be installed is not tried again: a
// start after a crash does not wait for a network that is away.
const pluginsAgain = 10 * time.Minute

// ensurePlugins has OpenClaw install the plugins of channels that variables speak of.
// One that cannot be had keeps its channel off, and the gateway from nothing else.
// One of another version than OpenClaw's is told of.
func (o *openClaw) ensurePlugins(ctx context.Context, g config.Gateway, generation uint64, in openclaw.Installation) error {
	environ, err := o.inherited(g)
	if err != nil {
		return variablesRefused(err)
	}
	channels, err := moltenv.Channels(append(listOf(g.Env), environ...))
	if err != nil {
		return variablesRefused(err)
	}
	installer := &openclaw.PluginInstaller{
		Layout: o.layout, Version: in.Version, Run: openclaw.NewRunner(o.layout, in, environ, o.providers.withoutKeys(g), o.exec),
		Again: func(plugin string, err error, pause time.Duration) {
			o.tellPlugin(fmt.Sprintf("installing OpenClaw's plugin %s, again in %v: %v", plugin, pause, err))
		},
	}
	var missing, commands []string
	for _, c := range channels {
		switch {
		case c.Plugin == "":
			continue
		case openclaw.HasPlugin(o.layout, c.Plugin):
			o.notePlugin(c.Plugin, in.Version, generation)
			continue
		}
		if time.Since(o.pluginsTried) < pluginsAgain {
			return nil // what is missing was told
		}
		o.tellPlugin("installing OpenClaw's plugin " + c.Plugin + ", which the channel " + c.Name + " needs")
		// A start may be one after a crash. What has failed before fails most often again,
		// and keeps the gateway for less long then.
		installer.Brief = len(missing) > 0 || !o.pluginsTried.IsZero()
		err := installer.Install(ctx, c.Plugin)
		if failure, ok := errors.AsType[*openclaw.PluginError](err); ok {
			missing = append(missing, fmt.Sprintf("the channel %s is off: %v", c.Name, failure))
			commands = append(commands, openclaw.PluginCommand(c.Plugin, in.Version))
			o.health.Set(health.Plugins, health.Warning, strings.Join(missing, "; "),
				"by hand: "+strings.Join(commands, " and ")+", then creel restart; by itself with a start in ten minutes or later")
			continue
		}
		if err != nil {
			return err
		}
	}
	if o.pluginsTried = (time.Time{}); len(missing) > 0 {
		o.pluginsTried = time.Now()
		return nil
	}
	o.health.Clear(health.Plugins)
	return nil
}

// notePlugin tells the journal of a plugin of another version than OpenClaw's, such as the
// one of before an upgrade.
func (o *openClaw) notePlugin(plugin, version string, generation uint64) {
	found := openclaw.OtherPluginVersion(o.layout, plugin, version)
	if found == "" {
		return
	}
	o.noteConfig(openclaw.ConfigNote{What: openclaw.ConfigWarning, By: openclaw.ByCreel, Message: fmt.Sprintf(
		"OpenClaw's plugin %s has version %s, and OpenClaw %s; they are released together: %s, then creel restart",
		plugin, found, version, openclaw.PluginUpdateCommand(plugin, version))}, generation)
}

func (o *openClaw) tellPlugin(message string) {
	if o.progress != nil {
		o.progress(openclaw.Progress{Phase: openclaw.PhasePlugin, Message: message})
	}
}
