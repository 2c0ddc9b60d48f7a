package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/handover"
	"creel/internal/health"
)

// An upgrade goes like this; the successor is the program that is on disk now.
//
//	this creel                         successor
//	starts it, with lock and listener  reads its configuration
//	                              <──  prepared
//	stops its engine; the gateway
//	runs on, new requests wait
//	go                            ──>  makes its engine, takes the gateway over
//	                              <──  ready; both accept connections till here
//	says what it has under way with
//	the gateway, lets go      ──>  ends the gateway in good order, if
//	                               that is asked for, no sooner than now
//	closes its listener, asks the
//	successor for leases, and
//	drains: answers carry
//	"Connection: close"; what is
//	left at the deadline is closed
//
// If the successor fails at any step it is ended, and this creel makes a new
// engine and carries on. Requests that wait meanwhile do not notice.
const (
	// prepareTime bounds the successor's reading of its configuration.
	prepareTime = 20 * time.Second
	// takeoverTime bounds the adoption of the gateway.
	takeoverTime = 60 * time.Second
	// settleTime is how long a successor waits for the gateway that it has taken
	// over to be ready, before it says that it is in charge all the same: a
	// gateway that was not ready before the upgrade need not be ready after it.
	settleTime = 20 * time.Second
)

// The names of the files that are handed over.
const (
	fileLock     = "lock"
	fileListener = "listener"
)

// program is this program on disk, as it was found at the start: an upgrade
// replaces the file.
var program, errProgram = os.Executable()

// upgradeRequest asks for an upgrade; done gets its outcome.
type upgradeRequest struct{ done chan error }

// askUpgrade upgrades creel, and returns once the successor is in charge, or
// with the reason why it is not.
func (d *daemon) askUpgrade(ctx context.Context) error {
	r := upgradeRequest{make(chan error, 1)}
	err, asked := ask(ctx, d, d.upgrades, r, r.done)
	return errors.Join(err, asked)
}

// errStopping says that an upgrade was called off.
var errStopping = errors.New("creel was asked to stop meanwhile")

// upgrade hands over to a successor. After an error this creel is in charge as
// before, unless the error wraps errNoEngine. When ctx ends before the successor is in
// charge, it is called off: whoever stops creel wants none of the two.
func (d *daemon) upgrade(ctx context.Context, stop func(error)) error {
	s, err := d.startSuccessor(ctx)
	if err == nil {
		err = d.handOver(ctx, s, stop)
	}
	if err == nil {
		return nil
	}
	then := "; this creel carries on"
	if ctx.Err() != nil {
		err, then = calledOff(ctx, err), "; this creel ends"
	}
	err = fmt.Errorf("cannot upgrade: %w", err)
	d.log.Error("the upgrade has failed"+then, "error", err)
	d.journal.Record(event.Event{Kind: event.UpgradeFailed, Gateway: d.cfg().Gateway.Name, Message: err.Error() + then})
	return err
}

// calledOff is the error of an upgrade that creel's end has called off. What failed for
// that is of no interest, unless creel has been left without the gateway.
func calledOff(ctx context.Context, err error) error {
	why := context.Cause(ctx)
	if errors.Is(why, context.Canceled) {
		why = errStopping
	}
	if errors.Is(err, errNoEngine) {
		return fmt.Errorf("%w: %w", why, err)
	}
	return why
}

// startSuccessor starts a successor and waits until it is prepared.
func (d *daemon) startSuccessor(ctx context.Context) (*handover.Successor, error) {
	if os.Getpid() == 1 { // pid_namespaces(7): the kernel ends all others with it
		return nil, errors.New("this creel is the first process of its container, which would end with it, and the gateway, too; what creel can read again it does at `creel reload`; for another creel, replace the container")
	}
	if errProgram != nil {
		return nil, fmt.Errorf("cannot tell which program to start: %w", errProgram)
	}
	if err := readOnly(d.cfg().DataDir); err != nil { // see readonly.go
		return nil, fmt.Errorf("the successor could open no control socket in the data folder %s, and this creel would find it by that: %w; make it writable first", d.cfg().DataDir, err)
	}
	socket, ok := d.listener.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("cannot hand over a %T", d.listener)
	}
	s, err := handover.Start(program, d.opts.Args, d.opts.Environ, append(d.providers.files(), handover.File{Name: fileLock, File: d.lock.file}, handover.File{Name: fileListener, File: socket}),
		os.Getenv("NOTIFY_SOCKET") != "") // a service manager waits for its own children only
	if err != nil {
		return nil, err
	}
	crashpoint.Passed(crashpoint.UpgradeStarted)
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	if err := s.AwaitPrepared(ctx); err != nil {
		return nil, errors.Join(err, s.Abandon())
	}
	crashpoint.Passed(crashpoint.UpgradePrepared)
	return s, nil
}

// errNoEngine says that neither the successor nor this creel is in charge.
var errNoEngine = errors.New("this creel cannot take the gateway back")

// handOver lets go of the engine for the successor to take over, or takes the
// gateway back.
func (d *daemon) handOver(ctx context.Context, s *handover.Successor, stop func(error)) error {
	d.hearOut(ctx)
	d.journal.Record(event.Event{Kind: event.Upgraded, Gateway: d.cfg().Gateway.Name, Message: fmt.Sprintf("handing over to pid %d", s.PID())})
	if err := d.engine.leave(d.outlived); err != nil {
		d.log.Warn("something was left over in handing over", "error", err)
	}
	crashpoint.Passed(crashpoint.UpgradeLeft)
	limited, cancel := context.WithTimeout(ctx, takeoverTime)
	defer cancel()
	err := s.Go()
	if err == nil {
		crashpoint.Passed(crashpoint.UpgradeTold)
		err = s.AwaitReady(limited)
	}
	if err == nil {
		crashpoint.Passed(crashpoint.UpgradeHeard)
		d.log.Info("handed over", "pid", s.PID())
		// The successor says so, too. But this creel may end first, and a service is over
		// when its main process is: the service manager would end the successor with it.
		d.notify(fmt.Sprintf("MAINPID=%d", s.PID()))
		if ctx.Err() != nil { // in the same moment: the successor has not heard of it
			err = s.Terminate()
		}
		d.declare(context.WithoutCancel(ctx))                // it may have to stop the gateway now
		if err = errors.Join(err, s.Release()); err != nil { // it is in charge all the same
			d.log.Warn("something went wrong in letting go of the successor", "error", err)
		}
		return nil
	}
	err = errors.Join(err, s.Abandon())
	crashpoint.Passed(crashpoint.UpgradeAbandoned)
	again, engineErr := d.newEngine(d.engine)
	if engineErr != nil {
		return errors.Join(err, errNoEngine, engineErr)
	}
	old := d.engine
	d.engine = again
	again.run(stop)
	d.dropping.Go(func() { again.carryOver(d.outlived, old) })
	d.install(again)
	d.dropping.Go(old.drop) // whoever asked for the upgrade over its socket gets the answer first
	if signErr := d.lock.sign(); !health.Storage(signErr) {
		err = errors.Join(err, signErr)
	}
	crashpoint.Passed(crashpoint.UpgradeReclaimed)
	return err
}

// declareTime bounds the telling of what this creel has under way: if the successor does
// not take it in by then, its own requests must not wait for that, either.
const declareTime = 5 * time.Second

// hearOut waits for what the creel that has handed over to this one, or the engine before,
// has yet to say of its requests: when this engine is left, nobody hears it any more, and
// the next in charge would not know that there is something to wait for.
func (d *daemon) hearOut(ctx context.Context) {
	if d.engine.elsewhere == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, declareTime)
	defer cancel()
	select {
	case <-d.engine.elsewhere:
	case <-ctx.Done():
		d.log.Warn("what is under way with the creel before this one is not known; it is told to the next one, but if the gateway is restarted now, that may be cut")
	}
}

// declare tells the successor what this creel has under way with the gateway, so that a
// restart or a stop waits for that, too.
func (d *daemon) declare(ctx context.Context) {
	successor := newRemote(d.cfg().DataDir)
	d.successor.Store(successor)
	generation, drained := d.engine.gateway.UnderWay()
	if drained == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, declareTime)
	defer cancel()
	if err := successor.declare(ctx, generation, drained); err != nil {
		d.log.Warn("the new creel does not know yet what this one has under way; if the gateway is restarted now, that may be cut", "generation", generation, "error", err)
	}
}

// fateTime bounds the question how an instance ended: without an answer it has crashed,
// as far as this creel knows.
const fateTime = time.Second

// fateElsewhere asks who is in charge now how an instance ended that an engine of this
// creel has let go of: the creel that has taken over, or this one's next engine. It reports
// false if there is none yet.
func (d *daemon) fateElsewhere(ctx context.Context, generation uint64) (fate gateway.Fate, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, fateTime)
	defer cancel()
	var err error
	if successor := d.successor.Load(); successor != nil {
		fate, err = successor.fate(ctx, generation)
	} else {
		fate, err = d.engineNow.Load().gateway.AwaitEnd(ctx, generation) // of the one that was left: an error
	}
	return fate, err == nil
}

// drop ends an engine's control connections.
func (e *engine) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := e.close(ctx); err != nil {
		e.d.log.Warn("control connections were cut", "error", err)
	}
}

// drain serves the connections that this creel still has, until the last has
// ended or upgrade.drain is over. Then WebSockets
// are told to reconnect, and what is still under way is cut. Where creel was asked to
// end before it has begun, the successor was, too, and it ends with the gateway.
func (d *daemon) drain(asked context.Context) error {
	d.leaving.Store(true)
	d.proxy.Leave()
	successor := d.successor.Load()
	defer successor.close()
	d.leases.set(successor, nil, d.gatedSuccessor(d.engine.routes()))
	err := d.letGo()
	limit := d.cfg().Upgrade.Drain
	if asked.Err() != nil {
		limit = min(limit, d.cfg().Gateway.Stop.Drain+shutdownTime)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() { // ends with drain
		select {
		case <-d.opts.Hurry:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = errors.Join(err, d.providers.end(ctx))
	if left := d.census.AwaitNone(ctx); left > 0 {
		d.log.Info("closing connections that are still with the old creel", "connections", left)
	}
	crashpoint.Passed(crashpoint.UpgradeDrained)
	const serviceRestart = 1012 // IANA's registry of WebSocket close codes
	err = errors.Join(err, d.closeFront(serviceRestart, "creel was upgraded; reconnect"))
	// Before the successor is let go of: creels that drain, too, may have leases of this
	// one's yet, and are to have theirs of the successor first.
	return errors.Join(err, d.endControl())
}

// letGo gives up the listeners, and the lock after them: it is the successor's alone from
// here on. Should that one die, the next creel must not have to wait for the end of this
// drain, and is to find the ports free.
func (d *daemon) letGo() error {
	return errors.Join(d.listener.Close(), d.providers.refuse(), d.lock.close())
}

// successorPages gives creel's own pages as the successor shows them.
func (d *daemon) successorPages() http.Handler {
	scheme, host, _ := strings.Cut(d.secure("http://"+browsable(d.addr)), "://")
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: scheme, Host: host})
			r.Out.Host = r.In.Host
			// To the successor's gate the sender is this creel. So what was said of the
			// client stays as it was said only if its sender is one to be believed, or
			// if nobody is asked to sign in: then it tells who comes from elsewhere.
			d.gate.Forward(r.In, r.Out.Header)
			believed := d.gate.Open() || d.proxy.Trusts(r.In)
			if !believed {
				r.Out.Header.Del("X-Real-Ip")
			}
			for name, values := range r.In.Header {
				if believed && (name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-")) {
					r.Out.Header[name] = values
				}
			}
		},
		// The certificate is creel's own, and need not name the address that this
		// machine reaches it by.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
}

// inherit takes the lock and the listener over from the predecessor.
func (d *daemon) inherit(ctx context.Context) error {
	p := d.opts.Predecessor
	lockFile, socket := p.File(fileLock), p.File(fileListener)
	if lockFile == nil || socket == nil {
		return fmt.Errorf("cannot take over: the other creel has handed over no lock or no listener")
	}
	if err := d.checkSame(lockFile); err != nil {
		return errors.Join(err, socket.Close())
	}
	l, err := net.FileListener(socket)
	if err = errors.Join(err, socket.Close()); err != nil {
		return fmt.Errorf("cannot take over the listener: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTime+takeoverTime)
	defer cancel()
	crashpoint.Passed(crashpoint.UpgradeInherited)
	if err := p.Prepared(ctx); err != nil {
		return errors.Join(err, l.Close())
	}
	d.lock, d.listener = &lock{lockFile}, l
	if err := d.lock.sign(); err != nil && !health.Storage(err) { // see lockDataDir
		return errors.Join(err, l.Close(), d.lock.close())
	}
	crashpoint.Passed(crashpoint.UpgradeSigned)
	return nil
}

// checkSame refuses, before anything is let go of, to take over under a
// configuration that means another data folder or another gateway: the running
// one would be left to itself.
func (d *daemon) checkSame(lockFile *os.File) error {
	path := filepath.Join(d.cfg().DataDir, lockName)
	theirs, err := lockFile.Stat()
	if err != nil {
		return fmt.Errorf("cannot look at the lock of the other creel: %w", err)
	}
	ours, err := os.Stat(path)
	if err != nil || !os.SameFile(ours, theirs) {
		return fmt.Errorf("data_dir is now %s, which is not the folder of the creel that is running; stop creel and start it again, or take that change back", d.cfg().DataDir)
	}
	others, err := Recorded(d.cfg().DataDir)
	if err != nil {
		return err
	}
	for _, name := range others {
		if name != d.cfg().Gateway.Name {
			return fmt.Errorf("gateway.name is now %s, but %s is running; stop creel and start it again, or take that change back", d.cfg().Gateway.Name, name)
		}
	}
	return nil
}

// settle tells the predecessor that this creel is in charge, once the gateway is
// as it was found, or that it cannot be, which is its error: then the predecessor ends
// it, and takes the gateway back.
func (d *daemon) settle(ctx context.Context, e *engine) error {
	limited, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	// This is dealt with only after the supervisor has looked for what the
	// predecessor has left; a gateway that is stopped then is meant to be.
	err := e.gateway.ConfigChanged(limited)
	if err == nil {
		_, err = e.gateway.WaitFor(limited, func(st gateway.Status) bool {
			return st.Ready() || st.State == gateway.Failed || st.State == gateway.Backoff || st.State == gateway.Stopped ||
				st.State == gateway.Draining // it may be the predecessor's requests that it waits for
		})
	}
	if err := settled(ctx, limited, err); err != nil {
		d.opts.Predecessor.Failed(err)
		return err
	}
	crashpoint.Passed(crashpoint.UpgradeSettled)
	d.opts.Predecessor.Ready()
	crashpoint.Passed(crashpoint.UpgradeReady)
	return nil
}

// settled gives the error of a successor that cannot be in charge. ctx is what it runs
// under, limited and err what it has waited under and what came of that.
func settled(ctx, limited context.Context, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) { // else it was asked to stop
			return cause
		}
		return nil
	}
	if limited.Err() != nil {
		return nil
	}
	return err
}

// giveBack ends what a successor has begun that cannot be in charge. The gateway is left
// to the predecessor, which ends this creel wherever it is in that, or, if that one is no
// more, to the next creel.
func (d *daemon) giveBack() error {
	d.endRequests()
	err := d.engine.leave(d.outlived)
	d.engine.runtime.Close()
	return errors.Join(err, d.closeFront(goingAway, "creel is stopping"), d.endProviders(), d.endControl())
}
