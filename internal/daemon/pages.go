package daemon

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/history"
	"creel/internal/problem"
	"creel/internal/runtime/process"
	"creel/internal/ui"
)

// adminPages are the admin pages of an engine.
type adminPages struct {
	*ui.UI
	history *history.Sampler
}

// newPages makes the pages. They are served once the engine is installed.
func (e *engine) newPages() *adminPages {
	d := e.d
	p := &adminPages{history: history.New(e.reading)}
	o := ui.Options{
		Supervisor: e.gateway, Journal: e.journal, Logs: ui.LogFile(process.LogPath(gatewayDir(d.cfg()))), History: p.history, Health: d.health.Current,
		Identity: d.gate, Config: d.explained, Pending: d.pending, Version: d.opts.Version, StartedAt: d.started, Listen: d.addr, Doctor: d.opts.Doctor,
		Admin: d.cfg().Gateway.Preset == config.PresetOpenClaw, Logger: d.log,
	}
	// A nil pointer in an interface is not nil.
	if s := e.keeper.asSnapshots(); s != nil {
		o.Snapshots = s
	}
	if devices := e.devices(); devices != nil {
		o.Devices = devices
	}
	p.UI = ui.New(o)
	return p
}

// close ends the pages that are open. What was asked for on them must have been
// told to end.
func (p *adminPages) close() {
	if p != nil {
		p.Close()
	}
}

// reading is what the gateway uses at this moment.
func (e *engine) reading(context.Context) history.Reading {
	r := history.Reading{At: time.Now()}
	r.Requests, r.Failed = e.d.metrics.Requests()
	st := e.gateway.Status()
	if st.PID == 0 {
		return r
	}
	r.Generation = st.Generation
	if use, ok := e.runtime.Use(); ok && use.Generation == st.Generation { // else it is about to end, or to begin
		r.Memory, r.CPU, r.Used = use.Memory, use.CPU, true
	}
	return r
}

// routes is the table of all that is creel's own.
func (e *engine) routes() []auth.Route {
	bare := strings.TrimSuffix(ui.Prefix, "/")
	return slices.Concat(e.api.Routes(), e.pages.Routes(), []auth.Route{
		{Pattern: "GET " + bare, Handler: http.RedirectHandler(ui.Prefix, http.StatusFound)},
	})
}

// problemPage is the proxy's hook for browsers that are to be told of a failure.
func (d *daemon) problemPage(w http.ResponseWriter, r *http.Request, p *problem.Document) bool {
	loading := d.leases.present().loading
	return loading != nil && loading.Problem(w, r, p)
}
