package crashgw

import (
	"io"
	"net/http"
	"slices"
	"time"
)

// mode is a way of die=; the empty mode is none.
type mode string

const (
	onArrival      mode = "on-arrival"
	midRequestBody mode = "mid-request-body"
	beforeHeaders  mode = "before-headers"
	afterHeaders   mode = "after-headers"
	midBody        mode = "mid-body"
	midChunked     mode = "mid-chunked"
	then500        mode = "500-then-exit"
	close500       mode = "500-close-exit"
)

// modes are the modes that fit each kind of route.
var modes = map[routeKind][]mode{
	whole:   {onArrival, midRequestBody, beforeHeaders, afterHeaders, midBody, midChunked, then500, close500},
	stepped: {onArrival, midRequestBody, beforeHeaders, afterHeaders, midBody, midChunked},
	fixed:   {onArrival, midRequestBody, beforeHeaders},
}

// plan is how a request is to end the process.
type plan struct {
	mode   mode
	death  death
	within time.Duration // 500-then-exit: from the end of the answer to the exit
	after  int64         // mid-request-body: bytes to read; -1: half
	times  int64         // 0: always; else as long as the ledger holds fewer deaths of id
	id     string
}

// parsePlan reads die= and what belongs to it.
func (c *call) parsePlan(kind routeKind) plan {
	m := mode(c.params.text("die"))
	if m == "" {
		return plan{}
	}
	if !slices.Contains(modes[kind], m) {
		c.params.fail("cannot die=%s at %s: choose from %v", m, c.r.URL.Path, modes[kind])
		return plan{}
	}
	p := plan{
		mode:   m,
		within: c.params.duration("within", 0),
		after:  c.params.count("after", -1, 1<<40),
		times:  c.params.count("times", 0, 1<<20),
		id:     c.params.text("id"),
	}
	p.death = death{code: int(c.params.count("code", 1, 255)), why: "die=" + string(m)}
	if name := c.params.text("signal"); name != "" {
		p.death.signal = fatalSignal(name)
		if p.death.signal == 0 {
			c.params.fail("cannot use signal=%q: use the name of a signal that ends a process, such as KILL", name)
		}
	}
	if p.times > 0 && (c.ledger == nil || p.id == "") {
		c.params.fail("cannot use times=%d: deaths are counted by id= in the ledger, which needs --ledger", p.times)
	}
	return p
}

// survives counts this death in the ledger if times= limits deaths, and is true
// if there have been enough.
func (s *server) survives(c *call) bool {
	if c.plan.times == 0 {
		return false
	}
	e := s.entry(c.r, KindDeath)
	e.ID = c.plan.id
	dies, err := s.ledger.recordDeath(c.r.Context(), e, c.plan.times)
	if err != nil {
		c.params.fail("cannot count the death: %w", err)
	}
	return err == nil && !dies
}

// run serves the request, and dies on the way if the plan says so.
func (c *call) run(rt route) {
	switch {
	case c.plan.mode == "" && rt.kind != stepped:
		rt.serve(c)
	case c.plan.mode == onArrival:
		c.die(c.plan.death)
	case c.plan.mode == midRequestBody:
		c.readPart()
		c.die(c.plan.death)
	case rt.kind == whole:
		c.runWhole(rt)
	case c.plan.mode == beforeHeaders:
		c.die(c.plan.death)
	default: // stepped
		// Only once the body is read does net/http notice that the client has
		// left. What is not read of a lost client's body does not matter.
		_ = c.drain()
		rt.serve(c) // dies in call.step, if at all
	}
}

// readPart reads as much of the request's body as mid-request-body says. The
// client may end it earlier, which changes nothing.
func (c *call) readPart() {
	n := c.plan.after
	if n < 0 && c.r.ContentLength >= 0 {
		n = c.r.ContentLength / 2
	}
	if n >= 0 {
		_, _ = io.CopyN(io.Discard, c.r.Body, n)
		return
	}
	_, _ = c.r.Body.Read(make([]byte, 4096))
}

// runWhole does the request's work with the answer kept back, and then gives as
// much of it as the plan says.
func (c *call) runWhole(rt route) {
	a := &answer{header: make(http.Header)}
	w := c.w
	c.w = a
	rt.serve(c)
	c.w = w
	// Bytes left unread would turn the end of the connection into a reset,
	// which may take what was sent before with it. If the client has gone,
	// nobody reads it anyway.
	_ = c.drain()
	switch c.plan.mode {
	case "": // refused by the handler
		a.replay(w)
		return
	case beforeHeaders:
	case then500:
		c.reply(http.StatusInternalServerError, failure{"die=" + string(then500)})
		c.conns.afterAnswer(c.r, func() { c.dieIn(c.plan.within) })
		return
	case close500:
		a = answer500(string(close500))
		a.header.Set("Connection", "close")
		c.sendRaw(a.wire(close500), true)
	default:
		c.sendRaw(a.wire(c.plan.mode), false)
	}
	c.die(c.plan.death)
}

// dieIn ends the process after d, which meanwhile goes on serving.
func (c *call) dieIn(d time.Duration) {
	if d == 0 {
		c.die(c.plan.death)
	}
	time.AfterFunc(d, func() { c.die(c.plan.death) })
}

// sendRaw writes bytes to the connection; its end is left to the kernel, when
// the process ends, unless closing is asked for. The bytes have reached the
// kernel when sendRaw returns, so that exiting does not take them back.
func (c *call) sendRaw(b []byte, closing bool) {
	nc, _, taken := c.takeOver()
	if !taken {
		return
	}
	if _, err := nc.Write(b); err != nil {
		c.log.Printf("cannot write the answer: %v", err)
	}
	if closing {
		closeConn(nc)
	}
}

// step is called by a stepped route before it sends piece i of n, and with i = n
// at the end. It dies there if the plan says so, after what was sent is out.
func (c *call) step(i, n int64) {
	switch c.plan.mode {
	case afterHeaders:
		if i != 0 {
			return
		}
	case midBody, midChunked:
		if i != n/2 {
			return
		}
	default:
		return
	}
	c.flush() // a client that has gone does not save the process
	c.die(c.plan.death)
}
