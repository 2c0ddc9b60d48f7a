package auth

import (
	"net/http"
	"time"
)

// untakenTime is how long what creel's own pages have written may stay untaken: a
// download that its reader has stopped to read must not keep a snapshot open, and a
// connection, for ever.
const untakenTime = time.Minute

// paced writes an answer of creel's own with a bound on the time that each piece of
// it may stay untaken. A handler that sets deadlines of its own is left to them.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
	perPipe bool // HTTP/2: a deadline that passes ends the stream even while nothing is written
	own     bool // the handler has set one
}

// refusing gives what to write a refusal to, and what is to be called when it is
// written.
func (g *Gate) refusing(w http.ResponseWriter, r *http.Request) (out http.ResponseWriter, done func()) {
	boundBody(w, r)
	p := newPaced(w, r, g.untaken)
	return p, p.last
}

func newPaced(w http.ResponseWriter, r *http.Request, within time.Duration) *paced {
	return &paced{ResponseWriter: w, control: http.NewResponseController(w), within: within, perPipe: r.ProtoMajor >= 2}
}

// Unwrap is for http.ResponseController.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// SetWriteDeadline is for http.ResponseController.
func (p *paced) SetWriteDeadline(t time.Time) error {
	p.own = true
	return p.control.SetWriteDeadline(t)
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (int, error) {
	p.bound(p.within)
	n, err := p.ResponseWriter.Write(b)
	if p.perPipe {
		p.bound(0)
	}
	return n, err
}

// last is for what the server still writes when the handler has returned. Over HTTP/2
// it is written now: a deadline may come to be set when the stream has ended, and would
// keep it in memory until it passes.
func (p *paced) last() {
	p.own = false
	p.bound(p.within)
	if p.perPipe {
		_ = p.control.Flush() // the client may be gone: nobody is left to tell
		p.bound(0)
	}
}

// bound sets the deadline; 0: none.
func (p *paced) bound(within time.Duration) {
	if p.own {
		return
	}
	var until time.Time
	if within > 0 {
		until = time.Now().Add(within)
	}
	_ = p.control.SetWriteDeadline(until) // fails only where the connection is gone
}
