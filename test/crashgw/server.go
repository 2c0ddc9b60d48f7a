package crashgw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// server is the process as an HTTP server.
type server struct {
	opts       Options
	generation string // $CREEL_GENERATION
	log        *log.Logger
	ledger     *ledger // nil: none
	state      State   // nil: none
	port       *port
	conns      *connTable
	http       *http.Server
	store      *store     // nil: none
	lives      *lives     // nil: not recorded
	firstKill  *firstKill // nil: the first request kills nobody
	orphanPID  int        // set before serving; 0: none

	late     atomic.Int64 // nanoseconds by which every answer is late
	gate     gate         // shut: nothing is answered
	ready    atomic.Bool  // the boot delay is over
	draining atomic.Bool  // SIGTERM has come, --slow-term runs

	arrivals atomic.Int64 // requests that count for --die-after-requests
	answers  atomic.Int64 // those of them that were answered
}

func newServer(opts Options, logger *log.Logger) (*server, error) {
	s := &server{
		opts:       opts,
		generation: os.Getenv("CREEL_GENERATION"),
		log:        logger,
		conns:      newConnTable(),
		port:       newPort(opts.Port),
	}
	if opts.asOrphan == OrphanNone && opts.Port == 0 {
		return nil, errors.New("cannot listen: no port; use --port or set PORT")
	}
	if opts.Ledger != "" {
		l, err := openLedger(opts.Ledger)
		if err != nil {
			return nil, err
		}
		s.ledger = l
	}
	if _, err := os.Stat(opts.ExitIf); opts.ExitIf != "" && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("told not to get ready: there is %s (%w)", opts.ExitIf, err)
	}
	if opts.State != "" && opts.asOrphan == OrphanNone {
		if openState == nil {
			return nil, errors.New("cannot use --state: this program does not import creel/test/crashgw/state")
		}
		st, err := openState(opts.State)
		if err != nil {
			return nil, err
		}
		s.state = st
	}
	if opts.Store != "" {
		st, err := openStore(opts.Store)
		if err != nil {
			return nil, err
		}
		s.store = st
	}
	if opts.Lives != "" && opts.asOrphan == OrphanNone {
		l, err := openLives(opts.Lives, s.generation)
		if err != nil {
			return nil, err
		}
		s.lives = l
	}
	if opts.FirstRequestKills || opts.FirstRequestKillsTimes != "" {
		k, err := newFirstKill(opts.FirstRequestKillsTimes)
		if err != nil {
			return nil, err
		}
		s.firstKill = k
	}
	s.http = &http.Server{
		Handler:     s,
		ConnContext: s.conns.enter,
		ConnState:   s.conns.change,
		ErrorLog:    log.New(os.Stderr, logger.Prefix(), 0),
	}
	return s, nil
}

// serve answers requests on s.port, and again after each time that /refuse has
// closed and reopened it.
func (s *server) serve() error {
	for ln := range s.port.listeners {
		err := s.http.Serve(ln)
		if !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("cannot serve on %s: %w", s.port.addr, err)
		}
	}
	return fmt.Errorf("cannot serve on %s again: %w", s.port.addr, s.port.failure)
}

// ServeHTTP applies the switches of the process, then those of the request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if late := time.Duration(s.late.Load()); late > 0 && sleep(r.Context(), late) != nil {
		return
	}
	if s.gate.wait(r.Context()) != nil {
		return
	}
	switch r.URL.Path {
	case "/healthz":
		writeJSON(w, http.StatusOK, s.health(true))
		return
	case "/readyz":
		s.serveReady(w)
		return
	}
	if !s.ready.Load() {
		writeJSON(w, http.StatusServiceUnavailable, s.health(false))
		return
	}
	if s.firstKill.take() {
		s.killByFirstRequest(w, r)
		return
	}
	if s.opts.DieAfterRequests > 0 {
		if s.arrivals.Add(1) > int64(s.opts.DieAfterRequests) {
			// The process is about to exit; this request is one too many.
			<-r.Context().Done()
			return
		}
		defer s.conns.afterAnswer(r, s.countAnswer)
	}
	s.dispatch(w, r)
}

func (s *server) countAnswer() {
	if s.answers.Add(1) == int64(s.opts.DieAfterRequests) {
		s.die(death{code: s.opts.exitCode(), why: "--die-after-requests"})
	}
}

// dispatch finds the path and serves it, dying on the way if asked to.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request) {
	rt, ok := routes[r.URL.Path]
	if !ok {
		writeJSON(w, http.StatusNotFound, failure{"cannot find " + r.URL.Path})
		return
	}
	c := &call{server: s, w: w, r: r, params: params{r: r}}
	c.plan = c.parsePlan(rt.kind)
	delay := c.parseDelay()
	if c.refused() {
		return
	}
	if !c.delay(delay) {
		return
	}
	if c.plan.mode != "" && s.survives(c) {
		c.plan = plan{}
	}
	if c.refused() {
		return
	}
	c.run(rt)
}

// Health is the answer of /healthz, /readyz and of a gateway that boots.
type Health struct {
	Ready  bool `json:"ready"`
	PID    int  `json:"pid"`
	Orphan int  `json:"orphan,omitempty"` // pid of the child left behind
}

func (s *server) health(ready bool) Health {
	return Health{Ready: ready, PID: os.Getpid(), Orphan: s.orphanPID}
}

func (s *server) serveReady(w http.ResponseWriter) {
	if s.ready.Load() && !s.draining.Load() {
		writeJSON(w, http.StatusOK, s.health(true))
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, s.health(false))
}

// failure is the body of an answer that refuses.
type failure struct {
	Error string `json:"error"`
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"cannot encode the answer"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", fmt.Sprint(len(body)+1))
	w.WriteHeader(status)
	// A client that has gone away is its own affair.
	_, _ = w.Write(append(body, '\n'))
}

// hasToken tells whether a comma-separated header contains a token.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// gate stops every answer of the process while it is shut.
type gate struct {
	closed atomic.Pointer[gateState]
}

type gateState struct{ opened chan struct{} }

// shut closes the gate until the returned function is called.
func (g *gate) shut() (open func()) {
	st := &gateState{opened: make(chan struct{})}
	g.closed.Store(st)
	return func() {
		g.closed.CompareAndSwap(st, nil)
		close(st.opened)
	}
}

// wait returns nil when the gate is open, or ctx's error.
func (g *gate) wait(ctx context.Context) error {
	for {
		st := g.closed.Load()
		if st == nil {
			return nil
		}
		select {
		case <-st.opened:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
