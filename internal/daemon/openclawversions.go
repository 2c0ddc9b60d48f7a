package daemon

import (
	"context"
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
	d := &versionDesk{app: o, upgrader: upgrade.New(options), requests: make(chan versionRequest), left: make(chan struct{})}
	o.desk = d
	return d
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
// are asked for, until ctx ends.
func (d *versionDesk) run(ctx context.Context, b beside) {
	defer close(d.left)
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
