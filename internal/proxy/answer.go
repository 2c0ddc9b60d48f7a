package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"

	"creel/internal/gateway"
	"creel/internal/upstream"
)

// pass gives the gateway's answer to the client. From its first byte on there
// is no way back.
func (x *passage) pass(l *gateway.Lease, ex *upstream.Exchange, resp *http.Response) *failure {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.switchProtocols(l, ex, resp)
	}
	announced := x.writeHead(resp)
	err := x.copyBody(l, ex, resp)
	var cut *cutError
	switch {
	case errors.As(err, &cut):
		ex.End(false)
		x.proxy.pools.of(l).doubt.raise()
		x.proxy.log.Warn("an answer was cut, since the gateway broke off in the middle of it", "request_id", x.id(),
			"method", x.req.Method, "path", x.req.URL.Path, "generation", l.Generation(), "error", cut.err)
		x.proxy.opts.Recorder.Request(Failed)
		x.proxy.opts.Recorder.Problem("answer_cut")
		x.abortClient()
	case err != nil:
		ex.End(false)
		x.proxy.opts.Recorder.Request(Canceled)
		x.abortClient()
	default:
		x.writeTrailer(resp, announced)
		ex.End(true)
		if resp.StatusCode < 500 {
			l.Served()
		}
		x.proxy.opts.Recorder.Request(x.outcome())
	}
	return nil
}

func (x *passage) outcome() Outcome {
	if x.sent > 1 {
		return Replayed
	}
	return Forwarded
}

// writeHead writes the status and the header section. It gives the names of the
// trailer fields that it has announced.
func (x *passage) writeHead(resp *http.Response) (announced map[string]bool) {
	h := x.w.Header()
	x.proxy.copyHeader(h, resp.Header)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // keeps the server from guessing one
	}
	for name := range resp.Trailer {
		if unfitForTrailer(name) {
			continue
		}
		if announced == nil {
			announced = map[string]bool{}
		}
		announced[name] = true
		h.Add("Trailer", name)
	}
	x.closeAfter(h)
	x.w.WriteHeader(resp.StatusCode)
	return announced
}

// writeTrailer writes the fields that came after the body, announced or not.
func (x *passage) writeTrailer(resp *http.Response, announced map[string]bool) {
	h := x.w.Header()
	for name, values := range resp.Trailer {
		switch {
		case announced[name]:
			// One that stood in the header section too has had its say there.
			h[name] = values
		case len(values) > 0 && !unfitForTrailer(name):
			// Only an answer in chunks has room for it, and the server chooses
			// that once something is flushed.
			if x.ctl.Flush() == nil {
				h[http.TrailerPrefix+name] = values
			}
		}
	}
}

// cutError says that an answer ended in its middle, by the gateway's doing.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the answer was cut: " + e.err.Error() }

// copyBody copies the body. What waits for more to come is flushed, so that
// streams reach the client at once, while an answer that is at hand whole goes
// out in one piece.
func (x *passage) copyBody(l *gateway.Lease, ex *upstream.Exchange, resp *http.Response) error {
	w := x.clientWriter()
	if resp.Body == http.NoBody || x.req.Method == http.MethodHead {
		if w.perPipe { // a head is no matter of how much a client takes of a stream
			return nil
		}
		return w.before()
	}
	if !ex.Buffered() { // a client that waits for a stream may wait for its head first
		if err := w.write(nil, true); err != nil {
			return err
		}
	}
	buf := upstream.Buffers.Get().(*[]byte)
	defer upstream.Buffers.Put(buf)
	left := resp.ContentLength
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			l.Moved()
			left -= int64(n)
			// A buffer that could be filled means that there is more at hand.
			wait := err == nil && left != 0 && (n < len(*buf) || !ex.Buffered())
			if w.perPipe && (err == io.EOF || left == 0) {
				wait = true // see clientWriter.last
			}
			if werr := w.write((*buf)[:n], wait); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && x.req.Context().Err() != nil:
			return err
		case err != nil:
			return &cutError{err}
		}
	}
}

// abortClient breaks the client's connection (HTTP/1) or stream (HTTP/2) in a
// way that no client can take for the orderly end of an answer: even one whose
// end is the connection's end (RFC 9112 §6.3, case 8) is seen to be broken by a
// reset. It does not return.
func (x *passage) abortClient() {
	if c, ok := x.req.Context().Value(connKey{}).(net.Conn); ok && x.req.ProtoMajor == 1 {
		reset(c)
	}
	panic(http.ErrAbortHandler)
}

// reset closes a connection with a TCP reset. For TLS it goes past the session,
// which would say goodbye in good order first.
func reset(c net.Conn) {
	inner, ok := c.(interface{ NetConn() net.Conn })
	if ok {
		c = inner.NetConn()
	}
	tcp, isTCP := c.(*net.TCPConn)
	if isTCP {
		_ = tcp.SetLinger(0) // fails only where the connection is gone
	}
	if ok || !isTCP {
		_ = c.Close()
	}
}
