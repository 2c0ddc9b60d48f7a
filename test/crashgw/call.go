package crashgw

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// routeKind says how an answer is made, and thereby which modes of die fit it.
type routeKind int

const (
	whole   routeKind = iota // one plain body: every mode
	stepped                  // sent piece by piece, calls call.step
	fixed                    // fails in its own way, or is gone already
)

type route struct {
	serve func(*call)
	kind  routeKind
}

// routes are the paths; the package comment says what each does.
var routes map[string]route

func init() { // not a plain initialiser: serveLedger and others lead back here
	routes = map[string]route{
		"/":             {(*call).servePage, whole},
		"/echo":         {(*call).serveEcho, whole},
		"/env":          {(*call).serveEnv, whole},
		"/log":          {(*call).serveLog, whole},
		"/item":         {(*call).serveItem, whole},
		"/store":        {(*call).serveStore, whole},
		"/ledger":       {(*call).serveLedger, whole},
		"/state":        {(*call).serveState, whole},
		"/hang":         {(*call).serveHang, fixed},
		"/hang-all":     {(*call).serveHangAll, fixed},
		"/late":         {(*call).serveLate, fixed},
		"/burn":         {(*call).serveBurn, fixed},
		"/hog":          {(*call).serveHog, fixed},
		"/refuse":       {(*call).serveRefuse, fixed},
		"/slow-body":    {(*call).serveSlowBody, stepped},
		"/sse":          {(*call).serveSSE, stepped},
		"/stream":       {(*call).serveStream, stepped},
		"/trailers":     {(*call).serveTrailers, fixed},
		"/1xx":          {(*call).serveEarlyHints, stepped},
		"/early-answer": {(*call).serveEarlyAnswer, fixed},
		"/upload":       {(*call).serveUpload, whole},
		"/download":     {(*call).serveDownload, whole},
		"/eof-body":     {(*call).serveEOFBody, stepped},
		"/bad":          {(*call).serveBad, fixed},
		"/status":       {(*call).serveStatus, whole},
		"/set-cookie":   {(*call).serveSetCookie, whole},
		"/headers":      {(*call).serveHopHeaders, whole},
		"/ws":           {(*call).serveWebSocket, stepped},
	}
}

// call is one request on its way.
type call struct {
	*server
	w      http.ResponseWriter
	r      *http.Request
	params params
	plan   plan // how the process is to die of it; the zero plan: not at all
	taken  bool // the handler writes to the connection itself
}

// refused answers 400 if a parameter was wrong, and tells whether it did.
func (c *call) refused() bool {
	err := c.params.err()
	if err == nil {
		return false
	}
	c.plan = plan{} // a request that is refused kills nobody
	c.reply(http.StatusBadRequest, failure{strings.ReplaceAll(err.Error(), "\n", "; ")})
	return true
}

func (c *call) reply(status int, v any) { writeJSON(c.w, status, v) }

// parseDelay reads delay= and below=.
func (c *call) parseDelay() time.Duration {
	d := c.params.duration("delay", 0)
	below := c.params.count("below", 0, 1<<40)
	if below == 0 {
		return d
	}
	generation, err := strconv.ParseInt(c.generation, 10, 64)
	switch {
	case d == 0:
		c.params.fail("cannot use below=%d without delay=", below)
	case err != nil:
		c.params.fail("cannot use below=%d: $CREEL_GENERATION is %q", below, c.generation)
	case generation >= below:
		return 0
	}
	return d
}

// delay waits for d. It is false if the client left first; a request that is to
// kill the process does so even without a client.
func (c *call) delay(d time.Duration) bool {
	if c.plan.mode != "" {
		wait(d)
		return true
	}
	return d == 0 || sleep(c.r.Context(), d) == nil
}

// pause waits for d, and for as long as the process is hanging. It is false if
// the client has left.
func (c *call) pause(d time.Duration) bool {
	if d > 0 && sleep(c.r.Context(), d) != nil {
		return false
	}
	return c.gate.wait(c.r.Context()) == nil
}

// flush pushes out what has been written. It is false if the client has left.
func (c *call) flush() bool {
	return c.taken || http.NewResponseController(c.w).Flush() == nil
}

// drain reads the rest of the request's body, which may fail with the client.
func (c *call) drain() error {
	_, err := io.Copy(io.Discard, c.r.Body)
	return err
}

// takeOver takes the connection from net/http, to write to it byte by byte. It
// reports failure, of which there is none with HTTP/1, to the log.
func (c *call) takeOver() (net.Conn, *bufio.Reader, bool) {
	nc, rw, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		c.log.Printf("cannot take over the connection: %v", err)
		return nil, nil, false
	}
	c.taken = true
	return nc, rw.Reader, true
}

// closeConn closes a connection that was taken over.
func closeConn(nc net.Conn) {
	// The peer may have closed it already; either way it is closed.
	_ = nc.Close()
}
