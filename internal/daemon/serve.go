package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"creel/internal/config"
	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/logfile"
	"creel/internal/telemetry"
)

// serve runs all parts until ctx ends, one of them cannot go on, or a successor
// has taken over.
func (d *daemon) serve(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer d.dropping.Wait()
	defer d.endRequests()
	outlived, forget := context.WithCancel(context.Background())
	defer forget()
	d.outlived = outlived
	d.journal.Record(event.Event{Kind: event.CreelStarted, Gateway: d.cfg().Gateway.Name, Message: fmt.Sprintf("creel %s with pid %d listens on %s", d.opts.Version, os.Getpid(), d.addr)})
	d.engine.run(stop)
	serving.Go(func() { d.providers.serve(stop) })
	serving.Go(func() { serveOn(d.public, d.roomy(d.listener), d.cfg().TLS, stop) })
	if d.opts.Predecessor != nil {
		if err := d.settle(ctx, d.engine); err != nil {
			return errors.Join(err, d.giveBack())
		}
	}
	d.notify(fmt.Sprintf("%s\nMAINPID=%d", systemd.SdNotifyReady, os.Getpid()))
	forgetStart()
	for {
		var request upgradeRequest
		select {
		case <-ctx.Done():
			d.endRequests()
			err := d.shutdown()
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return errors.Join(cause, err)
			}
			return err
		case <-d.opts.Upgrade:
		case request = <-d.upgrades:
		case r := <-d.reloads:
			r.answer(d.reload(ctx))
			continue
		}
		err := d.upgrade(ctx, stop)
		if request.done != nil {
			request.done <- err
		}
		switch {
		case err == nil:
			d.endRequests()
			err := d.drain(ctx)
			d.engine.runtime.Close()
			return err
		case errors.Is(err, errNoEngine):
			err = errors.Join(err, d.closeFront(goingAway, "creel is stopping"), d.endProviders())
			d.engine.runtime.Close()
			return err
		}
	}
}

// serveOn serves until the server is shut down or its listener is closed.
func serveOn(s *http.Server, l net.Listener, t config.TLS, stop func(error)) {
	serve := s.Serve
	if t.Cert != "" {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") } // see certificate
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		stop(fmt.Errorf("cannot serve on %s: %w", l.Addr(), err))
	}
}

// watchState tells of each state of the gateway, until ctx or the supervisor ends.
func (d *daemon) watchState(ctx context.Context, g *gateway.Supervisor) {
	var seen gateway.Status
	for {
		st, err := g.WaitFor(ctx, func(st gateway.Status) bool {
			return st.State != seen.State || st.Generation != seen.Generation || st.Reason != seen.Reason
		})
		if err != nil || ctx.Err() != nil {
			return
		}
		seen = st
		d.notify("STATUS=gateway " + string(st.State) + ": " + st.Reason)
		if d.opts.OnState != nil {
			d.opts.OnState(st, d.link())
		}
	}
}

// shutdown stops the gateway in good order, and then all that was served.
func (d *daemon) shutdown() error {
	d.notify(systemd.SdNotifyStopping)
	d.journal.Record(event.Event{Kind: event.CreelStopped, Gateway: d.cfg().Gateway.Name, Message: "creel stops"})
	crashpoint.Passed(crashpoint.CreelStopping)
	limit := d.cfg().Gateway.Stop.Drain + d.cfg().Gateway.Stop.Grace + shutdownTime
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ended := make(chan struct{})
	go func() { // ends with shutdown
		select {
		case <-d.opts.Hurry:
			cancel()
		case <-ended:
		}
	}()
	d.leases.last()
	d.again.end()
	err := d.engine.stop(ctx)
	close(ended)
	crashpoint.Passed(crashpoint.CreelStopped)
	return errors.Join(err, d.closeFront(goingAway, "creel is stopping"), d.endProviders(), d.endControl())
}

// goingAway is the close code of WebSockets whose server ends (RFC 6455 §7.4.1).
const goingAway = 1001

// baseContext is what requests of clients are under; cutRequests ends it.
func (d *daemon) baseContext() func(net.Listener) context.Context {
	ctx, cut := context.WithCancelCause(context.Background())
	d.cutRequests = cut
	ctx = d.gate.Context(ctx)
	return func(net.Listener) context.Context { return ctx }
}

var errCut = errors.New("creel has no more time for this request")

// closeFront ends what is served to clients: WebSockets with a close frame, what
// ends soon in good order, and the rest in a way that no client can take for the
// end of a whole answer.
func (d *daemon) closeFront(code int, reason string) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	tunnels := make(chan error, 1)
	go func() { tunnels <- d.proxy.CloseTunnels(ctx, code, reason) }()
	late := d.public.Shutdown(ctx)
	err := <-tunnels
	if late != nil {
		// Closing connections under their requests would end an answer without
		// a length like a whole one; the requests themselves reset them.
		d.cutRequests(errCut)
		ctx, cancel := context.WithTimeout(context.Background(), cutTime)
		defer cancel()
		if d.public.Shutdown(ctx) != nil {
			err = errors.Join(err, d.public.Close()) // clients that do not take their answers
		}
	}
	d.proxy.Close()
	return err
}

// endControl ends the control connections.
func (d *daemon) endControl() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return d.engine.close(ctx)
}

// tail gives the gateway's last lines, redacted.
func (d *daemon) tail(path string) func() []string {
	return func() []string {
		lines, err := logfile.Tail(path, tailLines)
		if err != nil {
			d.log.Warn("the gateway's last lines cannot be told", "error", err)
			return nil
		}
		for i := range lines {
			lines[i] = telemetry.Redact(lines[i])
		}
		return lines
	}
}
