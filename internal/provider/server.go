package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"creel/internal/census"
)

// Server serves a Proxy to a gateway.
type Server struct {
	http     *http.Server
	listener net.Listener
	conns    census.Census
	leaving  atomic.Bool             // answers end their connections
	cut      context.CancelCauseFunc // ends calls under way
}

// The bounds of a gateway's connection. What comes after the head, and answers, are
// not bounded.
const (
	headTime = 10 * time.Second
	keepTime = 2 * time.Minute
	maxHead  = 256 << 10
	cutTime  = 2 * time.Second
)

// NewServer makes a server that takes over l.
func NewServer(l net.Listener, p *Proxy, log *slog.Logger) *Server {
	ctx, cut := context.WithCancelCause(context.Background())
	s := &Server{listener: l, cut: cut}
	s.http = &http.Server{
		Handler: s.handler(p), ReadHeaderTimeout: headTime, IdleTimeout: keepTime, MaxHeaderBytes: maxHead,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: s.conns.ConnState,
	}
	return s
}

func (s *Server) handler(p *Proxy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close") // the next call goes to whoever has the listener now
		}
		p.ServeHTTP(w, r)
	})
}

// Listener is what the server accepts connections from, to be handed over.
func (s *Server) Listener() net.Listener { return s.listener }

// Serve serves until Shutdown or Close; that is no error.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cannot serve on %s: %w", s.listener.Addr(), err)
	}
	return nil
}

// errCut ends calls that creel has no more time for.
var errCut = errors.New("creel has no more time for this call")

// Refuse takes no more connections. It may be called again.
func (s *Server) Refuse() error {
	s.leaving.Store(true)
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cannot close the listener for model providers: %w", err)
	}
	return nil
}

// Shutdown takes no more connections, and waits for the end of those that there are
// until ctx ends. A call on one of them is served, and ends it; it ends, too, when the
// gateway gives it up, or after two minutes without a call. To close one that is idle
// would be to lose the call that is just being sent on it, and a client may not send
// most of those twice (RFC 9112 §9.3.1, §9.6).
//
// When ctx has ended it cuts what is left: answers break off, and do not end like whole
// ones. It may be called again.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.Refuse(); err != nil {
		return err
	}
	s.conns.AwaitNone(ctx)
	if s.end(ctx) == nil {
		return nil
	}
	s.cut(errCut)
	ctx, cancel := context.WithTimeout(context.Background(), cutTime)
	defer cancel()
	if s.end(ctx) != nil {
		return s.http.Close()
	}
	return nil
}

// end closes idle connections, and waits for the others.
func (s *Server) end(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); !errors.Is(err, net.ErrClosed) { // of the listener, if Serve has not returned yet
		return err
	}
	return nil
}
