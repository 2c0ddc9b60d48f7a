package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/change"
	"creel/internal/telemetry"
)

// Options are what a Client needs. Token must be set.
type Options struct {
	// Token gives the gateway's shared token. It is asked for each login, so
	// that one which was changed is used.
	Token   func() (telemetry.Secret, error)
	Version string       // of creel, for the gateway's log; may be empty
	Logger  *slog.Logger // may be nil
}

// Bounds of calls.
const (
	// CallTimeout is the longest that a call takes; its context may end it sooner.
	CallTimeout = 15 * time.Second
	// pendingCalls is how many calls may be under way.
	pendingCalls = 256
)

// Target is an instance of the gateway to talk to.
type Target struct {
	Generation uint64
	Addr       string          // "host:port" on loopback
	Done       <-chan struct{} // closed when the instance has ended; nil: not known
}

// Client keeps a connection to one gateway. One goroutine, run, owns all that is
// below "owned by run"; everybody else asks it, or reads what it publishes.
type Client struct {
	opts  Options
	log   *slog.Logger
	inbox chan func() // unbuffered: what was sent is being done
	ctx   context.Context
	stop  context.CancelFunc
	done  chan struct{}
	tasks sync.WaitGroup // dials, readers, writers
	watch change.Signal  // of the view
	view  atomic.Pointer[View]

	draining   atomic.Bool   // Drain was called for the present instance
	drainRenew time.Duration // see the constant; tests have it sooner
	mu         sync.Mutex    // guards the closing of closing against additions to duties
	closing    chan struct{} // closed by Close
	duties     sync.WaitGroup

	// owned by run
	target  Target
	life    context.Context // of the present target
	endLife context.CancelFunc
	session *session
	pending map[string]*call
	calls   uint64
	pauses  backoff
	retry   *time.Timer
	now     View
	readers map[*subscriber]struct{}
}

// call is one that waits for its reply.
type call struct {
	method string
	reply  chan reply // capacity 1
	id     string     // set by run
}

type reply struct {
	payload json.RawMessage
	err     error
}

// New makes a client that talks to nobody yet, and runs it until Close.
func New(o Options) *Client {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		opts: o, log: o.Logger, inbox: make(chan func()), ctx: ctx, stop: stop, done: make(chan struct{}),
		drainRenew: drainRenew, closing: make(chan struct{}), pending: map[string]*call{}, readers: map[*subscriber]struct{}{}, pauses: newBackoff(),
	}
	c.publish()
	go c.run()
	return c
}

// Attend makes t the instance to talk to. Naming the present one again does
// nothing; the zero Target: talk to nobody.
func (c *Client) Attend(t Target) {
	c.do(func() {
		if t.Generation == c.target.Generation && t.Addr == c.target.Addr {
			return
		}
		c.leave(&NotConnectedError{})
		c.target = t
		c.now = View{Generation: t.Generation}
		c.pauses = newBackoff()
		c.draining.Store(false)
		if t.Addr != "" {
			c.life, c.endLife = context.WithCancel(c.ctx)
			c.watchEnd(t)
			c.dial()
		}
		c.publish()
	})
}

// Close ends the connection and all goroutines. A suspension that is in force is
// ended first, as far as that is possible within a moment.
func (c *Client) Close() {
	c.mu.Lock()
	select {
	case <-c.closing:
	default:
		close(c.closing)
	}
	c.mu.Unlock()
	c.duties.Wait()
	c.stop()
	<-c.done
	c.tasks.Wait()
}

// do has run do f, and reports whether it will. f must not block.
func (c *Client) do(f func()) bool {
	select {
	case c.inbox <- f:
		return true
	case <-c.done:
		return false
	}
}

func (c *Client) run() {
	defer close(c.done)
	for {
		select {
		case f := <-c.inbox:
			f()
		case <-c.ctx.Done():
			c.leave(ErrClosed)
			c.now = View{Err: ErrClosed}
			for r := range c.readers {
				close(r.events)
			}
			c.publish()
			return
		}
	}
}

// watchEnd lets go of an instance that has ended.
func (c *Client) watchEnd(t Target) {
	if t.Done == nil {
		return
	}
	life := c.life
	c.tasks.Go(func() {
		select {
		case <-life.Done():
			return
		case <-t.Done:
		}
		c.do(func() {
			if life.Err() != nil { // another one is attended by now
				return
			}
			c.leave(errEnded)
			c.now.Connected, c.now.Err = false, errEnded
			c.publish()
		})
	})
}

// errEnded is why an instance is not talked to any more.
var errEnded = errors.New("it has ended")

// leave gives up the present target's connection and ends its calls.
func (c *Client) leave(why error) {
	if c.endLife != nil {
		c.endLife()
	}
	if c.retry != nil {
		c.retry.Stop()
	}
	c.drop(why)
}

// drop gives up the present connection and ends its calls.
func (c *Client) drop(why error) {
	if c.session == nil {
		return
	}
	c.session.end()
	c.session = nil
	for id, p := range c.pending {
		delete(c.pending, id)
		p.reply <- reply{err: &LostError{p.method, why}}
	}
}

// dial opens a connection to the present target in a task.
func (c *Client) dial() {
	life, addr := c.life, c.target.Addr
	c.tasks.Go(func() {
		s, err := open(life, addr, &c.opts)
		taken := c.do(func() {
			switch {
			case life.Err() != nil:
				if s != nil {
					_ = s.conn.CloseNow() // late: another target is attended
					s.end()
				}
			case err != nil:
				c.failed(err)
			default:
				c.connected(s)
			}
		})
		if !taken && s != nil {
			_ = s.conn.CloseNow() // the client is closed
			s.end()
		}
	})
}

// failed takes note of an attempt that failed, and arranges the next.
func (c *Client) failed(err error) {
	if c.now.Err == nil || c.now.Err.Error() != err.Error() {
		c.log.Debug("cannot talk to OpenClaw", "generation", c.target.Generation, "error", err)
	}
	c.now.Connected, c.now.Err = false, err
	c.publish()
	pause := c.pauses.next()
	if refused, ok := errors.AsType[*Error](err); ok && refused.RetryAfter > 0 {
		pause = min(refused.RetryAfter, longestPause)
	}
	life := c.life
	c.retry = time.AfterFunc(pause, func() {
		c.do(func() {
			if life.Err() == nil {
				c.dial()
			}
		})
	})
}

// connected makes s the present connection.
func (c *Client) connected(s *session) {
	c.session, c.pauses = s, newBackoff()
	if c.now.Hello.BootID != s.hello.BootID {
		c.now.Boots++
		c.now.Farewell = Farewell{}
	}
	c.now.Connected, c.now.Err, c.now.Hello = true, nil, s.hello
	c.log.Info("talking to OpenClaw", "generation", c.target.Generation, "version", s.hello.Version, "boot_id", s.hello.BootID)
	c.publish()
	if s.hello.Phase != PhaseAccepting && s.hello.Phase != "" && !c.draining.Load() {
		c.afterwards(c.endLeft)
	}
	c.tasks.Go(s.write)
	c.tasks.Go(func() {
		err := s.read(func(f frame) bool { return c.do(func() { c.take(s, f) }) })
		c.do(func() {
			if c.session != s {
				return // given up already
			}
			c.drop(err)
			c.failed(err)
		})
	})
}

// take deals with one frame of a connection.
func (c *Client) take(s *session, f frame) {
	if c.session != s {
		return
	}
	switch f.Type {
	case frameResponse:
		p := c.pending[f.ID]
		if p == nil {
			return // its caller has gone
		}
		delete(c.pending, f.ID)
		if f.OK {
			p.reply <- reply{payload: f.Payload}
		} else {
			p.reply <- reply{err: refusal(p.method, f.Error)}
		}
	case frameEvent:
		c.note(f)
		c.spread(Event{Name: f.Event, Payload: f.Payload, Generation: c.target.Generation})
	case frameRequest: // the gateway makes none
	}
}

// Call calls a method and reads the answer into result, a pointer; nil: the
// answer is of no interest. Errors that callers may want to tell apart: *Error,
// *NotConnectedError, *LostError, *BusyError, ErrClosed, and the cause of ctx's
// end if it came before the call was sent.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	p := &call{method: method, reply: make(chan reply, 1)}
	var refused error
	sent := make(chan struct{})
	send := func() {
		defer close(sent)
		if ctx.Err() != nil { // select may have taken this way all the same
			refused = notAsked(ctx, method)
			return
		}
		refused = c.send(p, params)
	}
	select {
	case c.inbox <- send:
	case <-c.done:
		return ErrClosed
	case <-ctx.Done():
		return notAsked(ctx, method)
	}
	<-sent // run does not block
	if refused != nil {
		return refused
	}
	select {
	case r := <-p.reply:
		if r.err != nil {
			return r.err
		}
		return unmarshal(method, r.payload, result)
	case <-ctx.Done():
		c.do(func() { delete(c.pending, p.id) })
		return &LostError{method, context.Cause(ctx)}
	}
}

// notAsked says that ctx ended before a call was sent.
func notAsked(ctx context.Context, method string) error {
	return fmt.Errorf("cannot ask OpenClaw for %s: %w", method, context.Cause(ctx))
}

// send queues a call's frame.
func (c *Client) send(p *call, params any) error {
	if c.session == nil {
		return &NotConnectedError{Generation: c.target.Generation, Err: c.now.Err}
	}
	if len(c.pending) >= pendingCalls {
		return &BusyError{p.method}
	}
	c.calls++
	p.id = strconv.FormatUint(c.calls, 10)
	b, err := encode(p.id, p.method, params)
	if err != nil {
		return err
	}
	select {
	case c.session.out <- b:
		c.pending[p.id] = p
		return nil
	default:
		return &BusyError{p.method}
	}
}

// Events gives the gateway's events from now on, of all instances that are
// attended, until ctx ends or the client is closed. At most size of them wait for
// the loop's body; beyond that they are dropped, and the next one's Missed says
// how many were.
func (c *Client) Events(ctx context.Context, size int) iter.Seq[Event] {
	r := &subscriber{events: make(chan Event, max(size, 1))}
	joined := c.do(func() { c.readers[r] = struct{}{} })
	return func(yield func(Event) bool) {
		if !joined {
			return
		}
		defer c.do(func() { delete(c.readers, r) })
		for {
			select {
			case e, ok := <-r.events:
				if !ok || !yield(e) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
