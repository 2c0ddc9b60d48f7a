package upgrade

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
)

// Gateway is the supervisor.
type Gateway interface {
	Status() gateway.Status
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
	Restart(ctx context.Context) error
}

// Keeper looks after the gateway's state.
type Keeper interface {
	Create(ctx context.Context, r snapshot.Request) (store.Snapshot, error)
	List(ctx context.Context) ([]store.Snapshot, error)
	Restore(ctx context.Context, r snapshot.RestoreRequest) (snapshot.Restored, error)
}

// Options are what an Upgrader needs.
type Options struct {
	Layout  openclaw.Layout
	Gateway Gateway
	Keeper  Keeper // nil: nobody looks after the state
	// Install makes sure that a version is installed.
	Install func(ctx context.Context, version string) error
	// Configured is gateway.version.
	Configured func() string
	// Tell is told of each step that outlives a caller, for the journal; may be nil.
	Tell func(Step)
	// Healthy is how long an instance of the new version has to be ready; 0:
	// DefaultHealthy.
	Healthy time.Duration
	// Most bounds a trial; 0: DefaultMost.
	Most time.Duration
}

// The time that a new version has.
const (
	// DefaultHealthy is longer than what a version that cannot work needs to fall
	// over its plugins and migrations, and short enough to be waited for.
	DefaultHealthy = 30 * time.Second
	// DefaultMost is two starts that use all of their time, and OpenClaw's doctor.
	DefaultMost = 20 * time.Minute
)

// The steps of an upgrade.
const (
	Installing  = "installing"
	Saving      = "saving"       // a snapshot is taken
	Starting    = "starting"     // the gateway stops, and starts with the new version
	Watching    = "watching"     // it is ready, and has to stay well
	Done        = "done"         // the new version counts
	RollingBack = "rolling_back" // the old version and the old state come back
	RolledBack  = "rolled_back"
	Stuck       = "stuck" // they could not be brought back
)

// Step is one step of an upgrade.
type Step struct {
	Step    string                  `json:"step"`
	Message string                  `json:"message"` // one sentence for a person
	Report  *openclaw.UpgradeReport `json:"report,omitempty"`
}

// Upgrader exchanges versions. Its methods may be called from any goroutine.
type Upgrader struct {
	opts Options
	busy sync.Mutex
}

// New makes an Upgrader.
func New(o Options) *Upgrader {
	if o.Healthy == 0 {
		o.Healthy = DefaultHealthy
	}
	if o.Most == 0 {
		o.Most = DefaultMost
	}
	return &Upgrader{opts: o}
}

// RefusedError says that an upgrade was not begun. Nothing was changed.
type RefusedError struct {
	Code   string // a stable word
	Reason string
	Next   string // the next step
}

func (e *RefusedError) Error() string { return e.Reason + "; " + e.Next }

// The codes.
const (
	CodeBusy        = "upgrade_under_way"
	CodeSame        = "same_version"
	CodeStopped     = "gateway_stopped"
	CodeNoSnapshots = "no_snapshots"
)

var errIsStopped = &RefusedError{CodeStopped, "the gateway is stopped, and whether a version works is seen only where it runs", "first: `creel start`"}

// Request asks for another version.
type Request struct {
	Version    string
	NoSnapshot bool // do without one, and without the old state if it fails
}

// Upgrade exchanges the version. It returns when the new one counts, or when the old
// one is back; the report says which, and the error that neither is so, or that
// nothing was begun (*RefusedError, *openclaw.InstallError). When ctx ends in the
// middle, Resume goes on.
func (u *Upgrader) Upgrade(ctx context.Context, r Request, progress func(Step)) (openclaw.UpgradeReport, error) {
	if !u.busy.TryLock() {
		return openclaw.UpgradeReport{}, &RefusedError{CodeBusy, "another upgrade is under way", "wait for it: `creel openclaw versions`"}
	}
	defer u.busy.Unlock()
	if progress == nil {
		progress = func(Step) {}
	}
	record, err := openclaw.ReadVersionRecord(u.opts.Layout)
	if err != nil {
		return openclaw.UpgradeReport{}, err
	}
	configured := u.opts.Configured()
	from := record.Effective(configured)
	switch {
	case record.Trial != nil:
		return openclaw.UpgradeReport{}, &RefusedError{CodeBusy, "an upgrade that was cut short is being brought to its end", "wait for it: `creel openclaw versions`"}
	case from == r.Version:
		return openclaw.UpgradeReport{}, &RefusedError{CodeSame, "OpenClaw " + from + " is the one that runs", "nothing is to be done"}
	case u.opts.Gateway.Status().StopAsked:
		return openclaw.UpgradeReport{}, errIsStopped
	case u.opts.Keeper == nil && !r.NoSnapshot:
		return openclaw.UpgradeReport{}, &RefusedError{CodeNoSnapshots, "snapshots are off, and without one the old state could not be brought back", "set snapshots.mode, or do without: --no-snapshot"}
	}
	trial := &openclaw.Trial{From: from, To: r.Version, Phase: openclaw.Trying, Configured: configured, Started: time.Now().UTC()}
	progress(Step{Step: Installing, Message: "installing OpenClaw " + r.Version + "; " + from + " runs on"})
	if err := u.opts.Install(ctx, r.Version); err != nil {
		return openclaw.UpgradeReport{}, err
	}
	if u.opts.Keeper != nil && !r.NoSnapshot {
		progress(Step{Step: Saving, Message: "taking a snapshot"})
		s, err := u.opts.Keeper.Create(ctx, snapshot.Request{Reason: store.BeforeUpgrade, Note: "before OpenClaw " + from + " -> " + r.Version})
		if err != nil {
			return openclaw.UpgradeReport{}, fmt.Errorf("cannot upgrade OpenClaw without a snapshot of the state: %w", err)
		}
		trial.Snapshot = string(s.ID)
	}
	st := u.opts.Gateway.Status()
	if st.StopAsked { // by now
		return openclaw.UpgradeReport{}, errIsStopped
	}
	trial.Generation = st.Generation
	// From here on the record decides what runs, whatever becomes of this creel.
	record.Trial = trial
	if err := u.write(ctx, record); err != nil {
		return openclaw.UpgradeReport{}, err
	}
	u.tell(progress, Step{Step: Starting, Message: fmt.Sprintf("OpenClaw %s takes the place of %s", trial.To, trial.From)})
	if err := u.opts.Gateway.Restart(ctx); err != nil {
		if ending(ctx, err) {
			return openclaw.UpgradeReport{}, cut(ctx, err) // Resume goes on
		}
		record.Trial = nil // nothing was begun
		return openclaw.UpgradeReport{}, errors.Join(fmt.Errorf("cannot have the gateway started with OpenClaw %s: %w", r.Version, err), record.Write(u.opts.Layout))
	}
	return u.finish(ctx, record, progress)
}

// Resume brings an upgrade to its end that an earlier creel has begun. It returns at
// once if there is none.
func (u *Upgrader) Resume(ctx context.Context) error {
	u.busy.Lock()
	defer u.busy.Unlock()
	record, err := openclaw.ReadVersionRecord(u.opts.Layout)
	if err != nil || record.Trial == nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	trial := record.Trial
	if trial.Phase == openclaw.Trying {
		// The instance that is found may be the old one.
		st, err := u.opts.Gateway.WaitFor(ctx, func(st gateway.Status) bool { return st.Generation > 0 && st.State != gateway.Stopped || st.StopAsked })
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // WaitFor does not look at it while what it waits for holds
			return context.Cause(ctx)
		}
		if !st.StopAsked && st.Generation <= trial.Generation && st.PID != 0 {
			if err := u.opts.Gateway.Restart(ctx); err != nil {
				return err
			}
		}
	}
	_, err = u.finish(ctx, record, func(Step) {})
	return err
}

// finish judges a trial and ends it, or goes back.
func (u *Upgrader) finish(ctx context.Context, record openclaw.VersionRecord, progress func(Step)) (openclaw.UpgradeReport, error) {
	trial := record.Trial
	if trial.Phase == openclaw.Trying {
		failure, err := u.judge(ctx, trial, progress)
		if err != nil {
			return openclaw.UpgradeReport{}, err
		}
		if failure == "" {
			record.Version, record.Instead, record.Trial = trial.To, trial.Configured, nil
			report := reportOf(trial)
			report.OK, record.Last = true, &report
			if err := u.write(ctx, record); err != nil {
				return openclaw.UpgradeReport{}, err
			}
			u.tell(progress, Step{Step: Done, Message: fmt.Sprintf("OpenClaw %s runs; it was %s", trial.To, trial.From), Report: &report})
			return report, nil
		}
		trial.Phase, trial.Reason = openclaw.RollingBack, failure
		if err := u.write(ctx, record); err != nil {
			return openclaw.UpgradeReport{}, err
		}
	}
	return u.goBack(ctx, record, progress)
}

func reportOf(t *openclaw.Trial) openclaw.UpgradeReport {
	now := time.Now().UTC()
	return openclaw.UpgradeReport{From: t.From, To: t.To, Reason: t.Reason, Snapshot: t.Snapshot, At: now, Took: now.Sub(t.Started)}
}

// goBack brings back the old version and the old state.
func (u *Upgrader) goBack(ctx context.Context, record openclaw.VersionRecord, progress func(Step)) (openclaw.UpgradeReport, error) {
	trial := record.Trial
	u.tell(progress, Step{Step: RollingBack, Message: fmt.Sprintf("OpenClaw %s does not work (%s); %s and its state come back", trial.To, trial.Reason, trial.From)})
	if err := u.wanted(ctx); err != nil {
		return openclaw.UpgradeReport{}, err // Resume goes on
	}
	err := u.restore(ctx, trial)
	if ending(ctx, err) {
		return openclaw.UpgradeReport{}, cut(ctx, err) // Resume goes on
	}
	report := reportOf(trial)
	if err != nil {
		err = fmt.Errorf("OpenClaw %s does not work (%s), and %s could not be brought back: %w; see `creel snapshot list` and `creel snapshot restore`", trial.To, trial.Reason, trial.From, err)
		u.tell(progress, Step{Step: Stuck, Message: err.Error(), Report: &report})
	}
	// The old version is what is to run, also where its state could not be brought
	// back: trying that again by itself would stop a gateway that a person has
	// mended meanwhile.
	record.Version, record.Instead, record.Trial, record.Last = trial.From, trial.Configured, nil, &report
	if written := u.write(ctx, record); written != nil || err != nil {
		return report, errors.Join(err, written)
	}
	what := "and its state are back"
	if trial.Snapshot == "" {
		what = "is back, without the state of before, which was not saved"
	}
	u.tell(progress, Step{Step: RolledBack, Message: fmt.Sprintf("OpenClaw %s %s; %s did not work: %s", trial.From, what, trial.To, trial.Reason), Report: &report})
	return report, nil
}

// restore has the old version started on the old state.
func (u *Upgrader) restore(ctx context.Context, trial *openclaw.Trial) error {
	if trial.Snapshot == "" || u.opts.Keeper == nil {
		before := u.opts.Gateway.Status().Generation
		if err := u.opts.Gateway.Restart(ctx); err != nil {
			return err
		}
		st, err := u.opts.Gateway.WaitFor(ctx, func(st gateway.Status) bool {
			return st.Generation > before && (st.State == gateway.Ready || st.State == gateway.Failed)
		})
		if err == nil && st.State == gateway.Failed {
			err = errors.New(st.Reason)
		}
		return err
	}
	id := store.ID(trial.Snapshot)
	list, err := u.opts.Keeper.List(ctx)
	if err != nil {
		return err
	}
	for _, s := range list { // oldest first
		// The launch has taken a later one, of the stopped gateway.
		if s.Reason == store.BeforeUpgrade && s.AppVersion == trial.From && s.Damaged == "" && !s.Time.Before(trial.Started) {
			id = s.ID
		}
	}
	trial.Snapshot = string(id)
	// What the new version has made of the state is set aside, not saved.
	_, err = u.opts.Keeper.Restore(ctx, snapshot.RestoreRequest{ID: id, NoSnapshot: true})
	return err
}

// write puts the record on disk, unless ctx has ended: it may be another creel's by now,
// which goes on from what it has found.
func (u *Upgrader) write(ctx context.Context, record openclaw.VersionRecord) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return record.Write(u.opts.Layout)
}

// ending tells whether something was cut off because this creel ends, which says nothing
// about the upgrade. The keeper may hear of it before ctx ends.
func ending(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, snapshot.ErrEnding) || errors.Is(err, context.Canceled)
}

// cut is the error of what was cut off.
func cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (u *Upgrader) tell(progress func(Step), s Step) {
	progress(s)
	if u.opts.Tell != nil {
		u.opts.Tell(s)
	}
}
