package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"creel/internal/upstream"
)

// deadlineStep is how far a deadline may lag behind: setting it anew with every
// piece of a body would cost more than it is worth.
const deadlineStep = time.Second

// clientBody is a request's body as it comes from the client, with a bound on
// the pause between two pieces of it.
type clientBody struct {
	x        *passage
	idle     time.Duration
	set      time.Time // when the deadline was last set
	deadline time.Time
	stopped  atomic.Bool           // nobody needs the rest
	end      atomic.Pointer[error] // how it ended: io.EOF, or what went wrong; nil: it has not
}

var (
	// errSlowBody says that a client paused for too long in the middle of a body.
	errSlowBody = errors.New("the client sent nothing for too long")
	// errClientGone says that the client's connection broke in the middle of a body.
	errClientGone = errors.New("the client is gone")
)

// Read reads from the client. What it returns in the end is io.EOF, errSlowBody,
// errClientGone (wrapped), or what the server found wrong with the body.
func (b *clientBody) Read(p []byte) (int, error) {
	if now := time.Now(); b.idle > 0 && now.Sub(b.set) > deadlineStep {
		b.set, b.deadline = now, now.Add(b.idle+deadlineStep)
		if err := b.x.ctl.SetReadDeadline(b.deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return 0, b.ended(err)
		}
	}
	if b.stopped.Load() { // looked at after the deadline was set, which may have undone stopSending's
		return 0, b.ended(errAnswered)
	}
	n, err := b.x.req.Body.Read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		// From here on the server waits on the connection for the client to
		// leave; that wait has no end of its own.
		if clearErr := b.x.ctl.SetReadDeadline(time.Time{}); clearErr != nil && !errors.Is(clearErr, http.ErrNotSupported) {
			return n, b.ended(clearErr)
		}
	}
	return n, b.ended(err)
}

// ended takes note of the end, and says it in this package's terms.
func (b *clientBody) ended(err error) error {
	var (
		netErr net.Error
		op     *net.OpError
		large  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &netErr) && netErr.Timeout():
		err = errSlowBody
		if time.Now().Before(b.deadline) { // finish has ended the reading, not the client
			err = errAnswered
		}
	case err == io.EOF, errors.As(err, &large):
	case errors.As(err, &op), errors.Is(err, net.ErrClosed), b.x.req.ProtoMajor >= 2:
		// What else goes wrong in HTTP/2 ends the stream, and nobody can be told.
		err = errors.Join(errClientGone, err)
	}
	b.end.Store(&err)
	return err
}

// errAnswered ends the reading of a body that nobody needs any more.
var errAnswered = errors.New("the request was answered before its body was read")

// whole tells whether the body has been read to its end.
func (b *clientBody) whole() bool {
	end := b.end.Load()
	return end != nil && *end == io.EOF
}

// fault is what the client did wrong; nil: nothing, as far as is known.
func (b *clientBody) fault() *upstream.BodyError {
	end := b.end.Load()
	if end == nil || *end == io.EOF || errors.Is(*end, errClientGone) || errors.Is(*end, errAnswered) {
		return nil
	}
	return &upstream.BodyError{Err: *end}
}

// stopSending ends the reading of the client's body, and waits until it has.
func (x *passage) stopSending() {
	if x.body == nil {
		return
	}
	if x.body.end.Load() == nil {
		x.body.stopped.Store(true)
		// The reader may be waiting for a client that has nothing more to say.
		_ = x.ctl.SetReadDeadline(time.Unix(1, 0)) // fails only where the connection is gone
	}
	x.sending.Wait()
}

// lingerFor is how long a connection that is about to be closed is read from, so
// that the client sees what was written last: unread bytes turn the end of a TCP
// connection into a reset, which may overtake it.
const lingerFor = 2 * time.Second

// finish ends what still reads the client's body, and gives back what is kept.
func (x *passage) finish() {
	if x.body == nil {
		return
	}
	x.stopSending()
	if x.kept != nil {
		x.kept.close()
	}
	if !x.body.whole() {
		// The server reads the rest away, as far as it comes soon, and closes.
		_ = x.ctl.SetReadDeadline(time.Now().Add(lingerFor)) // fails only where the connection is gone
	}
}

// closeAfter says to the client, where its body has not been read to its end,
// that the connection ends with the answer: what is left of the body must never
// be taken for another request.
func (x *passage) closeAfter(h http.Header) {
	if x.body != nil && x.req.ProtoMajor == 1 && !x.body.whole() {
		h["Connection"] = []string{"close"}
	}
}

// clientWriter writes an answer's body to the client, with a bound on the time
// that written bytes may stay untaken.
type clientWriter struct {
	x       *passage
	idle    time.Duration
	set     time.Time
	perPipe bool // HTTP/2: a deadline that passes ends the stream even while nothing is written
}

func (x *passage) clientWriter() clientWriter {
	return clientWriter{x: x, idle: x.set.Timeouts.WriteIdle, perPipe: x.req.ProtoMajor >= 2}
}

// write writes a piece, and hands it to the client at once if flush is set.
func (w *clientWriter) write(b []byte, flush bool) error {
	if err := w.before(); err != nil {
		return err
	}
	if len(b) > 0 {
		if _, err := w.x.w.Write(b); err != nil {
			return err
		}
	}
	if flush {
		if err := w.x.ctl.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return w.after()
}

// last hands the client what is written yet. Over HTTP/2 nothing bounds the time that
// the server takes for that once the handler has returned, and a client decides how
// much of a stream it takes (RFC 9113 §5.2).
func (w *clientWriter) last() error {
	if !w.perPipe {
		return nil
	}
	return w.write(nil, true)
}

// before sets the write deadline.
func (w *clientWriter) before() error {
	if w.idle <= 0 {
		return nil
	}
	now := time.Now()
	if now.Sub(w.set) < deadlineStep {
		return nil
	}
	w.set = now
	if err := w.x.ctl.SetWriteDeadline(now.Add(w.idle + deadlineStep)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (w *clientWriter) after() error {
	if !w.perPipe || w.idle <= 0 {
		return nil
	}
	w.set = time.Time{}
	if err := w.x.ctl.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
