package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
)

// A reload reads the configuration again, from the same file, environment and
// flags, and is all or nothing: whatever is wrong with it is found before
// anything is changed.
//
// What is tagged "live" counts at once. What an instance runs with counts from
// its next start on, whatever that start's reason: a crash during the night must
// not bring back a configuration that is nowhere to be read any more, and a
// gateway that fails for its command is mended by mending the command. What
// creel itself is built from waits for the next creel.
//
// Reloads and upgrades are done one after the other, by the goroutine that
// serves; a reload that waits while an upgrade succeeds is told so, since the
// successor has read the configuration by itself.

// RefusedError says that a configuration is valid, but not for the creel that
// runs.
type RefusedError struct {
	Key string
	Why string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("cannot take over the configuration: %s: %s; nothing was changed", e.Key, e.Why)
}

// RefusedConfig marks it for package api.
func (e *RefusedError) RefusedConfig() {}

// reloadRequest asks for a reload; done gets its outcome.
type reloadRequest struct{ done chan reloaded }

type reloaded struct {
	result api.Reload
	err    error
}

func (r reloadRequest) answer(result api.Reload, err error) { r.done <- reloaded{result, err} }

// cfg is the configuration in force. Of keys that wait for another creel it has
// the values that this one runs with.
func (d *daemon) cfg() *config.Config { return d.now.Load() }

// errReplaced is what those get who ask a creel that is leaving.
var errReplaced = errors.New("creel is stopping, or has just been replaced by another, which has read the configuration by itself; ask again")

// askReload reads the configuration again and returns what came of it.
func (d *daemon) askReload(ctx context.Context) (api.Reload, error) {
	r := reloadRequest{make(chan reloaded, 1)}
	out, err := ask(ctx, d, d.reloads, r, r.done)
	return out.result, errors.Join(err, out.err)
}

// ask hands a request to the goroutine that serves, and waits for its answer.
func ask[R, A any](ctx context.Context, d *daemon, to chan<- R, request R, done <-chan A) (answer A, err error) {
	select {
	case to <- request:
	case <-d.left:
		return answer, errReplaced
	case <-ctx.Done():
		return answer, context.Cause(ctx)
	}
	select {
	case answer = <-done: // whoever has taken the request answers it
		return answer, nil
	case <-ctx.Done():
		return answer, context.Cause(ctx)
	}
}

// endRequests turns away who asks from now on. It may be called again, by the
// goroutine that serves.
func (d *daemon) endRequests() {
	select {
	case <-d.left:
	default:
		close(d.left)
	}
}

// reloadTime bounds the taking over; it is the supervisor's answer that it waits for.
const reloadTime = 10 * time.Second

// reload reads the configuration again and takes it over.
func (d *daemon) reload(ctx context.Context) (api.Reload, error) {
	if d.opts.Reload == nil {
		return api.Reload{}, errors.New("this creel cannot read its configuration again")
	}
	read, err := d.opts.Reload()
	if err != nil {
		return api.Reload{}, err
	}
	if old := d.cfg().Gateway.Preset; old != read.Gateway.Preset {
		return api.Reload{}, &RefusedError{"gateway.preset", fmt.Sprintf("it was %q and is %q, which is another app; stop creel and start it again", old, read.Gateway.Preset)}
	}
	before, next := d.cfg(), config.Keep(read, d.opts.Config, config.NeedsCreelUpgrade, config.NeedsCreelRestart)
	apply, err := d.prepare(next)
	if err != nil {
		return api.Reload{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	changes := config.Diff(before, next)
	set := settingsOf(next)
	set.Reprobe = slices.ContainsFunc(changes, func(c config.Change) bool {
		return strings.HasPrefix(c.Key, "gateway.ready.") || strings.HasPrefix(c.Key, "gateway.alive.")
	})
	apply.probes()
	if err := d.engine.gateway.Configure(ctx, set); err != nil {
		apply.undo()
		return api.Reload{}, fmt.Errorf("cannot take over the configuration: %w; nothing was changed", err)
	}
	apply.rest()
	d.now.Store(next)
	d.read.Store(read)
	if slices.ContainsFunc(changes, func(c config.Change) bool { return strings.HasPrefix(c.Key, "gateway.") }) {
		// A gateway that was given up gets a new chance.
		if err := d.engine.gateway.ConfigChanged(ctx); err != nil {
			return api.Reload{}, fmt.Errorf("the configuration was taken over, but the gateway has not been told: %w", err)
		}
	}
	result := api.Reload{Waiting: d.pending(), Warnings: read.Warnings()}
	result.Applied = counting(changes, result.Waiting)
	d.noteReload(changes, result)
	return result, nil
}

// application is a configuration that is ready to be taken over.
type application struct {
	probes, undo, rest func()
}

// prepare finds out all that may be wrong.
func (d *daemon) prepare(next *config.Config) (*application, error) {
	conditions, err := d.newConditions(next.Gateway)
	if err != nil {
		return nil, &RefusedError{"gateway.ready", err.Error()}
	}
	configure, err := d.proxy.Configure(next.Proxy)
	if err != nil {
		return nil, &RefusedError{"proxy", err.Error()}
	}
	certificate, err := readCertificate(next.TLS)
	if err != nil {
		return nil, &RefusedError{"tls.cert", err.Error()}
	}
	p := d.engine.prober
	before := p.present()
	return &application{
		probes: func() { p.set(conditions) },
		undo:   func() { p.set(before) },
		rest: func() {
			configure()
			d.providers.configure(next)
			if k := d.engine.keeper; k != nil {
				k.Configure(keeping(next))
			}
			d.certificate.now.Store(certificate)
			if d.opts.SetLogLevel != nil {
				d.opts.SetLogLevel(next.Log.Level)
			}
		},
	}, nil
}

// noteReload writes into the journal what has changed, if anything has.
func (d *daemon) noteReload(changes []config.Change, r api.Reload) {
	message := "the configuration was read again; nothing has changed"
	if len(changes)+len(r.Waiting) > 0 {
		message = fmt.Sprintf("the configuration was read again: %d changes count at once, %d wait", len(r.Applied), len(r.Waiting))
	}
	d.log.Info(message)
	fields := map[string]any{}
	for name, list := range map[string][]config.Change{"applied": r.Applied, "waiting": r.Waiting} {
		if len(list) > 0 {
			fields[name] = lines(list)
		}
	}
	d.journal.Record(event.Event{Kind: event.ConfigChanged, Gateway: d.cfg().Gateway.Name, Message: message, Fields: fields})
}

func lines(changes []config.Change) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = fmt.Sprintf("%s: %s, was %s (%s)", c.Key, orNothing(c.New), orNothing(c.Old), c.Needs)
	}
	return out
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func needing(changes []config.Change, needs config.Needs) []config.Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c config.Change) bool { return c.Needs != needs })
}

// counting are the changes that count at once: what needs nothing, and what an instance
// runs with if there is none, or if the present one has it already.
func counting(changes, waiting []config.Change) []config.Change {
	var list []config.Change
	for _, c := range changes {
		switch {
		case c.Needs == config.NeedsGatewayRestart && !slices.ContainsFunc(waiting, func(w config.Change) bool { return w.Key == c.Key || w.Key == unknownKey }):
			c.Needs = config.NeedsNothing
			fallthrough
		case c.Needs == config.NeedsNothing:
			list = append(list, c)
		}
	}
	return list
}

// unknownKey stands for all that an instance runs with.
const unknownKey = "gateway"

// pending lists what was read and does not count yet: what the instance runs
// with, against what its successor will, and what creel was started with.
func (d *daemon) pending() []config.Change {
	list := pendingFor(d.engineNow.Load().gateway.Status(), d.planned.Load(), d.cfg())
	if read := d.read.Load(); read != nil {
		waiting := config.Diff(d.opts.Config, read)
		list = append(list, needing(waiting, config.NeedsCreelUpgrade)...)
		list = append(list, needing(waiting, config.NeedsCreelRestart)...)
	}
	return list
}

// pendingFor lists what does not count yet for the present instance, or for the one that
// is being launched.
func pendingFor(st gateway.Status, p *planned, now *config.Config) []config.Change {
	switch {
	case st.PID == 0 && st.State != gateway.Starting: // the next instance has it all
	case p != nil && p.generation == st.Generation:
		was := *now
		was.Gateway = p.gateway
		return needing(config.Diff(&was, now), config.NeedsGatewayRestart)
	case st.PID == 0: // it is not planned yet
	case st.ConfigHash != "" && st.ConfigHash != config.Hash(now.Gateway):
		// An instance that was taken over: of what it runs with the record
		// keeps no more than a hash, since variables may be secrets.
		return []config.Change{{Key: unknownKey, Old: "configuration " + short(st.ConfigHash), New: "configuration " + short(config.Hash(now.Gateway)), Needs: config.NeedsGatewayRestart}}
	}
	return nil
}

// short is enough of a hash to tell two apart.
func short(hash string) string { return hash[:min(len(hash), 12)] }
