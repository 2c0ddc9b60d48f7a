// Package ui has the pages that creel shows to people: the admin pages under
// /_creel/, the page that stands in for the gateway while it starts, and the pages
// that say why it cannot be had.
//
// # What it guarantees
//
//   - Every page can be read, and everything can be done, without JavaScript:
//     actions are forms that POST and come back with 303 and a message. Script
//     only keeps a page up to date, by one stream of server-sent events that
//     carries the same fragments of HTML that the page was made of.
//   - A page is one answer: the style sheet is in it, script and icon come after
//     it from creel itself, and nothing comes from any other host. The content
//     security policy lets nothing else run: no inline script, no inline style
//     but the one whose hash it names.
//   - Nothing that a device, a gateway or a person has written becomes markup:
//     html/template escapes all of it. What came from the gateway's output is
//     redacted before.
//   - What a principal's scopes do not allow is not shown. That is a courtesy:
//     the route table says what each path needs, and the gate refuses the rest.
//   - What cannot be undone, or interrupts people, asks once, on a page of its
//     own that says what will happen.
//   - A page waits for nobody: what may take its time (the store, OpenClaw) is
//     asked by a goroutine of its own, and what is not there within a moment
//     follows by the stream.
//
// # What it refuses
//
// To decide anything, and to remember anything but messages that wait to be
// shown and the restores and snapshots that were asked for here. It never starts,
// stops or restores by itself: it asks those who do.
//
// # Rejected
//
// A single-page application (it needs Node to build, and shows nothing without
// script), htmx (16 KB for what 150 lines do here, and inline handlers that the
// policy forbids), messages in a cookie (the gateway is on the same origin and
// could set one).
package ui

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/health"
	"creel/internal/history"
	"creel/internal/openclaw"
	"creel/internal/snapshot/store"
	"creel/internal/surface"
)

// Prefix is what the paths of all pages begin with.
const Prefix = "/_creel/"

// OpenPath is where a person who has come in gets to the gateway itself. It is
// not one of this package's routes.
const OpenPath = Prefix + "open"

// What the pages ask of the parts of creel.
type (
	Supervisor = surface.Gateway
	Journal    = surface.Journal
	Devices    = surface.Devices
	Snapshots  = surface.Snapshots
	Finding    = surface.Finding
)

// History has what was measured of late.
type History interface {
	// Since gives the samples of the last span, oldest first.
	Since(now time.Time, span time.Duration) []history.Sample
}

// Identity knows who may come in, and how.
type Identity interface {
	surface.Identity
	// Open tells whether nobody is asked who they are, and Methods by what people
	// sign in.
	Open() bool
	Methods() []string
}

// Options are what the pages need. Supervisor and Journal must be set; what is nil
// of the others is left out of the pages.
type Options struct {
	Supervisor Supervisor
	Journal    Journal
	Logs       Logs
	Devices    Devices
	Snapshots  Snapshots
	History    History
	Identity   Identity
	// Health lists what keeps creel from doing all of its work.
	Health func() []health.Report
	// Config is the configuration in force, and where its values came from.
	Config func() (*config.Config, *config.Sources)
	// Pending lists what was read by a reload and does not count yet.
	Pending func() []config.Change
	// Doctor looks at the machine.
	Doctor func(ctx context.Context) []Finding

	Version   string
	StartedAt time.Time // of creel
	Listen    string
	// Admin makes /_admin/ lead here, too.
	Admin  bool
	Logger *slog.Logger
}

// UI is the admin pages. Close ends it.
type UI struct {
	opts    Options
	log     *slog.Logger
	flashes flashes
	jobs    jobs
	streams chan struct{} // holds a value for each stream of events that is open

	snapshots *memo[[]store.Snapshot]
	devices   *memo[[]openclaw.Device]

	// life ends with Close, and with it all streams; busy are the goroutines
	// that outlive the request which has begun them.
	life context.Context
	end  context.CancelFunc
	mu   sync.Mutex // held while busy grows, which it must not once life has ended
	busy sync.WaitGroup
}

// maxStreams is how many pages may be kept up to date at once.
const maxStreams = 128

// New makes the pages.
func New(o Options) *UI {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	u := &UI{opts: o, log: o.Logger, streams: make(chan struct{}, maxStreams)}
	u.life, u.end = context.WithCancel(context.Background())
	if o.Snapshots != nil {
		u.snapshots = newMemo(u.spawn, 5*time.Second, o.Snapshots.List)
	}
	if o.Devices != nil {
		u.devices = newMemo(u.spawn, time.Second, o.Devices.List)
	}
	return u
}

// Close ends all streams, and waits until what was asked for here has come to its
// end: those who were asked must have been told to end before.
func (u *UI) Close() {
	u.mu.Lock()
	u.end()
	u.mu.Unlock()
	u.busy.Wait()
}

// spawn runs do in a goroutine that Close waits for; false: it is too late.
func (u *UI) spawn(do func(ctx context.Context)) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.life.Err() != nil {
		return false
	}
	u.busy.Go(func() { do(u.life) })
	return true
}

// Routes lists all that the pages are served by.
func (u *UI) Routes() []auth.Route {
	routes := []auth.Route{
		{Pattern: "GET " + assetPrefix + "{name}", Needs: auth.Public, Handler: http.HandlerFunc(serveAsset)},
		{Pattern: "GET " + Prefix + "ui/waiting", Needs: auth.Public, Handler: http.HandlerFunc(u.waiting)},
		{Pattern: "GET " + Prefix + "ui/live/{view}", Needs: auth.Read, Handler: http.HandlerFunc(u.live)},
	}
	if u.opts.Admin {
		admin := http.HandlerFunc(toAdmin)
		routes = append(routes,
			auth.Route{Pattern: "GET /_admin", Needs: auth.Public, Handler: admin, Page: true},
			auth.Route{Pattern: "GET /_admin/", Needs: auth.Public, Handler: admin, Page: true})
	}
	for _, v := range u.views() {
		routes = append(routes, auth.Route{Pattern: "GET " + v.pattern, Needs: v.needs, Handler: u.show(v), Page: true})
	}
	for _, a := range u.actions() {
		routes = append(routes, auth.Route{Pattern: "POST " + a.pattern, Needs: a.needs, Person: a.person, Handler: u.act(a), Page: true})
	}
	return append(routes,
		auth.Route{Pattern: "GET " + Prefix + "logs/download", Needs: auth.Read, Handler: http.HandlerFunc(u.downloadLogs), Page: true},
		auth.Route{Pattern: "GET " + Prefix + "snapshots/{id}/content", Needs: auth.Admin, Handler: http.HandlerFunc(u.snapshotContent), Page: true})
}

// toAdmin leads from moltworker's name of the pages to creel's. That says nothing
// and does nothing, so anyone may follow it.
func toAdmin(w http.ResponseWriter, r *http.Request) {
	to := Prefix
	switch r.URL.Path { // moltworker has one page for all; a bookmark of a section still finds it
	case "/_admin/timeline", "/_admin/devices", "/_admin/snapshots", "/_admin/logs", "/_admin/settings":
		to = Prefix + r.URL.Path[len("/_admin/"):]
	}
	http.Redirect(w, r, to, http.StatusFound)
}
