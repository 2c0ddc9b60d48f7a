package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"creel/internal/api"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
	"creel/internal/telemetry"
)

// attendant is an app that creel talks to while it runs. It is optional: an app
// without it is one that speaks nothing but HTTP.
type attendant interface {
	app
	// attend keeps in touch with the instances of the gateway until ctx ends.
	attend(ctx context.Context, b beside)
	// retire prepares an instance for its end; see gateway.Options.Retire.
	retire(ctx context.Context, generation uint64, b beside)
	// devices are those of the gateway.
	devices(b beside) api.Devices
}

// beside is what an attendant works with: an engine's.
type beside struct {
	name    string
	version string
	gateway gatewayStatus
	journal gateway.Journal
	log     *slog.Logger
	engine  *engine
}

// gatewayStatus is what an attendant asks the supervisor.
type gatewayStatus interface {
	Status() gateway.Status
	WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error)
}

func (e *engine) beside() beside {
	return beside{name: e.d.cfg().Gateway.Name, version: e.d.opts.Version, gateway: e.gateway, journal: e.journal, log: e.d.log, engine: e}
}

// attend starts the app's attendant, if it is one.
func (e *engine) attend(ctx context.Context) {
	if a, ok := e.d.app.(attendant); ok {
		e.running.Go(func() { a.attend(ctx, e.beside()) })
	}
}

// retire is the supervisor's hook; nil: the app has nothing to do.
func (e *engine) retire() func(context.Context, uint64) {
	if a, ok := e.d.app.(attendant); ok {
		return func(ctx context.Context, generation uint64) { a.retire(ctx, generation, e.beside()) }
	}
	return nil
}

// devices are the app's; nil: it knows none.
func (e *engine) devices() api.Devices {
	if a, ok := e.d.app.(attendant); ok {
		return a.devices(e.beside())
	}
	return nil
}

// attend implements attendant: one connection, to the instance that serves.
func (o *openClaw) attend(ctx context.Context, b beside) {
	client := rpc.New(rpc.Options{Token: o.knownToken, Version: b.version, Logger: b.log})
	defer client.Close()
	o.client.Store(client)
	var beside sync.WaitGroup
	beside.Go(func() { (&revival{client: client, beside: b}).run(ctx) }) // ends with the client
	beside.Go(func() { o.settle(ctx, b) })                               // ends with ctx
	beside.Go(func() { o.keepRoom(ctx, client) })                        // ends with ctx
	if desk := o.presentDesk(); desk != nil {
		beside.Go(func() { desk.run(ctx, b) }) // ends with ctx
	}
	beside.Go(func() { o.watchProvider(ctx, b) }) // ends with ctx
	follow(ctx, client, b.gateway)
	beside.Wait()
}

// knownToken is the gateway's token as it was configured last, by this creel or an
// earlier one.
func (o *openClaw) knownToken() (telemetry.Secret, error) {
	if token, ok := o.token.Load().(telemetry.Secret); ok {
		return token, nil
	}
	token, err := openclaw.ReadToken(o.layout)
	if err != nil {
		return "", err
	}
	if token == "" {
		return "", errors.New("the gateway's token is not known: `creel restart` writes its configuration anew")
	}
	return token, telemetry.Register(token.Reveal())
}

// follow names the instance to talk to as the gateway's status changes, until ctx
// ends. One that is ready is talked to until it is gone: what it says while it
// ends is of interest.
func follow(ctx context.Context, client *rpc.Client, g gatewayStatus) {
	var seen gateway.Status
	for {
		st := g.Status()
		attendTo(client, st)
		seen = st
		if _, err := g.WaitFor(ctx, func(st gateway.Status) bool {
			return st.State != seen.State || st.Generation != seen.Generation || st.Addr != seen.Addr || st.Adopted != seen.Adopted
		}); err != nil {
			attendTo(client, g.Status()) // a gateway that has stopped is not waited for
			return
		}
	}
}

func attendTo(client *rpc.Client, st gateway.Status) {
	// An instance that an earlier creel has left may be suspended, for a stop in whose
	// midst that creel has died: it is not ready before it is told to go on.
	left := st.State == gateway.Starting && st.Adopted
	if st.State == gateway.Ready || left {
		client.Attend(rpc.Target{Generation: st.Generation, Addr: st.Addr})
		return
	}
	switch st.State {
	case gateway.Suspect, gateway.Draining, gateway.Stopping:
		if client.View().Generation != st.Generation {
			client.Attend(rpc.Target{})
		}
	default:
		client.Attend(rpc.Target{})
	}
}

// farewell is what the instance said before it ended.
func (o *openClaw) farewell() rpc.Farewell {
	if client := o.client.Load(); client != nil {
		return client.View().Farewell
	}
	return rpc.Farewell{}
}

// retire lets turns and jobs end that began before, and keeps others from
// beginning. What is still at work then is cut off and goes on after the next
// start, as after a crash.
func (o *openClaw) retire(ctx context.Context, generation uint64, b beside) {
	client := o.client.Load()
	if client == nil || client.View().Generation != generation {
		return
	}
	began := time.Now()
	was, err := client.Drain(ctx)
	var work *rpc.WorkError
	switch {
	case err == nil && len(was) == 0:
		return // nothing was under way
	case err == nil:
		b.record(event.Stopping, generation, fmt.Sprintf("OpenClaw's work has ended after %v: %s", time.Since(began).Round(100*time.Millisecond), rpc.InWords(was)), nil)
	case errors.As(err, &work):
		b.record(event.Stopping, generation, work.Error()+"; it is asked to end all the same", nil)
	default:
		b.log.Warn("OpenClaw cannot be asked to let its work end; it is asked to end all the same", "generation", generation, "error", err)
	}
}

func (b beside) record(kind event.Kind, generation uint64, message string, fields map[string]any) {
	b.journal.Record(event.Event{Kind: kind, Gateway: b.name, Generation: generation, Message: message, Fields: fields})
}

// devices implements attendant.
func (o *openClaw) devices(b beside) api.Devices { return &deviceDesk{o, b} }

// deviceDesk answers for the gateway's devices, and writes down what was decided.
type deviceDesk struct {
	app *openClaw
	beside
}

func (d *deviceDesk) now(ctx context.Context) (openclaw.Devices, error) {
	client, err := d.app.connected(ctx, d.gateway.Status())
	return openclaw.Devices{Client: client}, err
}

func (d *deviceDesk) List(ctx context.Context) ([]openclaw.Device, error) {
	devices, err := d.now(ctx)
	if err != nil {
		return nil, err
	}
	return devices.List(ctx)
}

func (d *deviceDesk) Approve(ctx context.Context, id string) (openclaw.Device, error) {
	return d.one(ctx, event.DeviceApproved, func(l openclaw.Devices) (openclaw.Device, error) { return l.Approve(ctx, id) })
}

// letIn lets the device of a person in who is signed in to creel.
func (d *deviceDesk) letIn(ctx context.Context, request, person string) error {
	devices, err := d.now(ctx)
	if err != nil {
		return err
	}
	device, err := devices.ApproveRequest(ctx, request)
	if err != nil {
		return err
	}
	d.record(event.DeviceApproved, d.gateway.Status().Generation,
		fmt.Sprintf("the device %q (%s, %s) was let in: %s is signed in", device.Title(), device.Platform, device.Address, person),
		map[string]any{"device": device.ID, "scopes": device.Scopes, "person": person})
	return nil
}

func (d *deviceDesk) Reject(ctx context.Context, id string) (openclaw.Device, error) {
	return d.one(ctx, event.DeviceRejected, func(l openclaw.Devices) (openclaw.Device, error) { return l.Reject(ctx, id) })
}

func (d *deviceDesk) Revoke(ctx context.Context, id string) (openclaw.Device, error) {
	return d.one(ctx, event.DeviceRevoked, func(l openclaw.Devices) (openclaw.Device, error) { return l.Revoke(ctx, id) })
}

func (d *deviceDesk) Rename(ctx context.Context, id, label string) (openclaw.Device, error) {
	return d.one(ctx, "", func(l openclaw.Devices) (openclaw.Device, error) { return l.Rename(ctx, id, label) })
}

func (d *deviceDesk) ApproveAll(ctx context.Context) ([]openclaw.Device, error) {
	devices, err := d.now(ctx)
	if err != nil {
		return nil, err
	}
	list, err := devices.ApproveAll(ctx)
	for _, device := range list {
		d.note(event.DeviceApproved, device)
	}
	return list, err
}

func (d *deviceDesk) one(ctx context.Context, kind event.Kind, do func(openclaw.Devices) (openclaw.Device, error)) (openclaw.Device, error) {
	devices, err := d.now(ctx)
	if err != nil {
		return openclaw.Device{}, err
	}
	device, err := do(devices)
	if err == nil && kind != "" {
		d.note(kind, device)
	}
	return device, err
}

func (d *deviceDesk) note(kind event.Kind, device openclaw.Device) {
	words := map[event.Kind]string{event.DeviceApproved: "let in", event.DeviceRejected: "turned away", event.DeviceRevoked: "shut out"}
	d.record(kind, d.gateway.Status().Generation, fmt.Sprintf("the device %q (%s, %s) was %s", device.Title(), device.Platform, device.Address, words[kind]),
		map[string]any{"device": device.ID, "scopes": device.Scopes})
}
