package owner

import (
	"context"
	"errors"
	"slices"
	"time"

	"creel/internal/gateway"
)

// Gateway is what is kept from running without the lease: a gateway.Supervisor.
type Gateway interface {
	Status() gateway.Status
	LeaseLost(ctx context.Context, why gateway.End) error
	LeaseHeld(ctx context.Context) error
}

const (
	// enforceEvery is how often the clock is looked at. A timer would not do: none
	// counts the time in which the machine sleeps.
	enforceEvery = time.Second
	// firstLook is how long an instance that was found running may go on before it
	// is known who owns it.
	firstLook = 10 * time.Second
)

// mayRun are the states in which something of the gateway may run, or be started.
var mayRun = []gateway.State{gateway.Starting, gateway.Restoring, gateway.Ready, gateway.Suspect, gateway.Draining, gateway.Stopping}

// Enforce stops g when the lease is lost, and has it start again when it is held
// again, until ctx ends. It says so again and again for as long as it is not so:
// a word that came at the wrong moment is of no consequence.
func (o *Owner) Enforce(ctx context.Context, g Gateway) {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for {
		o.enforce(ctx, g)
		o.mu.Lock()
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-changed:
		}
	}
}

func (o *Owner) enforce(ctx context.Context, g Gateway) {
	st := g.Status()
	o.mu.Lock()
	_, held := o.held()
	err := o.absence()
	early := o.looks == 0 && o.now()-o.begun < firstLook
	o.mu.Unlock()
	switch {
	case held && st.State == gateway.Failed && st.LastEnd != nil && st.LastEnd.Cause.Unowned():
		err = g.LeaseHeld(ctx)
	case !held && st.State == gateway.Failed && st.LastEnd != nil && st.LastEnd.Cause.Unowned() && st.LastEnd.Cause != End(err).Cause,
		!held && !early && slices.Contains(mayRun, st.State):
		end := End(err)
		end.Generation, end.At = st.Generation, time.Now()
		err = g.LeaseLost(ctx, end)
	default:
		return
	}
	if err != nil && ctx.Err() == nil {
		o.opts.Logger.Error("the gateway cannot be told of its ownership", "error", err)
	}
}

// End is an error of Demand in the words of the supervisor.
func End(err error) gateway.End {
	if elsewhere, ok := errors.AsType[*ElsewhereError](err); ok {
		return gateway.End{Cause: gateway.CauseOwnedElsewhere, Message: elsewhere.Error(), Hint: elsewhere.Hint()}
	}
	return gateway.End{Cause: gateway.CauseOwnerUnknown, Message: err.Error(), Hint: "It starts as soon as the store answers: " + hintOf(err) + "."}
}
