package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
	"creel/internal/runtime"
	"creel/internal/snapshot/capture"
	"creel/internal/telemetry"
)

// openClaw is the OpenClaw gateway, installed and configured by creel.
type openClaw struct {
	listen    string              // where clients connect
	names     []string            // the names that browsers elsewhere reach creel by
	secure    func(string) string // makes an address that of a listener with TLS if need be
	all       []string            // creel's environment
	environ   []string
	layout    openclaw.Layout
	providers *providers
	progress  func(openclaw.Progress)
	health    *health.Registry
	journal   gateway.Journal
	cfg       func() config.Gateway
	exec      openclaw.Exec // runs OpenClaw's command line, and its installation
	port      port
	token     atomic.Value               // telemetry.Secret, once configured
	client    atomic.Pointer[rpc.Client] // the present engine's; nil: none yet
	room      openclaw.WaitingRoom       // for devices that wait for approval

	inspecting sync.Mutex // held while an openclaw.Inspector is used

	pluginsTried time.Time // when a plugin could not be installed, of launches, which follow one another

	upgrading sync.Mutex   // protects desk
	desk      *versionDesk // the present engine's; nil: none yet
}

// newOpenClaw makes the preset's app.
func (d *daemon) newOpenClaw() (*openClaw, error) {
	layout, err := openclaw.LayoutIn(d.cfg().DataDir)
	if err != nil {
		return nil, err
	}
	return &openClaw{
		listen: d.addr, names: d.cfg().Auth.Hosts, secure: d.secure, all: d.opts.Environ, environ: d.gatewayEnviron(), layout: layout, providers: d.providers, progress: d.opts.OnInstall,
		health: d.health, journal: &d.journal, cfg: func() config.Gateway { return d.cfg().Gateway },
		exec: func(cmd *exec.Cmd) error { return RunApart(d.cfg(), cmd) },
	}, nil
}

// publicOrigins are where browsers elsewhere see the gateway: at these names, at a
// proxy that speaks TLS at the usual port, or at creel itself if that speaks it. The
// Control UI does not work without TLS there (see openclaw.Link).
func publicOrigins(names []string, listen string, secure func(string) string) []string {
	var origins []string
	for _, name := range names {
		origins = append(origins, "https://"+name)
		if _, port, err := net.SplitHostPort(listen); err == nil && port != "443" {
			if own := secure("http://" + net.JoinHostPort(name, port)); strings.HasPrefix(own, "https:") {
				origins = append(origins, own)
			}
		}
	}
	return origins
}

// plan installs what is not installed, puts the keys that creel owns into the
// configuration, and says what to run.
func (o *openClaw) plan(ctx context.Context, g config.Gateway, generation uint64) (runtime.Spec, error) {
	version, err := openclaw.EffectiveVersion(o.layout, g.Version)
	if err != nil {
		return runtime.Spec{}, &gateway.PlanError{Cause: gateway.CauseLaunch, Hint: "See the message; then `creel restart`.", Permanent: true, Err: err}
	}
	installation, err := o.installer(version).Install(ctx)
	if err != nil {
		return runtime.Spec{}, &gateway.PlanError{Cause: gateway.CauseLaunch, Hint: "See the message; then `creel restart`.", Err: err}
	}
	port, err := o.port.choose(g.Port)
	if err != nil {
		return runtime.Spec{}, err
	}
	origins, err := openclaw.Origins(o.listen)
	if err != nil {
		return runtime.Spec{}, err
	}
	for i := range origins {
		origins[i] = o.secure(origins[i])
	}
	settings := openclaw.Settings{Port: port, Origins: append(origins, publicOrigins(o.names, o.listen, o.secure)...)}
	if err := o.fromVariables(g, &settings); err != nil {
		return runtime.Spec{}, err
	}
	configured, err := o.configure(ctx, g, generation, installation, settings)
	if err != nil {
		return runtime.Spec{}, err
	}
	if err := o.ensurePlugins(ctx, g, generation, installation); err != nil {
		return runtime.Spec{}, err
	}
	for _, note := range configured.Notes {
		o.noteConfig(openclaw.ConfigNote{What: openclaw.ConfigWarning, By: openclaw.ByCreel, Message: note}, generation)
	}
	if err := o.keepToken(configured.Token); err != nil {
		return runtime.Spec{}, err
	}
	inherited, err := o.inherited(g)
	if err != nil {
		return runtime.Spec{}, variablesRefused(err)
	}
	call, err := openclaw.Command(o.layout, installation, port, inherited, o.providers.withoutKeys(g))
	if err != nil {
		return runtime.Spec{}, err
	}
	return runtime.Spec{
		Gateway: g.Name, Generation: generation, Command: call.Argv, Dir: call.Dir, Env: call.Env, Port: port,
		ConfigHash: config.Hash(g), Limits: limitsOf(g.Limits),
	}, nil
}

// keepToken keeps the gateway's token for the link, and out of everything that
// is logged.
func (o *openClaw) keepToken(token telemetry.Secret) error {
	o.token.Store(token)
	if err := telemetry.Register(token.Reveal()); err != nil {
		return fmt.Errorf("cannot keep the gateway's token out of logs: %w", err)
	}
	return nil
}

// state is the gateway's home: agents install and log in to tools there too.
func (o *openClaw) state(g config.Gateway) []string {
	return append(o.layout.StateDirs(), g.State...)
}

func (o *openClaw) notState() []string {
	return append(o.layout.StateIgnore(), capture.DefaultIgnore...)
}

func (o *openClaw) explain(exit runtime.Exit, log []string) gateway.End {
	cause := openclaw.ExplainExit(exit, log, o.farewell())
	end := gateway.End{At: exit.At, Cause: gateway.Cause(cause.Cause), Message: cause.Message, Hint: cause.Hint, Log: log, Permanent: cause.Permanent}
	switch cause.Cause {
	case openclaw.CauseConfigRefused:
		if exit.Known && o.refused(cause.Message) {
			end.Permanent = false
			end.Hint = "creel has OpenClaw's doctor look at it once, then goes back to the configuration that ran last: see `creel events`."
		}
	case openclaw.CauseOOM:
		end.Message = "OpenClaw was " + exit.String() // with the limit and the peak
	case openclaw.CauseSelfRestart:
		end.Benign = true // it means to be started again; nothing is wrong
	case openclaw.CauseSignal, openclaw.CauseUnknown, openclaw.CauseExitCode:
		if end.Hint == "" {
			end.Hint = gateway.Explain(exit, nil).Hint
		}
	}
	return end
}

// attribute follows OpenClaw's rule: it refuses fields that speak of a loopback
// client, and takes a request without any for one of this machine.
func (o *openClaw) attribute() func(netip.Addr) bool {
	return func(client netip.Addr) bool { return openclaw.ForwardingFor(client, false) == openclaw.Set }
}

// admit keeps out what came through another program on this machine that creel
// was not told of, such as a reverse proxy: stripped of its fields every remote
// client would be one of this machine, and an admin without asking.
func (o *openClaw) admit() func(netip.Addr, bool) bool {
	return func(client netip.Addr, claimed bool) bool {
		return openclaw.ForwardingFor(client, claimed) != openclaw.Refuse
	}
}

func (o *openClaw) link(listen string) string {
	link, err := openclaw.Link(listen, telemetry.Secret(o.secret()))
	if err != nil || o.secret() == "" {
		return "http://" + browsable(listen) + "/"
	}
	return link
}

// opening has the token in the fragment, which is sent to no server.
func (o *openClaw) opening() string {
	if o.secret() == "" {
		return "/"
	}
	return openclaw.Opening(telemetry.Secret(o.secret()))
}

func (o *openClaw) secret() string {
	if token, ok := o.token.Load().(telemetry.Secret); ok {
		return token.Reveal()
	}
	kept, err := openclaw.ReadToken(o.layout) // an instance of an earlier creel was taken over
	if err != nil {
		return ""
	}
	return kept.Reveal()
}
