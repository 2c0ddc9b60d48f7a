package daemon

import (
	"context"
	"net/http"
	"net/netip"
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
		Config: d.shownConfig, Pending: d.pending, Version: d.opts.Version, StartedAt: d.started, Listen: d.addr,
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

// shownConfig is the configuration in force, and where its values came from.
func (d *daemon) shownConfig() (*config.Config, *config.Sources) {
	if d.opts.Sources == nil {
		return d.cfg(), nil
	}
	return d.cfg(), d.opts.Sources()
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

// serve puts the pages beside what else is creel's own.
func (p *adminPages) serve(d *daemon, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	protection := http.NewCrossOriginProtection()
	for _, route := range p.Routes() {
		mux.Handle(route.Pattern, d.admit(route))
	}
	mux.Handle("GET "+ui.OpenPath, http.RedirectHandler("/", http.StatusSeeOther))
	mux.Handle("GET "+strings.TrimSuffix(ui.Prefix, "/"), http.RedirectHandler(ui.Prefix, http.StatusFound))
	mux.Handle("/", next)
	return protection.Handler(mux)
}

// admit lets those in whose principal has the scope that a route needs.
func (d *daemon) admit(route auth.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := d.who(r)
		if !who.May(route.Needs) {
			d := problem.Document{Status: http.StatusForbidden, Code: "forbidden", Title: "Not allowed", Detail: "this needs the right " + string(route.Needs)}
			d.Write(w)
			return
		}
		route.Handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), who)))
	})
}

func isLoopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().IsLoopback()
}

// isOwn tells creel's own paths from the gateway's.
func (d *daemon) isOwn(path string) bool {
	if strings.HasPrefix(path, ui.Prefix) || path == strings.TrimSuffix(ui.Prefix, "/") {
		return true
	}
	// moltworker's name of the pages.
	return d.cfg().Gateway.Preset == config.PresetOpenClaw && (path == "/_admin" || strings.HasPrefix(path, "/_admin/"))
}

// problemPage is the proxy's hook for browsers that are to be told of a failure.
func (d *daemon) problemPage(w http.ResponseWriter, r *http.Request, p *problem.Document) bool {
	loading := d.leases.present().loading
	return loading != nil && loading.Problem(w, r, p)
}

// who says who is asking. Where nobody has said so, and only this machine can
// reach creel, it is the owner.
func (d *daemon) who(r *http.Request) auth.Principal {
	who := auth.From(r.Context())
	if who.Kind == auth.KindAnonymous && isLoopback(d.addr) {
		return auth.Principal{Name: "owner", Kind: auth.KindLocal, Scopes: auth.OwnerScopes}
	}
	return who
}
