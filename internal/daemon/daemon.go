// Package daemon puts a creel together and runs it: the lock on the data
// folder, the journal, the supervisor of the gateway, the proxy in front of it,
// and creel's own pages and socket.
//
// It guarantees an order. Up: lock, listener, journal, supervisor, serving; what
// fails is undone and said. Down: the gateway is drained and stopped while
// clients still get answers, then the listeners close.
//
// An upgrade replaces creel while requests go on (upgrade.go). What there may
// be only one of per data folder is the engine; the front (listener, proxy, open
// connections) of the old creel outlives its engine until the drain is over.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"creel/internal/api"
	"creel/internal/auth"
	"creel/internal/census"
	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/handover"
	"creel/internal/health"
	"creel/internal/openclaw"
	"creel/internal/proxy"
	"creel/internal/runtime/process"
	"creel/internal/telemetry"
	"creel/internal/ui"
)

// Options are what Run needs.
type Options struct {
	Config  *config.Config
	Args    []string // creel's arguments, for a successor
	Environ []string // creel's environment, of which the gateway gets its part
	Version string
	Logger  *slog.Logger
	// Predecessor is the creel that this one is to replace; nil: none.
	Predecessor *handover.Predecessor
	// Hurry, when closed while creel stops, ends the waiting for requests and
	// for the gateway's good order: it is killed.
	Hurry <-chan struct{}
	// Upgrade asks, with each value, for the upgrade to the program that is on
	// disk now; nil: never.
	Upgrade <-chan os.Signal
	// Reload reads the configuration again, from where Config came from; nil: it
	// cannot be read again. Its error is a *config.Problems or *RefusedError.
	Reload func() (*config.Config, error)
	// Sources tells where the values of Config, or of what Reload has read last, come
	// from; nil: it is not known.
	Sources func(read *config.Config) *config.Sources
	// Doctor looks at what keeps creel from doing all of its work; may be nil.
	Doctor func(ctx context.Context) []api.Finding
	// SetLogLevel changes what Logger lets pass; may be nil.
	SetLogLevel func(level string)
	// OnState is called with every new state of the gateway, from one goroutine.
	OnState func(st gateway.Status, link string)
	// OnInstall is called while a preset installs its app.
	OnInstall func(openclaw.Progress)
}

// The parts of a gateway's policy that are not configured.
const (
	// stableAfter makes an instance trustworthy again.
	stableAfter = 10 * time.Second
	// killRetry is between attempts at ending what SIGKILL did not end, which
	// hangs in the kernel (usually on a disk).
	killRetry = 5 * time.Second
	// silentGrace is what an instance that does not answer gets between SIGTERM
	// and SIGKILL: requests wait for its successor.
	silentGrace = 5 * time.Second
	// shutdownTime bounds the end of what is left when the gateway has stopped:
	// answers on their way to slow clients.
	shutdownTime = 5 * time.Second
	// cutTime bounds the end of requests that are cut after that.
	cutTime = 2 * time.Second
	// tailLines is how many of the gateway's last lines go with a crash.
	tailLines = 20
)

// daemon is a creel that runs.
type daemon struct {
	opts        Options
	now         atomic.Pointer[config.Config] // see cfg
	read        atomic.Pointer[config.Config] // as the last reload has read it; nil: there was none
	planned     atomic.Pointer[planned]       // what the last instance was planned with
	log         *slog.Logger
	started     time.Time
	lock        *lock
	listener    net.Listener
	addr        string // where clients connect
	app         app
	providers   *providers
	metrics     *telemetry.Metrics
	health      *health.Registry
	disk        *health.Disk
	spare       *health.Spare
	look        chan struct{}          // asks watch to look at once
	engine      *engine                // owned by serve
	engineNow   atomic.Pointer[engine] // the same, for all others
	leases      *leases                // what the proxy asks for leases
	gate        *auth.Gate             // in front of all that clients get
	journal     journal                // the present engine's
	proxy       *proxy.Proxy
	public      *http.Server
	cutRequests context.CancelCauseFunc // ends what is under way for clients
	census      census.Census           // connections of clients: the server's, and those that were upgraded
	again       *replays
	successor   atomic.Pointer[remote] // the creel that has taken over; nil: none
	leaving     atomic.Bool            // a successor is in charge: connections are to come to an end
	upgrades    chan upgradeRequest
	reloads     chan reloadRequest
	left        chan struct{} // closed when serve takes no more requests of these sorts
	certificate certificate
	dropping    remains         // what is left of engines that were left, and devices that are being let in
	outlived    context.Context // ends when the last requests of such engines have
}

// Run runs a creel until ctx ends, and stops its gateway then, or until a
// successor has taken over. Errors that a caller may want to tell apart:
// *InUseError, *DataDirError, *AddressError, *openclaw.InstallError (see plan).
func Run(ctx context.Context, o Options) (err error) {
	d := &daemon{
		opts: o, log: o.Logger, started: time.Now(), leases: newLeases(),
		upgrades: make(chan upgradeRequest), reloads: make(chan reloadRequest), left: make(chan struct{}),
	}
	d.now.Store(o.Config)
	defer func() {
		if err != nil && o.Predecessor != nil {
			o.Predecessor.Failed(err) // of no effect once this creel is in charge
		}
	}()
	if err := d.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lock.close()) }()
	defer d.listener.Close() // closed by then, but for an early return
	defer d.closeHealth()
	defer func() { err = errors.Join(err, d.endProviders()) }()
	if err := d.assemble(); err != nil {
		return err
	}
	d.seclude()
	defer d.closeGate()
	if os.Getpid() == 1 {
		reaping, stop := context.WithCancel(context.Background())
		defer stop()
		go func() {
			if err := process.Reap(reaping); err != nil && reaping.Err() == nil {
				d.log.Error("orphans are no longer reaped", "error", err)
			}
		}()
	}
	return d.serve(ctx)
}

// open takes the lock and the listener, from the predecessor if there is one.
func (d *daemon) open(ctx context.Context) (err error) {
	if err := d.certificate.load(d.cfg().TLS); err != nil { // said at once, not with the first client
		return err
	}
	if err := d.checkAuth(); err != nil {
		return err
	}
	if d.opts.Predecessor != nil {
		return d.inherit(ctx)
	}
	if d.lock, err = lockDataDir(d.cfg().DataDir); err != nil {
		return err
	}
	if d.listener, err = listen(d.cfg().Listen); err != nil {
		return errors.Join(err, d.lock.close())
	}
	return nil
}

// assemble makes all parts.
func (d *daemon) assemble() (err error) {
	d.addr = d.listener.Addr().String()
	states := make([]string, len(gateway.States))
	for i, s := range gateway.States {
		states[i] = string(s)
	}
	d.metrics = telemetry.NewMetrics(telemetry.MetricsOptions{Version: d.opts.Version, States: states, Conditions: conditionNames()})
	d.health = d.newHealth()
	d.disk, d.spare, d.look = health.NewDisk(d.cfg().DataDir, d.health), health.NewSpare(d.health), make(chan struct{}, 1)
	if d.providers, err = d.newProviders(); err != nil {
		return err
	}
	if d.app, err = d.newApp(); err != nil {
		return err
	}
	d.again = &replays{journal: &d.journal, gateway: d.cfg().Gateway.Name}
	d.proxy, err = proxy.New(proxy.Options{
		Name: d.cfg().Gateway.Name, Gateway: d.leases, Config: d.cfg().Proxy, Attribute: d.app.attribute(), Admit: d.app.admit(),
		Waiting: d.waiting, Page: d.problemPage, Wording: d.wording, Pause: d.pauseForApproval, Watch: d.watchClient, OwnCookie: d.ownCookie, BodyDir: d.cfg().DataDir, Disk: d.bodyDisk, NoDial: d.noDial, Journal: &d.journal, Recorder: recorder{d.metrics, &d.census, d.again}, Logger: d.log,
	})
	if err != nil {
		return err
	}
	if d.gate, err = d.newGate(); err != nil {
		d.proxy.Close()
		return err
	}
	if d.engine, err = d.newEngine(nil); err != nil {
		d.closeGate()
		d.proxy.Close()
		return err
	}
	d.install(d.engine)
	d.public = proxy.Server(d.cfg().Proxy, d.front(), d.log)
	d.public.ConnState = d.census.ConnState
	d.public.BaseContext = d.baseContext()
	d.public.TLSConfig = d.certificate.config()
	return nil
}

func (d *daemon) newApp() (app, error) {
	if d.cfg().Gateway.Preset == config.PresetOpenClaw {
		return d.newOpenClaw()
	}
	return &command{environ: d.opts.Environ}, nil
}

// secure makes an address begin with https where creel speaks TLS.
func (d *daemon) secure(address string) string {
	if rest, ok := strings.CutPrefix(address, "http://"); ok && d.cfg().TLS.Cert != "" {
		return "https://" + rest
	}
	return address
}

// install makes an engine the one that requests are served by.
func (d *daemon) install(e *engine) {
	d.engineNow.Store(e)
	d.journal.present.Store(e.journal)
	d.leases.set(e.gateway, &ui.Loading{Gateway: e.gateway, Who: d.gate.Asking}, d.gated(e))
}

// waiting is the proxy's hook for browsers that would have to wait.
func (d *daemon) waiting(w http.ResponseWriter, r *http.Request) bool {
	if d.awaitApproval(r) {
		return false
	}
	loading := d.leases.present().loading
	return loading != nil && loading.Waiting(w, r)
}

// front is the handler of the gateway's listener.
func (d *daemon) front() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.leaving.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // the next one goes to the successor
		}
		d.leases.present().public.ServeHTTP(w, r)
	})
}

// journal hands events to the present engine's journal.
type journal struct{ present atomic.Pointer[event.Journal] }

// Record drops what comes before the first journal is open: the log has it.
func (j *journal) Record(e event.Event) {
	if present := j.present.Load(); present != nil {
		present.Record(e)
	}
}
