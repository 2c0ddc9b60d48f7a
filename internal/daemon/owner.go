package daemon

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"creel/internal/config"
	"creel/internal/health"
	"creel/internal/snapshot"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/store"
)

// ownership keeps an engine's lease on its gateway; nil: it shares it with nobody.
type ownership struct {
	*owner.Owner
	stop context.CancelFunc
	done sync.WaitGroup
}

// newOwnership makes what keeps the lease; nil: there is none to keep.
func (e *engine) newOwnership(open func(context.Context) (store.Ledger, error)) (*ownership, error) {
	cfg := e.d.cfg()
	if !cfg.Snapshots.Owned() {
		return nil, nil
	}
	o, err := owner.New(owner.Options{
		Gateway: cfg.Gateway.Name, Self: owner.Identify(cfg.DataDir, machineName()), Path: filepath.Join(gatewayDir(cfg), "owner.json"),
		Open: open, Term: cfg.Snapshots.OwnerTerm, StopTime: func() time.Duration { return stopTime(e.d.cfg()) },
		Floor:   func(ctx context.Context) (uint64, error) { return e.keeper.HighestFence(ctx) }, // asked by Run, when there is one
		Journal: e.journal, Logger: e.d.log,
		Trouble: func(message, hint string) {
			if message == "" {
				e.d.health.Clear(health.Ownership)
				return
			}
			e.d.health.Set(health.Ownership, health.Trouble, message, hint)
		},
	})
	if err != nil {
		return nil, err
	}
	return &ownership{Owner: o}, nil
}

// stopTime is the longest that a stop in good order takes.
func stopTime(cfg *config.Config) time.Duration {
	return cfg.Gateway.Stop.Drain + cfg.Gateway.Stop.Grace + owner.Reserve
}

// asLease is the lease for the keeper; nil if there is none.
func (o *ownership) asLease() snapshot.Lease {
	if o == nil {
		return nil
	}
	return o.Owner
}

// run begins to keep the lease, and to stop the gateway without it.
func (o *ownership) run(g owner.Gateway) {
	if o == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.done.Go(func() { o.Owner.Run(ctx) })
	o.done.Go(func() { o.Owner.Enforce(ctx, g) })
}

// halt ends what run has begun. The lease is kept for another engine.
func (o *ownership) halt() {
	if o == nil || o.stop == nil {
		return
	}
	o.stop()
	o.done.Wait()
}

// release gives the lease back, once the gateway has stopped.
func (o *ownership) release(log *slog.Logger) {
	if o == nil {
		return
	}
	o.halt()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := o.Owner.Release(ctx); err != nil {
		log.Warn(err.Error())
	}
}

// close lets go of the store.
func (o *ownership) close() error {
	if o == nil {
		return nil
	}
	o.halt()
	return o.Owner.Close()
}
