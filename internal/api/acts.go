package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/problem"
)

// ActQuery are the parameters of what is asked of the gateway.
type ActQuery struct {
	Wait time.Duration `query:"wait" doc:"answer once it has come about, or after this time with 504; without it at once"`
}

func (a *API) actRoutes() []route {
	return []route{
		handle("POST", v1("start"), auth.Operate, "start", "Start the gateway", a.act(Gateway.Start, started), jsonOf[Status]()),
		handle("POST", v1("restart"), auth.Operate, "restart", "Replace the instance by a new one, in good order; requests wait meanwhile", a.act(Gateway.Restart, nil), jsonOf[Status]()),
		handle("POST", v1("stop"), auth.Operate, "stop", "Stop the gateway in good order; it stays stopped", a.act(Gateway.Stop, stopped), jsonOf[Status]()),
	}
}

// started and stopped tell when what was asked for has come about.
func started(st gateway.Status) bool { return st.State == gateway.Ready || st.State == gateway.Failed }
func stopped(st gateway.Status) bool { return st.State == gateway.Stopped }

// act asks something of the gateway. With a time to wait it answers once that has
// come about, else at once: 200 with the status, or 504 if it takes longer. A nil
// done means: ready with a later generation than now, or failed.
func (a *API) act(do func(Gateway, context.Context) error, done func(gateway.Status) bool) func(http.ResponseWriter, *http.Request, ActQuery) {
	return func(w http.ResponseWriter, r *http.Request, q ActQuery) {
		before := a.opts.Gateway.Status().Generation
		if err := do(a.opts.Gateway, r.Context()); err != nil {
			failed(w, err)
			return
		}
		if q.Wait > 0 {
			reached := done
			if reached == nil {
				reached = func(st gateway.Status) bool { return started(st) && st.Generation > before }
			}
			ctx, cancel := context.WithTimeout(r.Context(), q.Wait)
			defer cancel()
			if st, err := a.opts.Gateway.WaitFor(ctx, reached); ctx.Err() == nil && err != nil {
				left(w, st)
				return
			} else if err != nil {
				late(w, st, q.Wait)
				return
			}
		}
		writeJSON(w, http.StatusOK, a.statusFor(r))
	}
}

func late(w http.ResponseWriter, st gateway.Status, wait time.Duration) {
	d := problem.Document{
		Status: http.StatusGatewayTimeout, Code: "not_yet", Title: "Not yet", Generation: st.Generation, Gateway: st.Name,
		Detail: fmt.Sprintf("after %v the gateway is still %s: %s", wait, st.State, st.Reason), Hint: "It goes on: see `creel status`.",
	}
	d.Write(w)
}

// left is late where this creel has let go of the gateway meanwhile.
func left(w http.ResponseWriter, st gateway.Status) {
	d := problem.Document{
		Status: http.StatusGatewayTimeout, Code: "not_yet", Title: "Not yet", Generation: st.Generation, Gateway: st.Name,
		Detail: fmt.Sprintf("this creel was upgraded, or ends, while the gateway was %s (%s)", st.State, st.Reason), Hint: "After an upgrade the new creel goes on with it: see `creel status`.",
	}
	d.Write(w)
}
