package api

import (
	"net/http"
	"strconv"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
)

// PublicStatus is what anyone may know.
type PublicStatus struct {
	OK         bool          `json:"ok"` // the gateway is ready
	Status     gateway.State `json:"status"`
	Gateway    string        `json:"gateway"`
	Generation uint64        `json:"generation"`
	Since      time.Time     `json:"since"`
}

// Sign is a sign of life.
type Sign struct {
	OK     bool   `json:"ok"`
	Status string `json:"status"` // "live", or the gateway's state
}

func (a *API) publicRoutes() []route {
	return []route{
		handle("GET", Prefix+"status", auth.Public, "getBareStatus", "How the gateway is, for anyone; for those who may look: as GET /_creel/api/v1/status", a.publicStatus, jsonOf[PublicStatus](), jsonOf[Details]()),
		handle("GET", Prefix+"healthz", auth.Public, "isLive", "200 as long as creel itself can answer", a.healthz, jsonOf[Sign]()),
		handle("GET", Prefix+"readyz", auth.Public, "isReady", "200 exactly while the gateway is ready, else 503", a.readyz, jsonOf[Sign](), jsonOf[Sign]().with(http.StatusServiceUnavailable)),
	}
}

func (a *API) bareStatus() PublicStatus {
	st := a.opts.Gateway.Status()
	return PublicStatus{OK: st.Ready(), Status: st.State, Gateway: st.Name, Generation: st.Generation, Since: st.Since}
}

// Details is the answer to GET /_creel/status for those who may look.
type Details struct {
	Status
	// State is Status.State under the name that strangers get it by.
	State gateway.State `json:"status"`
}

func (a *API) publicStatus(w http.ResponseWriter, r *http.Request, _ none) {
	if auth.From(r.Context()).May(auth.Read) {
		full := a.statusFor(r)
		writeJSON(w, http.StatusOK, Details{full, full.State})
		return
	}
	writeJSON(w, http.StatusOK, a.bareStatus())
}

func (a *API) healthz(w http.ResponseWriter, _ *http.Request, _ none) {
	writeJSON(w, http.StatusOK, Sign{true, "live"})
}

func (a *API) readyz(w http.ResponseWriter, _ *http.Request, _ none) {
	st := a.opts.Gateway.Status()
	if st.Ready() {
		writeJSON(w, http.StatusOK, Sign{true, string(st.State)})
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(1))
	writeJSON(w, http.StatusServiceUnavailable, Sign{false, string(st.State)})
}

func (a *API) metricRoutes() []route {
	serve := func(w http.ResponseWriter, r *http.Request, _ none) { a.opts.Metrics.ServeHTTP(w, r) }
	return []route{
		handle("GET", Prefix+"metrics", auth.Read, "scrape", "The metrics, as Prometheus takes them", serve, bytesOf(mediaText)),
		handle("GET", v1("metrics"), auth.Read, "getMetrics", "The same", serve, bytesOf(mediaText)),
	}
}
