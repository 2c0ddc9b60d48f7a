package crashgw

import (
	"net/http"
	"strconv"
	"time"
)

// serveHang takes the request and does not answer, or late.
func (c *call) serveHang() {
	d := c.params.duration("for", -1)
	if c.refused() {
		return
	}
	// Only once the body is read does net/http notice that the client has left.
	if c.drain() != nil {
		return
	}
	if d < 0 {
		<-c.r.Context().Done()
		return
	}
	if c.pause(d) {
		c.reply(http.StatusOK, c.health(true))
	}
}

// serveHangAll answers, and from then on nothing is answered: what is being
// streamed stops too.
func (c *call) serveHangAll() {
	d := c.params.duration("for", -1)
	if c.refused() {
		return
	}
	// First shut, then answer: a client that has the answer knows that the next
	// request will hang.
	c.log.Print("hanging")
	open := c.gate.shut()
	if d >= 0 {
		time.AfterFunc(d, func() {
			c.log.Print("no longer hanging")
			open()
		})
	}
	c.reply(http.StatusAccepted, c.health(true))
}

// serveLate answers, and from then on every answer begins late, those of /healthz
// and /readyz too. What is being streamed goes on.
func (c *call) serveLate() {
	by, d := c.params.duration("by", -1), c.params.duration("for", -1)
	if by < 0 {
		c.params.fail("cannot be late by nothing: use by=")
	}
	if c.refused() {
		return
	}
	c.late.Store(int64(by))
	if d >= 0 {
		time.AfterFunc(d, func() { c.late.Store(0) })
	}
	c.reply(http.StatusAccepted, c.health(true))
}

// serveBurn answers, and keeps one processor busy from then on.
func (c *call) serveBurn() {
	d := c.params.duration("for", -1)
	if d < 0 {
		c.params.fail("cannot use a processor for ever: use for=")
	}
	if c.refused() {
		return
	}
	until := time.Now().Add(d)
	go func() { // ends by itself
		for time.Now().Before(until) {
		}
	}()
	c.reply(http.StatusAccepted, c.health(true))
}

// serveRefuse closes the listener, and then answers: a client that has the
// answer knows that the next connection is refused.
func (c *call) serveRefuse() {
	d := c.params.duration("for", -1)
	drop := c.params.flag("drop")
	if d < 0 {
		c.params.fail("cannot close the port for ever: use for=")
	}
	if c.refused() {
		return
	}
	if c.orphanPID != 0 {
		c.reply(http.StatusConflict, failure{"cannot refuse connections: the orphan holds the socket too"})
		return
	}
	if err := c.port.closeFor(d); err != nil {
		c.reply(http.StatusConflict, failure{err.Error()})
		return
	}
	c.conns.closeOthers(c.r, drop)
	c.w.Header().Set("Connection", "close")
	c.reply(http.StatusOK, c.health(true))
}

// serveSlowBody sends a body of known length at a given rate.
func (c *call) serveSlowBody() {
	bytes := c.params.count("bytes", 1024, 1<<40)
	rate := c.params.count("rate", 1024, 1<<40)
	if rate == 0 {
		c.params.fail("cannot send at rate=0: use /hang")
	}
	if c.refused() {
		return
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(bytes, 10))
	// A hundred pieces per second, or single bytes if that is too many.
	piece := max(rate/100, 1)
	every := time.Duration(float64(piece) / float64(rate) * float64(time.Second))
	body := PatternReader(bytes)
	pieces := (bytes + piece - 1) / piece
	for i := int64(0); ; i++ {
		c.step(i, pieces)
		if i == pieces || !c.pause(every) || !c.copyFrom(body, piece) || !c.flush() {
			return
		}
	}
}
