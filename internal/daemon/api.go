package daemon

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
)

// apiOptions are what an engine's API needs; logPath is the gateway's output.
func (e *engine) apiOptions(logPath string) api.Options {
	d := e.d
	return api.Options{
		Gateway: e.gateway, Journal: e.journal, Metrics: d.metrics.Handler(), LogPath: logPath, Version: d.opts.Version,
		StartedAt: d.started, Listen: d.addr, Link: d.link, Upgrade: d.askUpgrade, Reload: d.askReload, Pending: d.pending,
		Config: d.explained, Doctor: d.opts.Doctor, Devices: e.devices(), Providers: d.providers.report, Versions: e.versions(), Snapshots: e.keeper.asSnapshots(), Health: d.health.Current,
		Identity: d.gate, SignIn: d.gate.Methods, OpenClaw: e.moltworker(), Logger: d.log,
	}
}

// explained is the configuration in force, and where its values come from.
func (d *daemon) explained() (*config.Config, *config.Sources) {
	read := d.read.Load()
	if read == nil {
		read = d.opts.Config
	}
	if d.opts.Sources == nil {
		return d.cfg(), nil
	}
	return d.cfg(), d.opts.Sources(read)
}

// moltworker is what the names of moltworker need; nil: the gateway is another
// program.
func (e *engine) moltworker() *api.OpenClaw {
	o, ok := e.d.app.(*openClaw)
	if !ok {
		return nil
	}
	return &api.OpenClaw{
		Requests: func(ctx context.Context) (list json.RawMessage, err error) {
			client, err := o.connected(ctx, e.gateway.Status())
			if err != nil {
				return nil, err
			}
			err = client.Call(ctx, "device.pair.list", nil, &list)
			return list, err
		},
		Debug: func() bool { return e.d.cfg().Compat.DebugRoutes == config.DebugRoutesOn },
		Versions: func() (claw, node string) {
			installer := openclaw.Installer{Layout: o.layout, Version: e.d.cfg().Gateway.Version, Environ: o.environ}
			found, err := installer.Find()
			if err != nil {
				return err.Error(), ""
			}
			return found.Version, found.NodeVersion
		},
		Config: func() ([]byte, error) { return os.ReadFile(o.layout.Config()) },
		Environ: func() map[string]bool {
			set := map[string]bool{}
			for _, kv := range o.environ {
				name, value, _ := strings.Cut(kv, "=")
				set[name] = value != ""
			}
			for name, value := range e.d.cfg().Gateway.Env {
				set[name] = value != ""
			}
			return set
		},
	}
}

// connectTime is how long after the gateway got ready whoever asks it for something
// waits for creel's connection, which is made in that moment. One that is missing
// for longer is in trouble, and that is said at once.
const connectTime = 5 * time.Second

// connected gives creel's connection to the gateway; without one calls fail by
// themselves.
func (o *openClaw) connected(ctx context.Context, st gateway.Status) (*rpc.Client, error) {
	client := o.client.Load()
	if client == nil {
		return nil, &rpc.NotConnectedError{}
	}
	if left := connectTime - time.Since(st.Since); st.Ready() && left > 0 && !client.View().Connected {
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		_, _ = client.WaitFor(ctx, func(v rpc.View) bool { return v.Connected }) // the call says why there is none
	}
	return client, nil
}
