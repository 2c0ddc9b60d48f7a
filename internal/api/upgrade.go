package api

import (
	"context"
	"net/http"
	"time"

	"creel/internal/gateway"
	"creel/internal/problem"
)

// placeWait is how long the question for the instance's place waits for it to
// be ready.
const placeWait = 20 * time.Second

// Place is where the gateway serves, for a creel that drains.
type Place struct {
	Generation uint64 `json:"generation"`
	Address    string `json:"address"`
}

// place tells where the gateway serves, once it is ready.
func (a *API) place(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), placeWait)
	defer cancel()
	st, err := a.opts.Gateway.WaitFor(ctx, gateway.Status.Ready)
	if err != nil {
		late(w, st, placeWait)
		return
	}
	writeJSON(w, http.StatusOK, Place{Generation: st.Generation, Address: st.Addr})
}

// upgrade replaces creel, and answers when its successor is in charge.
func (a *API) upgrade(w http.ResponseWriter, r *http.Request) {
	if a.opts.Upgrade == nil {
		notFound(w, r)
		return
	}
	if err := a.opts.Upgrade(r.Context()); err != nil {
		d := problem.Document{
			Status: http.StatusInternalServerError, Code: "upgrade_failed", Title: "The upgrade has failed; creel carries on as it was", Detail: err.Error(),
			Hint: "See creel's log.",
		}
		d.Write(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
}
