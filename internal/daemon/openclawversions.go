package daemon

import (
	"context"
	"fmt"
	"time"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/openclaw"
	"creel/internal/openclaw/upgrade"
)

// versioned is an app whose version creel exchanges.
type versioned interface {
	attendant
	// version is the one that is to run, by a configuration.
	version(g config.Gateway) string
	// versions is what the API asks; b is the engine's.
	versions(b beside) api.Versions
	// endUpgrades has an upgrade that is under way stop where it is, and none begin any
	// more, for the engine that is present; it waits for that until ctx ends.
	endUpgrades(ctx context.Context) error
}

// appVersion is the version of the app that is to run: the configuration's, unless
// the app has another say in it.
func (d *daemon) appVersion() string {
	g := d.cfg().Gateway
	if v, ok := d.app.(versioned); ok {
		return v.version(g)
	}
	return g.Version
}

// versions are the API's; nil: the app is another one.
func (e *engine) versions() api.Versions {
	if v, ok := e.d.app.(versioned); ok {
		return v.versions(e.beside())
	}
	return nil
}

// version implements versioned. A record that cannot be read keeps the gateway from
// being started (plan), not from being looked after.
func (o *openClaw) version(g config.Gateway) string {
	v, err := openclaw.EffectiveVersion(o.layout, g.Version)
	if err != nil {
		return g.Version
	}
	return v
}

func (o *openClaw) versions(b beside) api.Versions {
	o.upgrading.Lock()
	defer o.upgrading.Unlock()
	options := upgrade.Options{
		Layout: o.layout, Gateway: late{b.engine}, Configured: func() string { return o.cfg().Version },
		Install: func(ctx context.Context, version string) error {
			_, err := o.installer(version).Install(ctx)
			return err
		},
		Healthy: o.cfg().OpenClaw.Trial,
		Tell:    func(s upgrade.Step) { b.tellStep(s) },
	}
	if b.engine.keeper != nil {
		options.Keeper = b.engine.keeper.Keeper
	}
	o.desk = newVersionDesk(upgrade.New(options))
	o.desk.app = o
	return o.desk
}

// endUpgrades implements versioned.
func (o *openClaw) endUpgrades(ctx context.Context) error {
	desk := o.presentDesk()
	if desk == nil {
		return nil
	}
	return desk.halt(ctx)
}

// haltUpgrades comes before the keeper and the supervisor are halted: what these break
// off then would pass for an upgrade's failure, and what is written down of it be in the
// way of the creel that takes over.
func (e *engine) haltUpgrades(ctx context.Context) {
	v, ok := e.d.app.(versioned)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	if err := v.endUpgrades(ctx); err != nil {
		e.d.log.Warn("it is not waited for any longer", "error", err)
	}
}

// presentDesk is the present engine's.
func (o *openClaw) presentDesk() *versionDesk {
	o.upgrading.Lock()
	defer o.upgrading.Unlock()
	return o.desk
}

func (o *openClaw) installer(version string) *openclaw.Installer {
	return &openclaw.Installer{Layout: o.layout, Version: version, Environ: o.environ, Progress: o.progress, Exec: o.exec}
}

var stepKinds = map[string]event.Kind{
	upgrade.Starting: event.OpenClawUpgrading, upgrade.Done: event.OpenClawUpgraded, upgrade.RollingBack: event.OpenClawRollingBack,
	upgrade.RolledBack: event.OpenClawRolledBack, upgrade.Stuck: event.OpenClawRolledBack,
}

func (b beside) tellStep(s upgrade.Step) {
	var fields map[string]any
	if s.Report != nil {
		fields = map[string]any{"from": s.Report.From, "to": s.Report.To, "ok": s.Report.OK, "snapshot": s.Report.Snapshot}
	}
	b.record(stepKinds[s.Step], b.gateway.Status().Generation, s.Message, fields)
}

// versionDesk answers for the versions of an engine's gateway. Upgrades are the
// work of its own goroutine (run): whoever asks for one may go away.
type versionDesk struct {
	app      *openClaw
	upgrader *upgrade.Upgrader
	requests chan versionRequest
	left     chan struct{} // closed when run has ended
	stop     context.CancelFunc
	stopped  context.Context // ended by stop
}

func newVersionDesk(u *upgrade.Upgrader) *versionDesk {
	d := &versionDesk{upgrader: u, requests: make(chan versionRequest), left: make(chan struct{})}
	d.stopped, d.stop = context.WithCancel(context.Background())
	return d
}

type versionRequest struct {
	upgrade.Request
	progress func(upgrade.Step)
	gone     <-chan struct{} // closed when nobody listens any more
	done     chan versionAnswer
}

type versionAnswer struct {
	report openclaw.UpgradeReport
	err    error
}

// run brings an upgrade to its end that was cut short, and carries out those that
// are asked for, until ctx ends or it is halted.
func (d *versionDesk) run(ctx context.Context, b beside) {
	defer close(d.left)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.stopped, cancel)()
	again := d.resume(ctx, b)
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			again = d.resume(ctx, b)
		case r := <-d.requests:
			report, err := d.upgrader.Upgrade(ctx, r.Request, func(s upgrade.Step) {
				select {
				case <-r.gone:
				default:
					r.progress(s)
				}
			})
			r.done <- versionAnswer{report, err}
			if err != nil {
				again = d.resume(ctx, b) // what it has begun
			}
		}
	}
}

// halt has run end, and waits for that until ctx ends. After that nothing of an upgrade is
// begun or written down by this desk.
func (d *versionDesk) halt(ctx context.Context) error {
	d.stop()
	select {
	case <-d.left:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an upgrade of OpenClaw does not stop: %w", context.Cause(ctx))
	}
}

// resumeAgain is the pause before it is tried again to bring an upgrade to its end: no
// other one can be had before, and what was in the way, such as a full disk, passes.
const resumeAgain = time.Minute

// resume brings an upgrade to its end that was cut short, if there is one. What it
// returns tells when to try again; nil: not at all.
func (d *versionDesk) resume(ctx context.Context, b beside) <-chan time.Time {
	err := d.upgrader.Resume(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	b.log.Error("an upgrade of OpenClaw that was cut short could not be brought to its end; creel tries again", "in", resumeAgain, "error", err)
	return time.After(resumeAgain)
}

// Upgrade implements api.Versions.
func (d *versionDesk) Upgrade(ctx context.Context, r upgrade.Request, progress func(upgrade.Step)) (openclaw.UpgradeReport, error) {
	if r.Version == "" {
		r.Version = openclaw.DefaultVersion
	}
	steps := make(chan upgrade.Step)
	gone := make(chan struct{})
	defer close(gone)
	request := versionRequest{Request: r, gone: gone, done: make(chan versionAnswer, 1), progress: func(s upgrade.Step) {
		select {
		case steps <- s:
		case <-gone:
		case <-d.stopped.Done():
		}
	}}
	select {
	case d.requests <- request:
	case <-d.left:
		return openclaw.UpgradeReport{}, context.Canceled
	case <-ctx.Done():
		return openclaw.UpgradeReport{}, context.Cause(ctx)
	default:
		return openclaw.UpgradeReport{}, &upgrade.RefusedError{Code: upgrade.CodeBusy, Reason: "another upgrade is under way, or the gateway is not attended to yet", Next: "see `creel openclaw versions`, and try again in a moment"}
	}
	for {
		select {
		case s := <-steps:
			progress(s)
		case a := <-request.done:
			return a.report, a.err
		case <-ctx.Done():
			return openclaw.UpgradeReport{}, context.Cause(ctx)
		}
	}
}

// Versions implements api.Versions.
func (d *versionDesk) Versions() (api.OpenClawVersions, error) {
	configured := d.app.cfg().Version
	installed, err := openclaw.Versions(d.app.layout, configured)
	if err != nil {
		return api.OpenClawVersions{}, err
	}
	record, err := openclaw.ReadVersionRecord(d.app.layout)
	if err != nil {
		return api.OpenClawVersions{}, err
	}
	return api.OpenClawVersions{Installed: installed, Used: record.Effective(configured), Trial: record.Trial, Last: record.Last}, nil
}
