package daemon

import (
	"os"
	"time"

	"creel/internal/config"
	"creel/internal/openclaw"
	"creel/internal/runtime"
)

// What an instance that this creel has not launched was given, and what it wrote at
// first, is in no record, for either may hold secrets. Its conditions must hold all the
// same, or an upgrade of creel would restart it (I6):
//
//   - a command gets the environment that the gateway would have by the configuration as
//     it is now;
//   - a line in its output counts as written if the output was rotated since it started,
//     since the line may have gone with it. That the port is open is asked in any case.
//
// The latter goes for an instance that was ready once, too: conditions that were changed
// since have another line, which has been written, or not, long ago.
//
// Rejected: to write down that it was ready. Whoever empties gateway.log by hand then
// loses nothing either, but each start would write once more while requests wait.

// taken is what is found out of an instance that was taken over.
type taken struct {
	generation uint64
	env        []string
}

// environOf gives the environment of an instance that was taken over. p.mu is held.
func (p *prober) environOf(rec runtime.Record) []string {
	if p.taken.generation != rec.Generation {
		p.taken = taken{rec.Generation, p.environ(rec)}
	}
	return p.taken.env
}

// hasRotated tells whether output was moved away since then.
func hasRotated(logPath string, since time.Time) bool {
	info, err := os.Stat(logPath + ".1")
	return err == nil && info.ModTime().After(since)
}

// conditionEnviron is the environment of the commands that are run for an instance that
// was taken over; nil: what such a command has at least.
func (d *daemon) conditionEnviron(rec runtime.Record) []string {
	g := d.cfg().Gateway
	if len(g.Ready.Command) == 0 {
		return nil
	}
	env, err := d.app.environment(g, rec)
	if err != nil {
		d.log.Warn("gateway.ready.command lacks the gateway's environment", "error", err)
	}
	return env
}

func (c *command) environment(g config.Gateway, rec runtime.Record) ([]string, error) {
	return instanceEnv(c.environ, g.Env, rec.Port, rec.Generation), nil
}

func (o *openClaw) environment(g config.Gateway, rec runtime.Record) ([]string, error) {
	version, err := openclaw.EffectiveVersion(o.layout, g.Version)
	if err != nil {
		return nil, err
	}
	installation, err := o.installer(version).Find()
	if err != nil {
		return nil, err
	}
	inherited, err := o.inherited(g)
	if err != nil {
		return nil, err
	}
	call, err := openclaw.Command(o.layout, installation, rec.Port, inherited, o.providers.withoutKeys(g))
	return call.Env, err
}
