package api

import (
	"net/http"
	"strconv"
	"time"

	"creel/internal/gateway"
	"creel/internal/problem"
)

// PublicStatus is what anyone may know.
type PublicStatus struct {
	OK         bool          `json:"ok"` // the gateway is ready
	Status     gateway.State `json:"status"`
	Gateway    string        `json:"gateway"`
	Generation uint64        `json:"generation"`
	Since      time.Time     `json:"since"`
}

func (a *API) publicStatus(w http.ResponseWriter, _ *http.Request) {
	st := a.opts.Gateway.Status()
	writeJSON(w, http.StatusOK, PublicStatus{OK: st.Ready(), Status: st.State, Gateway: st.Name, Generation: st.Generation, Since: st.Since})
}

// healthz answers 200 as long as creel itself can answer.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"ok": true, "status": "live"})
}

// readyz answers 200 exactly while the gateway is ready.
func (a *API) readyz(w http.ResponseWriter, _ *http.Request) {
	st := a.opts.Gateway.Status()
	if st.Ready() {
		writeJSON(w, http.StatusOK, map[string]any{"ok": true, "status": st.State})
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(1))
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ok": false, "status": st.State})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	d := problem.Document{
		Status: http.StatusNotFound, Code: "not_found", Title: "No such page of creel's",
		Detail: r.Method + " " + r.URL.Path, Hint: "Paths under " + Prefix + " are creel's own; the gateway has all others.",
	}
	d.Write(w)
}
