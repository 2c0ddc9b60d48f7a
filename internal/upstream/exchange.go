package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/replay"
)

// maxHead is the largest head of an answer, in bytes, as in net/http's Transport
// (10 MiB there; no app needs more than a tenth of it).
const maxHead = 1 << 20

// maxInterim is how many 1xx answers may come before the final one; a gateway
// that sends more is broken, and would keep us for ever.
const maxInterim = 100

// aLongTimeAgo as a deadline ends reads and writes under way.
var aLongTimeAgo = time.Unix(1, 0)

// BadResponseError says that what the gateway sent is no HTTP/1.1 answer.
type BadResponseError struct{ Err error }

func (e *BadResponseError) Error() string {
	return "the gateway's answer is malformed: " + e.Err.Error()
}
func (e *BadResponseError) Unwrap() error { return e.Err }

// BodyError says that a request's body could not be read from the client; the
// gateway is not to blame.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "cannot read the request's body: " + e.Err.Error() }
func (e *BodyError) Unwrap() error { return e.Err }

// ErrNoAnswer says that the gateway took the request and did not answer in time.
var ErrNoAnswer = errors.New("the gateway did not answer in time")

// Request is what an exchange sends.
type Request struct {
	Method string
	Client Client
	// Body is nil if there is none, or if Whole is all of it.
	Body io.Reader
	// Whole is a body that is here already. It goes out with the head, and needs no
	// goroutine.
	Whole []byte
	// Length is the body's length in bytes, -1 if it is not known.
	Length int64
	// AnswerWithin bounds the time from the last byte sent to the head of the
	// answer; 0: no bound.
	AnswerWithin time.Duration
	// Sending has a goroutine for as long as Body is being read. Whoever made
	// the request waits for it in the end; it may be stuck reading Body.
	Sending *sync.WaitGroup
}

// Client is the side of an exchange that the request comes from.
type Client interface {
	// WriteHead writes the request line and the header section, without the
	// empty line and without framing fields (Content-Length, Transfer-Encoding).
	WriteHead(*bufio.Writer)
	// Trailer gives the trailer fields, once the body has been read to its end;
	// nil: none.
	Trailer() http.Header
	// Interim takes 1xx answers other than 100 and 101.
	Interim(status int, header http.Header)
}

// Exchange is one attempt: one request, one answer, one connection.
type Exchange struct {
	conn    *Conn // nil once it is ended
	tcp     socket
	ctx     context.Context
	release func() bool // takes back the hook on ctx
	method  string

	sent     sentWriter
	headSize int64
	writeErr error                     // the head could not be written whole
	sending  chan struct{}             // closed once the sending of the body has ended; nil: there is none
	failed   atomic.Pointer[BodyError] // the client's body failed
	whole    atomic.Bool               // the request is written whole
	answered atomic.Bool               // the head of the final answer is here
	unread   bool                      // the gateway had closed the connection before, and has read nothing
	response *http.Response
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, bufferSize) }}

// Send begins an exchange: it writes the request's head, and begins to write
// its body in a goroutine of r.Sending. When ctx ends, all reads and writes on
// the connection end.
//
// On an error the exchange has a meaning still: Evidence, and End. A head that
// could be written in part only is no error here: the gateway may have refused
// it with an answer, which Receive looks for.
func (c *Conn) Send(ctx context.Context, r *Request) (*Exchange, error) {
	x := &Exchange{conn: c, tcp: c.tcp, ctx: ctx, method: r.Method}
	x.sent.x, x.sent.within = x, r.AnswerWithin
	if r.Body == nil && r.AnswerWithin > 0 {
		// One deadline for sending and answer together: what is here is taken by
		// the kernel in no time, or the gateway does not read at all.
		x.sent.within = 0
		if err := c.tcp.SetDeadline(time.Now().Add(r.AnswerWithin)); err != nil {
			return x, x.wrap(err)
		}
	}
	x.release = context.AfterFunc(ctx, x.abort)
	bw := writers.Get().(*bufio.Writer)
	bw.Reset(&x.sent)
	r.Client.WriteHead(bw)
	writeFraming(bw, r)
	bw.Write(r.Whole) // bufio remembers an error
	err := bw.Flush()
	x.headSize = x.sent.n.Load()
	if err != nil {
		recycle(bw)
		if x.headSize == 0 || x.ctx.Err() != nil || isTimeout(err) {
			return x, x.wrap(err)
		}
		x.writeErr = err
		return x, nil
	}
	if r.Body == nil {
		recycle(bw)
		x.whole.Store(true)
		return x, nil
	}
	if err := c.tcp.SetNoDelay(true); err != nil { // pieces of a stream do not wait for each other
		recycle(bw)
		return x, x.wrap(err)
	}
	x.sending = make(chan struct{})
	body := r.Body // the next attempt puts its own there, while this one may still be reading
	r.Sending.Go(func() { x.sendBody(bw, r, body) })
	return x, nil
}

func recycle(bw *bufio.Writer) {
	bw.Reset(nil)
	writers.Put(bw)
}

// abort ends reads and writes under way.
func (x *Exchange) abort() { _ = x.tcp.SetDeadline(aLongTimeAgo) } // fails only on a closed connection

// sendBody writes the body. What went wrong is known before the end of the
// connection shows it to Receive.
func (x *Exchange) sendBody(bw *bufio.Writer, r *Request, body io.Reader) {
	defer close(x.sending)
	err := copyBody(bw, r, body)
	recycle(bw)
	var client *BodyError
	switch {
	case err == nil:
		x.whole.Store(true)
		x.await(r.AnswerWithin)
	case errors.As(err, &client):
		x.failed.Store(client)
		x.abort() // the gateway must not take what it has got for the whole
	case isTimeout(err):
		x.abort() // it takes nothing more: Receive reports ErrNoAnswer
	}
}

// await sets the deadline of the answer, which may come while it does.
func (x *Exchange) await(d time.Duration) {
	if d == 0 || x.answered.Load() {
		return
	}
	// An error means that the connection is closed, which Receive sees as well.
	_ = x.setReadDeadline(time.Now().Add(d))
	if x.answered.Load() {
		_ = x.setReadDeadline(time.Time{})
	}
}

func (x *Exchange) setReadDeadline(t time.Time) error {
	err := x.tcp.SetReadDeadline(t)
	if x.ctx.Err() != nil { // the deadline that abort has set must stay
		x.abort()
	}
	return err
}

// Evidence says how far the exchange got. What the gateway has provably not read
// counts as not written. While a write of the body is just
// returning, it may say one rung less; but never less than HeadWritten once a
// byte of the head is out, which is the border that counts.
func (x *Exchange) Evidence() replay.Evidence {
	n := x.sent.n.Load()
	switch {
	case x.response != nil:
		return replay.AnswerBegun
	case n == 0, x.unread:
		return replay.Dialled
	case x.whole.Load():
		return replay.AllWritten
	case x.sending != nil && n > x.headSize:
		return replay.BodyPart
	}
	return replay.HeadWritten
}

// Receive waits for the head of the final answer. The answer's body must be
// read from it before End. A 101 answer comes without a body: see Hijack.
//
// Errors: *BadResponseError, *BodyError, ErrNoAnswer, the cause of ctx's end, or
// what the connection reported.
func (x *Exchange) Receive(r *Request) (*http.Response, error) {
	for i := range maxInterim {
		x.conn.headLeft = maxHead
		resp, err := http.ReadResponse(x.conn.br, requestFor(x.method))
		if err != nil {
			silent := i == 0 && x.conn.headLeft == maxHead
			if silent && x.ctx.Err() == nil && !isTimeout(err) { // else it was not the gateway that ended it
				x.conn.pool.noAnswer(x.conn)
			}
			x.unread = silent && x.sending == nil && x.sent.writes == 1 && x.conn.unread()
			return nil, x.receiveError(err)
		}
		x.conn.headLeft = -1
		if err := checkHead(resp); err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, x.begun(resp, r)
		}
		if resp.StatusCode != http.StatusContinue {
			r.Client.Interim(resp.StatusCode, resp.Header)
		}
	}
	return nil, &BadResponseError{fmt.Errorf("more than %d interim answers", maxInterim)}
}

// begun takes note of the answer: from here on no deadline is on the reading.
func (x *Exchange) begun(resp *http.Response, r *Request) error {
	x.answered.Store(true)
	if resp.ContentLength < 0 || int64(x.conn.br.Buffered()) < resp.ContentLength {
		x.conn.proved() // else it is about to be kept, or closed
	}
	if r.AnswerWithin > 0 {
		if err := x.setReadDeadline(time.Time{}); err != nil {
			return fmt.Errorf("cannot read the gateway's answer: %w", err)
		}
	}
	x.response = resp
	return nil
}

// requestFor gives ReadResponse the method, on which an answer's framing
// depends (RFC 9112 §6.3).
func requestFor(method string) *http.Request {
	if method == http.MethodHead {
		return headRequest
	}
	return getRequest
}

var (
	headRequest = &http.Request{Method: http.MethodHead}
	getRequest  = &http.Request{Method: http.MethodGet}
)

// receiveError tells what kept the answer from coming: the client's body, the
// end of ctx, the deadline, the connection, or bytes that make no sense.
func (x *Exchange) receiveError(err error) error {
	if client := x.failed.Load(); client != nil {
		return client
	}
	switch {
	case x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	case isTimeout(err):
		return ErrNoAnswer
	case x.writeErr != nil:
		return x.wrap(x.writeErr)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isOpError(err):
		return fmt.Errorf("the gateway closed the connection without an answer: %w", err)
	}
	return &BadResponseError{err}
}

// isOpError tells whether an error is the connection's.
func isOpError(err error) bool {
	var op *net.OpError
	var file *fs.PathError // see socket_linux.go
	return errors.As(err, &op) || errors.As(err, &file)
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func (x *Exchange) wrap(err error) error {
	switch {
	case x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	case isTimeout(err):
		return ErrNoAnswer
	}
	return fmt.Errorf("cannot send the request to the gateway: %w", err)
}

// Buffered tells whether bytes of the answer are at hand without waiting.
func (x *Exchange) Buffered() bool { return x.conn.br.Buffered() > 0 }

// Hijack takes the connection out of the exchange, once a 101 answer has been
// received. br holds what was read beyond it; ctx no longer ends it.
func (x *Exchange) Hijack() (conn net.Conn, br *bufio.Reader, ok bool) {
	if !x.release() {
		return nil, nil, false
	}
	c := x.conn
	x.conn = nil
	if c.tcp.SetDeadline(time.Time{}) != nil || c.tcp.SetNoDelay(true) != nil { // the connection is gone
		c.close()
		return nil, nil, false
	}
	return c.tcp, c.br, true
}

// End ends the exchange. With complete set the answer was read to its end, and
// the connection is kept if both sides allow it; else it is closed, which ends
// the sending of the body as far as the gateway is concerned.
func (x *Exchange) End(complete bool) {
	if x.conn == nil {
		return
	}
	c := x.conn
	x.conn = nil
	intact := x.release == nil || x.release()
	if !complete || !intact || x.response == nil || x.response.Close || !x.whole.Load() || c.br.Buffered() > 0 {
		c.close()
		return
	}
	if x.sending != nil {
		<-x.sending // all is written: it is about to end, and must not touch the next one's deadlines
	}
	c.pool.put(c)
}

// writeStep is how far a write deadline may lag behind: setting it with every
// piece would cost more than it is worth.
const writeStep = time.Second

// sentWriter counts the bytes that the kernel took, and bounds the time that
// the gateway may take to make room for more.
type sentWriter struct {
	x      *Exchange
	within time.Duration // 0: no bound of its own
	set    time.Time
	writes int // calls of Write while the head, and what goes out with it, was written
	n      atomic.Int64
}

func (w *sentWriter) Write(b []byte) (int, error) {
	if w.within > 0 {
		if now := time.Now(); now.Sub(w.set) > writeStep {
			w.set = now
			err := w.x.tcp.SetWriteDeadline(now.Add(w.within + writeStep))
			if w.x.ctx.Err() != nil {
				w.x.abort()
			}
			if err != nil {
				return 0, err
			}
		}
	}
	w.writes++
	n, err := w.x.tcp.Write(b)
	w.n.Add(int64(n))
	return n, err
}
