package daemon

import (
	"context"
	"errors"
	"strings"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/openclaw"
)

// inspector looks after OpenClaw's configuration for an instance of that
// generation.
func (o *openClaw) inspector(version string, generation uint64) *openclaw.Inspector {
	record, err := openclaw.ReadVersionRecord(o.layout)
	return &openclaw.Inspector{
		Layout: o.layout, Version: version, NoFallBack: err == nil && record.Trial != nil,
		Note: func(n openclaw.ConfigNote) { o.noteConfig(n, generation) },
	}
}

var configKinds = map[string]event.Kind{
	openclaw.ConfigChanged: event.OpenClawConfigChanged, openclaw.ConfigRefused: event.OpenClawConfigRefused, openclaw.ConfigRepaired: event.OpenClawConfigRepaired,
	openclaw.ConfigFellBack: event.OpenClawConfigFellBack, openclaw.ConfigWarning: event.OpenClawConfigWarning,
}

// maxChanges bounds the changes that a journal entry tells of.
const maxChanges = 30

// noteConfig tells the journal what has become of the configuration.
func (o *openClaw) noteConfig(n openclaw.ConfigNote, generation uint64) {
	fields := map[string]any{"by": n.By}
	if len(n.Changes) > 0 {
		fields["changes"] = n.Changes[:min(len(n.Changes), maxChanges)]
		if more := len(n.Changes) - maxChanges; more > 0 {
			fields["more_changes"] = more
		}
		var keys []string
		for _, c := range n.Changes[:min(len(n.Changes), 5)] {
			keys = append(keys, c.Key)
		}
		n.Message += " (" + strings.Join(keys, ", ")
		if len(n.Changes) > 5 {
			n.Message += ", …"
		}
		n.Message += ")"
	}
	if n.What == openclaw.ConfigChanged && n.By == openclaw.ByCreel {
		if missed := o.providers.missed(n.Changes); missed != "" {
			n.Message += "; " + missed
		}
	}
	if n.Kept != "" {
		fields["kept"] = n.Kept
	}
	o.journal.Record(event.Event{Kind: configKinds[n.What], Gateway: o.cfg().Name, Generation: generation, Message: n.Message, Fields: fields})
	switch n.What {
	case openclaw.ConfigFellBack:
		o.health.Set(health.OpenClawConfig, health.Warning, n.Message, "see `creel openclaw config diff`, and make the change again in a form that OpenClaw takes")
	case openclaw.ConfigChanged:
		if n.By != openclaw.ByCreel {
			o.health.Clear(health.OpenClawConfig) // another one counts
		}
	}
}

// configure makes OpenClaw's configuration fit for a start.
func (o *openClaw) configure(ctx context.Context, g config.Gateway, generation uint64, installation openclaw.Installation, s openclaw.Settings) (openclaw.Configured, error) {
	environ, err := o.inherited(g)
	if err != nil {
		return openclaw.Configured{}, variablesRefused(err)
	}
	in := o.inspector(installation.Version, generation)
	in.Run = openclaw.NewRunner(o.layout, installation, environ, o.providers.withoutKeys(g), o.exec)
	in.Configure = func() (openclaw.Configured, error) { return openclaw.Configure(o.layout, s) }
	configured, err := o.prepared(ctx, in)
	if refused, ok := errors.AsType[*openclaw.ConfigError](err); ok {
		return configured, &gateway.PlanError{Cause: gateway.CauseConfigRefused, Hint: "Mend the file, then `creel restart`.", Permanent: true, Err: refused}
	}
	if err == nil {
		o.noteProvider(g, environ)
	}
	return configured, err
}

// prepared has an Inspector make ready for a start. Neither it nor what is told of an
// instance's end, or of one that runs well, may write what the others have read.
func (o *openClaw) prepared(ctx context.Context, in *openclaw.Inspector) (openclaw.Configured, error) {
	o.inspecting.Lock()
	defer o.inspecting.Unlock()
	return in.Prepare(ctx)
}

func listOf(env map[string]string) []string {
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// refused tells whether a start after exit code 78 has something to try.
func (o *openClaw) refused(message string) bool {
	o.inspecting.Lock()
	defer o.inspecting.Unlock()
	again, err := o.inspector(o.version(o.cfg()), 0).Refused(message)
	return err == nil && again // else the message is all that is left
}

// settle notes which configurations have run for a while, until ctx ends.
func (o *openClaw) settle(ctx context.Context, b beside) {
	var noted uint64
	for {
		st, err := b.gateway.WaitFor(ctx, func(st gateway.Status) bool { return st.Ready() && st.Generation != noted })
		if err != nil {
			return
		}
		well, cancel := context.WithTimeout(ctx, provenAfter)
		_, err = b.gateway.WaitFor(well, func(now gateway.Status) bool { return !now.Ready() || now.Generation != st.Generation })
		cancel()
		switch {
		case ctx.Err() != nil: // WaitFor does not look at it while what it waits for holds
			return
		case err == nil:
			continue
		}
		noted = st.Generation
		if err := o.ran(b, st.Generation); err != nil {
			b.log.Warn("the configuration that OpenClaw runs with cannot be kept to fall back on", "error", err)
		}
	}
}

// ran notes that an instance has run for a while, unless it has ended by now: the
// configuration that was kept last may be that of the next one, which has not.
func (o *openClaw) ran(b beside, generation uint64) error {
	o.inspecting.Lock()
	defer o.inspecting.Unlock()
	if st := b.gateway.Status(); !st.Ready() || st.Generation != generation {
		return nil
	}
	return o.inspector(o.version(o.cfg()), generation).Ran()
}

// provenAfter is how long an instance has to be ready for its configuration to be one
// to fall back on.
const provenAfter = 15 * time.Second
