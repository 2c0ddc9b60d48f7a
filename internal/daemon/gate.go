package daemon

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/ui"
)

// OpenDoorError says that creel was told to ask nobody, where anybody may come.
type OpenDoorError struct{ Addr string }

func (e *OpenDoorError) Error() string {
	return "cannot use auth.mode: " + config.NoAuthRefusal(e.Addr)
}

// AuthError says that a way to sign in cannot be set up.
type AuthError struct{ Err error }

func (e *AuthError) Error() string { return "cannot set up who may come in: " + e.Err.Error() }
func (e *AuthError) Unwrap() error { return e.Err }

// checkAuth finds out what is wrong with auth before anything is begun.
func (d *daemon) checkAuth() error {
	if err := auth.Check(d.cfg().Auth); err != nil {
		return &AuthError{err}
	}
	return nil
}

// newGate makes the gate in front of everything, for the address that creel
// listens on.
func (d *daemon) newGate() (*auth.Gate, error) {
	cfg := d.cfg()
	mode := cfg.AuthMode(d.addr)
	if mode == config.AuthNone && !config.IsLoopback(d.addr) {
		return nil, &OpenDoorError{d.addr} // the service manager has opened another address than listen
	}
	gate, err := auth.New(auth.Options{
		Name: cfg.Gateway.Name, Dir: filepath.Join(privateDir(cfg.DataDir), "auth"), Config: cfg.Auth, Open: mode == config.AuthNone,
		Listen: d.addr, Sender: d.sender, Home: d.home(), OpenGateway: d.app.opening, GatewayToken: d.app.secret,
		Absolute: d.absolute, Journal: &d.journal, Logger: d.log,
	})
	if err != nil {
		return nil, &AuthError{err}
	}
	if mode == config.AuthNone {
		d.log.Info("nobody is asked to sign in: whoever is on this machine is taken for the owner", "listen", d.addr, "change", "auth.mode: link")
	}
	return gate, nil
}

func (d *daemon) sender(r *http.Request) auth.Sender {
	client, host, https, forwarded := d.proxy.Sender(r)
	return auth.Sender{Addr: client, Host: host, HTTPS: https, Forwarded: forwarded}
}

// watchClient ends an upgraded connection with the session of its client.
func (d *daemon) watchClient(ctx context.Context, end func()) (forget func()) {
	return d.gate.Watch(ctx, end)
}

// ownCookie tells whether a cookie is creel's.
func (d *daemon) ownCookie(name string) bool { return d.gate.OwnCookie(name) }

// home is where a person goes who has signed in.
func (d *daemon) home() string { return ui.Prefix }

// absolute makes an address to click, on this machine, of a path.
func (d *daemon) absolute(path string) string {
	return d.secure("http://"+browsable(d.addr)) + path
}

// link is the address to click; it holds what it takes to get in, and may be good
// once.
func (d *daemon) link() string {
	if d.gate.Open() {
		return d.secure(d.app.link(d.addr))
	}
	return d.absolute(d.gate.FirstLink())
}

// gated is what clients get from an engine, and from the gateway behind it.
func (d *daemon) gated(e *engine) http.Handler { return d.gate.Handler(e.routes(), d.proxy) }

// gatedSuccessor is what clients of a creel that drains get: creel's own pages as
// the successor shows them, whose gate is asked, and the gateway by way of it.
func (d *daemon) gatedSuccessor(routes []auth.Route) http.Handler {
	pages := d.successorPages()
	gateway := d.gate.Handler(nil, d.proxy)
	own := http.NewServeMux()
	if !slices.ContainsFunc(routes, func(r auth.Route) bool { return r.Pattern == auth.Prefix }) {
		routes = append(routes, auth.Route{Pattern: auth.Prefix})
	}
	for _, r := range routes {
		own.Handle(r.Pattern, pages)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := own.Handler(r); pattern != "" || strings.HasPrefix(r.URL.Path, auth.Prefix) {
			pages.ServeHTTP(w, r)
			return
		}
		gateway.ServeHTTP(w, r)
	})
}

// closeGate ends the gate.
func (d *daemon) closeGate() {
	if err := d.gate.Close(); err != nil {
		d.log.Warn("when sessions were last used is not kept", slog.Any("error", err))
	}
}
