package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"creel/internal/auth"
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

// Done is the answer to what has nothing else to say.
type Done struct {
	OK bool `json:"ok"`
}

// ownRoutes are those of creel itself, on the control socket alone.
func (a *API) ownRoutes() []route {
	return []route{
		handle("GET", v1("place"), auth.Admin, "getPlace", "Where the gateway serves, once it is ready; for a creel that drains", a.place, jsonOf[Place]()).onSocket(),
		handle("GET", v1("place/end"), auth.Admin, "awaitEnd", "How an instance ended, once it has; for a creel that drains", a.end, jsonOf[gateway.Fate]()).onSocket(),
		handle("GET", v1("place/lease"), auth.Admin, "holdLease", "Have an instance's end in good order wait for requests of another creel, until the connection is closed; for a creel that drains", a.lease, jsonOf[Place]()).onSocket(),
		handle("POST", v1("upgrade"), auth.Admin, "upgrade", "Replace creel by the program that is on disk now", a.upgrade, jsonOf[Done]()).onSocket(),
		handle("POST", v1("reload"), auth.Admin, "reload", "Read the configuration again", a.reload, jsonOf[Reload](), jsonOf[Reload]().with(http.StatusUnprocessableEntity)).onSocket(),
	}
}

// place tells where the gateway serves, once it is ready. It is asked on behalf of a request,
// which starts a gateway that waits for one.
func (a *API) place(w http.ResponseWriter, r *http.Request, _ none) {
	ctx, cancel := context.WithTimeout(r.Context(), placeWait)
	defer cancel()
	st, err := a.opts.Gateway.WaitFor(ctx, func(st gateway.Status) bool {
		if st.State == gateway.Stopped {
			a.opts.Gateway.Demand()
		}
		return st.Ready()
	})
	if err != nil {
		late(w, st, placeWait)
		return
	}
	writeJSON(w, http.StatusOK, Place{Generation: st.Generation, Address: st.Addr})
}

// endQuery are the parameters of end.
type endQuery struct {
	Generation int `query:"generation" required:"true" min:"1" max:"9007199254740991" doc:"the number of the instance"`
}

// end tells how an instance ended, once it has. A client that still wants to know
// after placeWait asks again.
func (a *API) end(w http.ResponseWriter, r *http.Request, q endQuery) {
	ctx, cancel := context.WithTimeout(r.Context(), placeWait)
	defer cancel()
	fate, err := a.opts.Gateway.AwaitEnd(ctx, uint64(q.Generation))
	if err != nil {
		late(w, a.opts.Gateway.Status(), placeWait)
		return
	}
	writeJSON(w, http.StatusOK, fate)
}

// leaseQuery are the parameters of lease.
type leaseQuery struct {
	Generation int  `query:"generation" required:"true" min:"1" max:"9007199254740991" doc:"the number of the instance"`
	UnderWay   bool `query:"under_way" doc:"the requests are with the instance already: it may be about to end"`
}

// moveTime is how long a lease that is lent outlasts this creel's wish to end. It is less
// than what an end of the control socket in good order may take.
const moveTime = 3 * time.Second

// lease lends a lease on an instance. The answer begins when it is had, and ends when it
// is given back: by the client, or by the end of the instance.
//
// The place is said once more when this creel is about to end. The lease stays lent for
// moveTime then, so that the client can have one of whoever is in charge by now before it
// gives this one back: else the instance would be in use by nobody for a moment, and might
// be ended in it. A client that knows nothing of that is none the worse for it.
func (a *API) lease(w http.ResponseWriter, r *http.Request, q leaseQuery) {
	ctx, cancel := context.WithTimeout(r.Context(), placeWait)
	defer cancel()
	l, err := a.opts.Gateway.Lend(ctx, uint64(q.Generation), q.UnderWay)
	switch {
	case errors.Is(err, gateway.ErrNotLent):
		d := problem.Document{
			Status: http.StatusConflict, Code: "instance_ends", Title: "The instance takes no more requests", Detail: fmt.Sprintf("generation %d has ended, or is about to", q.Generation),
			Hint: "Ask for the place of the next one.",
		}
		d.Write(w)
		return
	case err != nil:
		late(w, a.opts.Gateway.Status(), placeWait)
		return
	}
	defer l.Release()
	writeJSON(w, http.StatusOK, Place{Generation: l.Generation(), Address: l.Addr()})
	if http.NewResponseController(w).Flush() != nil {
		return // the client is gone
	}
	select {
	case <-r.Context().Done():
		return
	case <-l.Ended():
		return
	case <-a.ending:
	}
	if json.NewEncoder(w).Encode(Place{Generation: l.Generation(), Address: l.Addr()}) != nil || http.NewResponseController(w).Flush() != nil {
		return
	}
	moved := time.NewTimer(moveTime)
	defer moved.Stop()
	select {
	case <-r.Context().Done():
	case <-l.Ended():
	case <-moved.C:
	}
}

// End ends the answers that go on for as long as the client wants.
func (a *API) End() { a.endOnce() }

// upgrade replaces creel, and answers when its successor is in charge.
func (a *API) upgrade(w http.ResponseWriter, r *http.Request, _ none) {
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
	writeJSON(w, http.StatusOK, Done{true})
}
