// Package api is creel's own HTTP surface, under the prefix /_creel/.
//
// Two doors lead to it. The public one is on the gateway's listener and tells
// strangers no more than whether the gateway is ready. The control door is a
// unix socket in the data folder: who may open it is decided by the kernel
// (peer credentials: the same user, or root), and it tells and does everything.
package api

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
)

// Prefix is what all of creel's own paths begin with.
const Prefix = "/_creel/"

// controlPrefix is what the paths of the control door begin with.
const controlPrefix = Prefix + "api/v1/"

// Gateway is what the API asks of a supervisor.
type Gateway interface {
	Status() gateway.Status
	Held() int
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Restart(ctx context.Context) error
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
}

// Journal is what the API asks of the journal.
type Journal interface {
	// Recent gives the last n events, oldest first.
	Recent(n int) []event.Event
	// Subscribe gives the events after a sequence number, and then those to
	// come, until ctx ends.
	Subscribe(ctx context.Context, after uint64) iter.Seq[event.Event]
}

// Options are what the API needs.
type Options struct {
	Gateway   Gateway
	Journal   Journal
	Metrics   http.Handler
	LogPath   string // the gateway's output
	Version   string
	StartedAt time.Time // of creel
	Listen    string
	Link      func() string // the link to click, with what it takes to get in; may be nil
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
	// Devices are the gateway's; nil: it knows none.
	Devices Devices
	// Snapshots are those of the gateway's state; nil: none are taken.
	Snapshots Snapshots
	Logger    *slog.Logger
}

// API makes the two handlers.
type API struct{ opts Options }

// New makes an API.
func New(o Options) *API { return &API{o} }

// Public is the handler for the gateway's listener.
func (a *API) Public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"status", a.publicStatus)
	mux.HandleFunc("GET "+Prefix+"healthz", a.healthz)
	mux.HandleFunc("GET "+Prefix+"readyz", a.readyz)
	mux.Handle("GET "+Prefix+"metrics", a.opts.Metrics)
	mux.HandleFunc(Prefix, notFound)
	return own(mux)
}

// Control is the handler for the unix socket.
func (a *API) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+controlPrefix+"status", a.status)
	mux.HandleFunc("GET "+controlPrefix+"events", a.events)
	mux.HandleFunc("GET "+controlPrefix+"logs", a.logs)
	mux.HandleFunc("POST "+controlPrefix+"start", a.act(Gateway.Start, started))
	mux.HandleFunc("POST "+controlPrefix+"restart", a.act(Gateway.Restart, nil))
	mux.HandleFunc("POST "+controlPrefix+"stop", a.act(Gateway.Stop, stopped))
	mux.HandleFunc("GET "+controlPrefix+"place", a.place)
	mux.HandleFunc("POST "+controlPrefix+"upgrade", a.upgrade)
	mux.HandleFunc("POST "+controlPrefix+"reload", a.reload)
	mux.HandleFunc("GET "+Prefix+"status", a.status) // who may open this door is the owner
	a.deviceRoutes(mux)
	a.snapshotRoutes(mux)
	mux.Handle("GET "+Prefix+"metrics", a.opts.Metrics)
	mux.HandleFunc("/", notFound)
	return own(mux)
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
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone: nobody is left to tell
}
