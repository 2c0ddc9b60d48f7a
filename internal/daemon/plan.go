package daemon

import (
	"context"
	"errors"

	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/runtime"
)

// planned is the configuration that an instance was planned with.
type planned struct {
	generation uint64
	gateway    config.Gateway
}

// plan is the app's plan, by the configuration as it is now. If the app cannot be installed, and no instance has
// ended before under this creel, that ends creel: whoever has typed `creel up`
// waits for it, what is missing is theirs to mend, and trying again every few
// minutes would only hide that. Later on a gateway that was up once is tried
// again as the policy allows.
func (e *engine) plan(ctx context.Context, generation uint64) (runtime.Spec, error) {
	g := e.d.cfg().Gateway
	e.d.planned.Store(&planned{generation, g}) // at once: what is reloaded while it is installed comes too late
	spec, err := e.d.app.plan(ctx, g, generation)
	if err == nil {
		spec.Apart, err = apartOf(e.d.cfg())
	}
	var install *openclaw.InstallError
	if !errors.As(err, &install) || e.gateway.Status().LastEnd != nil {
		return spec, err
	}
	e.journal.Record(event.Event{
		Kind: event.StartFailed, Gateway: e.d.cfg().Gateway.Name, Generation: generation,
		Message: install.Error(), Cause: string(gateway.CauseLaunch),
	})
	e.giveUp(install)
	<-ctx.Done() // creel's end calls the start off
	return runtime.Spec{}, context.Cause(ctx)
}
