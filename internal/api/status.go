package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/snapshot"
)

// Status is all that is known, for those who may look.
type Status struct {
	gateway.Status
	OK    bool  `json:"ok"`   // the gateway is ready
	Held  int   `json:"held"` // requests that wait for it
	Creel Creel `json:"creel"`
	// Degraded is what keeps creel from doing all of its work; Trouble says it in
	// words.
	Degraded []health.Report `json:"degraded,omitempty"`
	Trouble  []string        `json:"trouble,omitempty"`
	// Hints are what could be done, though nothing is wrong.
	Hints []string `json:"hints,omitempty"`
	// PendingChanges were read by a reload and do not count yet.
	PendingChanges []config.Change `json:"pending_changes,omitempty"`
	// Snapshots is how safe the gateway's state is; nil: nobody looks after it.
	Snapshots *snapshot.Status `json:"snapshots,omitempty"`
}

// Creel is creel itself.
type Creel struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Listen    string    `json:"listen"`
	// Link is the address to click. It may hold a secret, so it is told on the
	// control socket alone.
	Link string `json:"link,omitempty"`
	// SignIn is how people show who they are: "none", or "link" and what else is set up.
	SignIn []string `json:"sign_in,omitempty"`
}

// GatewayList is the answer to GET gateways.
type GatewayList struct {
	Gateways []PublicStatus `json:"gateways"`
}

// VersionInfo is the answer to GET version.
type VersionInfo struct {
	Version string `json:"version"` // of creel
	API     string `json:"api"`     // of this API: "v1"
	Go      string `json:"go"`      // that creel was built with
}

func (a *API) statusRoutes() []route {
	return []route{
		handle("GET", v1("status"), auth.Read, "getStatus", "How the gateway is, why, and how safe its state is; as server-sent events: now, and whenever that changes",
			a.status, jsonOf[Status](), eventsOf[Status]()),
		handle("GET", v1("gateways"), auth.Read, "listGateways", "The gateways of this creel: one", a.gateways, jsonOf[GatewayList]()),
		handle("GET", v1("version"), auth.Read, "getVersion", "Which creel this is", a.version, jsonOf[VersionInfo]()),
	}
}

func (a *API) status(w http.ResponseWriter, r *http.Request, _ none) {
	switch choose(w, r, mediaJSON, mediaSSE) {
	case mediaJSON:
		writeJSON(w, http.StatusOK, a.statusFor(r))
	case mediaSSE:
		a.stream(w, r, mediaSSE, true, func(ctx context.Context, emit func(item) bool) { a.watchStatus(ctx, r, emit) })
	}
}

// statusFor is the status as whoever asks may see it.
func (a *API) statusFor(r *http.Request) Status {
	full := a.fullStatus()
	if auth.From(r.Context()).Kind != KindSocket {
		full.Creel.Link = ""
	}
	return full
}

// statusEvery is how often what changes without a change of state, such as the
// number of requests that wait, is looked at.
const statusEvery = time.Second

// watchStatus gives the status now and whenever it has changed.
func (a *API) watchStatus(ctx context.Context, r *http.Request, emit func(item) bool) {
	var last []byte
	for ctx.Err() == nil {
		full := a.statusFor(r)
		b, err := json.Marshal(full)
		if err != nil { // a type of this package
			panic(err)
		}
		if !bytes.Equal(b, last) && !emit(item{data: json.RawMessage(b)}) {
			return
		}
		last = b
		wait, stop := context.WithTimeout(ctx, statusEvery)
		_, err = a.opts.Gateway.WaitFor(wait, func(st gateway.Status) bool {
			return st.State != full.State || st.Generation != full.Generation || st.Reason != full.Reason
		})
		if err != nil && wait.Err() == nil {
			stop()
			return // the supervisor has ended
		}
		stop()
	}
}

func (a *API) fullStatus() Status {
	st := a.opts.Gateway.Status()
	full := Status{Status: st, OK: st.Ready(), Held: a.opts.Gateway.Held(), Creel: Creel{
		Version: a.opts.Version, PID: pid, StartedAt: a.opts.StartedAt, Listen: a.opts.Listen,
	}}
	if a.opts.SignIn != nil {
		full.Creel.SignIn = a.opts.SignIn()
	}
	if a.opts.Link != nil {
		full.Creel.Link = a.opts.Link()
	}
	if a.opts.Pending != nil {
		full.PendingChanges = a.opts.Pending()
	}
	if a.opts.Health != nil {
		full.Degraded = a.opts.Health()
	}
	for _, r := range full.Degraded {
		if r.Severity == health.Info {
			full.Hints = append(full.Hints, r.String())
			continue
		}
		full.Trouble = append(full.Trouble, r.String())
	}
	if a.opts.Snapshots != nil {
		st := a.opts.Snapshots.Status()
		full.Snapshots = &st
	}
	for _, p := range st.Strays {
		full.Trouble = append(full.Trouble, fmt.Sprintf("pid %d runs in the gateway's name beside the recorded instance: %s (%s)", p.PID, p.Command, p.Where))
	}
	return full
}

func (a *API) gateways(w http.ResponseWriter, _ *http.Request, _ none) {
	writeJSON(w, http.StatusOK, GatewayList{[]PublicStatus{a.bareStatus()}})
}

func (a *API) version(w http.ResponseWriter, _ *http.Request, _ none) {
	writeJSON(w, http.StatusOK, VersionInfo{Version: a.opts.Version, API: "v1", Go: runtime.Version()})
}
