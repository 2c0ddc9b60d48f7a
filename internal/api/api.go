// Package api is creel's own HTTP surface: what is under the prefix /_creel/api/,
// the signs of life beside it, and the names that moltworker used.
//
// # One table
//
// There is one table of routes ([API.Routes]). Each line has its method and path,
// the scope that it needs (package auth), the Go types of its parameters, its body
// and its answers, and its handler. Two doors are made from it:
//
//   - the public one, on the gateway's listener: the lines of the table behind
//     auth's gate, which lets through who may;
//   - the control socket, a unix socket in the data folder ([API.Control]): who may
//     open it is decided by the kernel (peer credentials: the same user, or root),
//     and is the owner. It has a few lines more, which only make sense there (the
//     upgrade, files written to this machine's disk).
//
// openapi.json is generated from the table and the types, is served, and is
// checked against real answers of every handler by test.
//
// # What callers can rely on
//
//   - Errors are problem documents (RFC 9457) with a stable code.
//   - What is not understood is refused, not passed over: unknown parameters,
//     members of a body and methods (405 with Allow). HEAD is answered wherever
//     GET is.
//   - Parameters are in the query; a body is JSON, and only where one is more than
//     a few words (making a token). The query of a request is not logged.
//   - A list is a JSON document. What goes on is a stream: JSON lines
//     (application/x-ndjson) or server-sent events, as Accept says; see stream.go
//     for its bounds. Long calls (snapshot, restore, verify) are streams of how far
//     they are, with the result at their end, or, with Accept: application/json,
//     one answer in the end with its own status.
//   - Nothing secret is in an answer: output, journal and configuration are
//     redacted. Exceptions are what was asked for by name: a new token's secret,
//     once, and the content of a file of a snapshot, both for administrators only.
//     The link with the gateway's token is told on the control socket alone.
//
// # What it costs
//
// A stream has two goroutines and a few KiB; mostStreams are served at once.
// Bodies are read up to 64 KiB, lists have a most. How often somebody may ask is
// the gate's business.
//
// # What was rejected
//
// Versions in media types (nobody who tries something with curl gets them right);
// WebSocket for live data (server-sent events resume by themselves and pass every
// proxy); gRPC (browsers, and one more language for the same words); OpenAPI first
// with generated handlers (they would be a second place that says what Go's types
// say already).
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/problem"
	"creel/internal/provider"
	"creel/internal/surface"
)

// Prefix is what all of creel's own paths begin with.
const Prefix = "/_creel/"

// apiPrefix is what the API's paths begin with, and v1Prefix those of its present
// version.
const (
	apiPrefix = Prefix + "api/"
	v1Prefix  = apiPrefix + "v1/"
)

func v1(what string) string { return v1Prefix + what }

// Gateway is what the API asks of a supervisor.
type Gateway interface {
	surface.Gateway
	Demand()
	AwaitEnd(ctx context.Context, generation uint64) (gateway.Fate, error)
	Lend(ctx context.Context, generation uint64, underWay bool) (gateway.Lease, error)
}

// What the API asks of the other parts of creel.
type (
	Journal = surface.Journal
	Devices = surface.Devices
)

// Options are what the API needs.
type Options struct {
	Gateway   Gateway
	Journal   Journal
	Metrics   http.Handler
	LogPath   string // the gateway's output
	Version   string
	StartedAt time.Time // of creel
	Listen    string
	Link      func() string   // the link to click, with what it takes to get in; may be nil
	SignIn    func() []string // how people show who they are; see Creel. May be nil
	// Upgrade replaces creel by the program that is on disk now, and returns once
	// that is in charge; may be nil.
	Upgrade func(ctx context.Context) error
	// Reload has creel read its configuration again; may be nil. Errors that it
	// tells apart: *config.Problems, and those with a method RefusedConfig.
	Reload func(ctx context.Context) (Reload, error)
	// Health lists what keeps creel from doing all of its work; may be nil.
	Health func() []health.Report
	// Pending lists what was read by a reload and does not count yet; may be nil.
	Pending func() []config.Change
	// Config is the configuration in force, and where its values come from; may be
	// nil.
	Config func() (*config.Config, *config.Sources)
	// Doctor looks at what keeps creel from doing all of its work; may be nil.
	Doctor func(ctx context.Context) []Finding
	// Devices are the gateway's; nil: it knows none.
	Devices Devices
	// Providers tells of the gateway's model providers.
	Providers func() provider.Report
	// Versions are those of OpenClaw; nil: the gateway is another program.
	Versions Versions
	// Snapshots are those of the gateway's state; nil: none are taken.
	Snapshots Snapshots
	// Identity is who may come in; nil: nobody is asked.
	Identity Identity
	// OpenClaw is what moltworker's names need; nil: they are not creel's, but the
	// gateway's.
	OpenClaw *OpenClaw
	Logger   *slog.Logger
}

// API makes the two doors.
type API struct {
	opts    Options
	streams streams
	known   requestBook
	ending  chan struct{} // closed by End
	endOnce func()
}

// New makes an API.
func New(o Options) *API {
	ending := make(chan struct{})
	return &API{opts: o, ending: ending, endOnce: sync.OnceFunc(func() { close(ending) })}
}

// table is all that there is. It is made anew for each door.
func (a *API) table() []route {
	var all []route
	for _, part := range [][]route{
		a.publicRoutes(), a.statusRoutes(), a.actRoutes(), a.eventRoutes(), a.logRoutes(), a.deviceRoutes(), a.providerRoutes(), a.snapshotRoutes(), a.versionRoutes(),
		a.settingRoutes(), a.identityRoutes(), a.ownerRoutes(), a.metricRoutes(), a.documentRoutes(), a.ownRoutes(), a.compatRoutes(),
	} {
		all = append(all, part...)
	}
	return all
}

// Routes are the lines of the table that the public door has, for auth's gate.
// They are good for one server.
func (a *API) Routes() []auth.Route {
	var public []route
	for _, r := range a.table() {
		if !r.socketOnly {
			public = append(public, r)
		}
	}
	return append(asRoutes(public), auth.Route{Pattern: apiPrefix, Needs: auth.Read, Handler: own(http.HandlerFunc(notFound))})
}

// KindSocket is the kind of those who come by the control socket.
const KindSocket auth.Kind = "socket"

// Control is the handler for the unix socket: all lines of the table, for the
// owner.
func (a *API) Control() http.Handler {
	mux := http.NewServeMux()
	for _, r := range asRoutes(a.table()) {
		mux.Handle(r.Pattern, r.Handler)
	}
	mux.Handle("/", own(http.HandlerFunc(notFound)))
	owner := auth.Principal{Name: "owner", Kind: KindSocket, Scopes: auth.OwnerScopes}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(auth.With(r.Context(), owner)))
	})
}

// own marks answers as creel's own, never to be stored or guessed at.
func own(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // only values of this package's own types come here
		panic(err)
	}
	w.Header().Set("Content-Type", mediaJSON)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone: nobody is left to tell
}

func bad(w http.ResponseWriter, detail string) {
	d := problem.Document{Status: http.StatusBadRequest, Code: "bad_request", Title: "Bad request", Detail: detail}
	d.Write(w)
}

func failed(w http.ResponseWriter, err error) {
	d := problem.Document{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "creel cannot do that now", Detail: err.Error(), RetryAfter: time.Second}
	d.Write(w)
}

func notFound(w http.ResponseWriter, r *http.Request) {
	d := problem.Document{
		Status: http.StatusNotFound, Code: "not_found", Title: "No such page of creel's",
		Detail: r.Method + " " + r.URL.Path, Hint: "Paths under " + Prefix + " are creel's own; the gateway has all others.",
	}
	d.Write(w)
}
