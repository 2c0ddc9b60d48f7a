package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/liveness"
	"creel/internal/runtime"
	"creel/internal/runtime/process"
)

// engine is all of which one data folder bears only one: the journal, the
// runtime, the supervisor and the control socket. A creel that hands over stops
// its engine and, if its successor fails, makes another.
type engine struct {
	d       *daemon
	journal *event.Journal
	runtime *process.Runtime
	gateway *gateway.Supervisor
	keeper  *keeper    // nil: nobody looks after the gateway's state
	owner   *ownership // nil: the gateway is shared with nobody
	prober  *prober
	socket  net.Listener
	control *http.Server
	api     *api.API
	pages   *adminPages

	elsewhere <-chan struct{} // closed when whoever had the gateway before has said what it has with it; nil: nobody had
	carried   func()          // closes it, if it is carryOver that says so

	running sync.WaitGroup
	unwatch context.CancelFunc
	giveUp  func(error) // ends this creel, with an error that says all
}

// newEngine makes an engine; what fails is undone. It takes over the runtime of
// an engine that was left, if one is given, and is to be told by carryOver what requests
// that one still has with the gateway.
func (d *daemon) newEngine(left *engine) (*engine, error) {
	e, err := d.makeEngine(left)
	if health.Storage(err) {
		d.disk.Release() // what an engine must write is little
		e, err = d.makeEngine(left)
	}
	return e, err
}

func (d *daemon) makeEngine(left *engine) (_ *engine, err error) {
	e := &engine{d: d}
	switch {
	case left != nil:
		e.runtime = left.runtime
		carried := make(chan struct{})
		e.elsewhere, e.carried = carried, sync.OnceFunc(func() { close(carried) })
	case d.opts.Predecessor != nil:
		e.elsewhere = d.opts.Predecessor.Released()
	}
	defer func() {
		if err != nil {
			if left != nil {
				e.runtime = nil // it stays that of the engine that was left
			}
			err = errors.Join(err, e.release())
		}
	}()
	if e.socket, err = d.listenControl(); err != nil {
		return nil, err
	}
	crashpoint.Passed(crashpoint.SocketBound)
	e.journal, err = event.Open(event.Options{Dir: filepath.Join(d.cfg().DataDir, "journal"), Logger: d.log, Metrics: d.metrics, OnHealth: d.journalHealth})
	if err != nil {
		return nil, err
	}
	crashpoint.Passed(crashpoint.JournalOpened)
	dir := gatewayDir(d.cfg())
	if e.runtime == nil {
		if e.runtime, err = process.New(process.Options{Dir: dir, DataDir: d.cfg().DataDir, Logger: d.log}); err != nil {
			return nil, &DataDirError{d.cfg().DataDir, err}
		}
	}
	conditions, err := d.newConditions(d.cfg().Gateway)
	if err != nil {
		return nil, err
	}
	e.prober = &prober{logPath: process.LogPath(dir), environ: d.conditionEnviron, conditions: conditions}
	if e.keeper, err = e.newKeeper(); err != nil {
		return nil, err
	}
	e.gateway = gateway.New(e.options(dir))
	e.api = api.New(e.apiOptions(process.LogPath(dir)))
	e.pages = e.newPages()
	e.control = &http.Server{Handler: e.api.Control(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
	e.control.RegisterOnShutdown(e.api.End)
	return e, nil
}

func (e *engine) options(dir string) gateway.Options {
	d := e.d
	set := settingsOf(d.cfg())
	return gateway.Options{
		Elsewhere: e.elsewhere,
		Retire:    e.retire(), Keeper: e.keeper.asKeeper(),
		Name: d.cfg().Gateway.Name, Runtime: e.runtime, Prober: e.prober, Explain: d.app.explain, Tail: d.tail(process.LogPath(dir)),
		Plan: func(ctx context.Context, generation uint64) (runtime.Spec, error) {
			spec, err := e.plan(ctx, generation)
			e.prober.launching(spec)
			return spec, err
		},
		Policy: set.Policy, ReadyTimeout: set.ReadyTimeout, AliveTimeout: set.AliveTimeout, HoldRequests: set.HoldRequests, Hang: set.Hang, OnDemand: set.OnDemand,
		IntentPath: filepath.Join(dir, "intent.json"), LastKnown: e.lastKnown(), Shortage: d.shortage, Journal: e.journal, Recorder: d.metrics, Logger: d.log,
	}
}

// lastKnown is the highest generation that the journal tells of. It is more than
// what the supervisor has written down only if one of the two was put back from a
// backup.
func (e *engine) lastKnown() uint64 {
	var last uint64
	for _, known := range e.journal.Recent(event.DefaultMemory) {
		if known.Gateway == e.d.cfg().Gateway.Name {
			last = max(last, known.Generation)
		}
	}
	return last
}

// settingsOf is what a configuration says to the supervisor.
func settingsOf(cfg *config.Config) gateway.Settings {
	g := &cfg.Gateway
	return gateway.Settings{
		Policy: gateway.Policy{
			Drain: g.Stop.Drain, Grace: g.Stop.Grace, SilentGrace: silentGrace, Stable: stableAfter, KillRetry: killRetry,
			Delay: g.Restart.Delay, MaxDelay: g.Restart.MaxDelay, Fruitless: g.Restart.Fruitless, RetryFailed: g.Restart.RetryFailed,
		},
		ReadyTimeout: g.Ready.Timeout, AliveTimeout: g.Alive.Timeout, HoldRequests: cfg.Proxy.Hold.Requests,
		Hang: gateway.Hang{
			Listen: g.Hang.Action != config.HangOff, Restart: g.Hang.Action == config.HangRestart, Interval: g.Hang.Interval,
			Policy: liveness.Policy{Suspect: g.Hang.SuspectAfter, Restart: g.Hang.RestartAfter, Busy: g.Hang.BusyRestartAfter},
		},
		OnDemand: g.Start == config.StartOnDemand,
	}
}

// run starts the engine. stop is called when it cannot go on.
func (e *engine) run(stop func(error)) {
	watching, unwatch := context.WithCancel(context.Background())
	e.unwatch = unwatch
	e.giveUp = func(err error) {
		unwatch() // what follows is told by err
		stop(err)
	}
	e.running.Go(e.gateway.Run)
	e.running.Go(func() { serveOn(e.control, e.socket, config.TLS{}, stop) })
	e.running.Go(func() { e.d.watchState(watching, e.gateway) })
	e.running.Go(func() { e.d.watch(watching) })
	e.running.Go(func() { e.pages.history.Run(watching) })
	e.attend(watching)
	e.owner.run(e.gateway)
	e.keeper.run()
}

// leave stops the engine and leaves the gateway running, for another creel's
// engine or another engine of this creel. Requests that are under way still hear
// of the gateway's end, until ctx ends: the runtime stays open for that.
func (e *engine) leave(ctx context.Context) error {
	e.haltUpgrades(context.Background())
	e.keeper.halt(e.d.log) // it holds nothing still then
	e.owner.halt()
	e.gateway.Leave()
	e.d.dropping.Go(func() { e.gateway.Outlive(ctx, e.d.fateElsewhere) })
	return e.end()
}

// carryOver counts the requests of an engine that was left, in vain, as this one's, until
// they have ended: a restart or a stop waits for them. It returns when there are none, or
// ctx ends.
func (e *engine) carryOver(ctx context.Context, left *engine) {
	defer e.carried()
	generation, drained := left.gateway.UnderWay()
	if drained == nil {
		return
	}
	l, err := e.gateway.Lend(ctx, generation, true)
	if err != nil {
		return // the instance has ended, or this engine was left as well: the next one carries its own
	}
	defer l.Release()
	e.carried()
	_ = drained(ctx) // or the instance has ended, or ctx has
}

// stop stops the gateway, in good order or at once when ctx ends, and then the
// engine.
func (e *engine) stop(ctx context.Context) error {
	e.haltUpgrades(ctx)
	e.keeper.halt(e.d.log)
	err := e.gateway.Close(ctx)
	if err == nil {
		e.keeper.finish(ctx, e.d.log)
		e.owner.release(e.d.log)
	}
	e.owner.halt()
	e.runtime.Close()
	return errors.Join(err, e.end())
}

// end ends what is left when the supervisor has ended.
func (e *engine) end() error {
	e.unwatch()
	// Whoever has asked over the socket for what happens now still gets an
	// answer: only the listener is closed. Followers are cut by the end of creel.
	err := errors.Join(e.socket.Close(), e.keeper.close())
	e.pages.close() // they have no one left to ask
	return errors.Join(err, e.owner.close(), e.closeJournal())
}

func (e *engine) closeJournal() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return e.journal.Close(ctx)
}

// release gives up what newEngine has made, as far as it got.
func (e *engine) release() error {
	errs := []error{e.keeper.close(), e.owner.close()}
	if e.runtime != nil {
		e.runtime.Close()
	}
	if e.journal != nil {
		errs = append(errs, e.closeJournal())
	}
	if e.socket != nil {
		if err := e.socket.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// close cuts what is left of the control connections.
func (e *engine) close(ctx context.Context) error {
	var err error
	if e.control.Shutdown(ctx) != nil {
		err = e.control.Close() // followers of events and logs
	}
	e.running.Wait()
	return err
}
